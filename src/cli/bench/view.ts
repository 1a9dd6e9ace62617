import type { BenchReport, BenchRun } from "../../lab/bench/report.ts";
import { bytes, count } from "../format.ts";
import type { Output } from "../output.ts";
import type { Column } from "../table.ts";

type Head = Pick<BenchReport, "name" | "engine" | "settings">;

/** What people, and benchstat, see of a bench. */
export class BenchView {
  readonly #output: Output;
  readonly #head: Head;
  readonly #goLine: ((run: BenchRun) => string) | undefined;

  private constructor(output: Output, head: Head, goLine?: (run: BenchRun) => string) {
    this.#output = output;
    this.#head = head;
    this.#goLine = goLine;
  }

  /** With `go` only lines as `go test -bench` prints them go to stdout. */
  static async open(output: Output, head: Head, go: boolean): Promise<BenchView> {
    if (!go) {
      output.note(titleOf(head));
      return new BenchView(output, head);
    }
    const [{ goHead, goLine }, { readEnvironment }] = await Promise.all([
      import("../../lab/bench/go-lines.ts"),
      import("../../lab/environment.ts"),
    ]);
    const environment = await readEnvironment();
    for (const line of goHead({ environment })) output.print(line);
    return new BenchView(output, head, (run) => goLine({ ...head, environment }, run));
  }

  progress(run: number, done: number): void {
    const { runs } = this.#head.settings;
    const what = run === 0 ? "warm-up" : `run ${run} of ${runs}`;
    this.#output.progress(`${this.#head.name}: ${what}, ${Math.floor(100 * done)} %`);
  }

  run(run: BenchRun): void {
    if (this.#goLine !== undefined) this.#output.print(this.#goLine(run));
  }

  end(report: BenchReport): void {
    this.#output.emit(report);
    if (this.#goLine !== undefined) {
      if (report.complete) this.#output.print(`PASS\nok  \tdibs\t${report.seconds.toFixed(3)}s`);
      return;
    }
    for (const table of tablesOf(report)) {
      this.#output.table(table.columns, table.rows);
      this.#output.print("");
    }
    for (const line of closingLines(report)) this.#output.print(line);
  }
}

function titleOf({ name, engine, settings }: Head): string {
  const { runs, secondsPerRun, warmupSeconds, concurrency, depth, batch, payloadBytes } = settings;
  const where = `${engine.redisVersion ?? engine.store}${engine.transport === "http" ? " over HTTP" : ", in process"}`;
  const how = [
    `${concurrency} ${concurrency === 1 ? "caller" : "callers"}`,
    ...(name === "wake" ? [] : [`${count(depth)} deep`]),
    ...(batch === 1 ? [] : [`${batch} tasks a call`]),
    `payloads of ${payloadBytes} bytes`,
  ];
  return `${name} on ${where} (${engine.place}): ${how.join(", ")}; ${runs} × ${secondsPerRun} s after ${warmupSeconds} s of warm-up`;
}

interface Row {
  readonly title: string;
  readonly cells: readonly string[];
}

function tablesOf(report: BenchReport): { columns: Column<Row>[]; rows: Row[] }[] {
  const { runs } = report;
  return [
    asTable(
      [
        "P50",
        "P90",
        "P95",
        "P99",
        "P99.9",
        "MAX",
        `${report.name.toUpperCase()}S/S`,
        "NS/OP",
        "EMPTY",
        "ERRORS",
        "TIMEOUTS",
      ],
      [
        ...runs.map((run, n) => ({ title: `run ${n + 1}`, cells: callCells(report.name, run) })),
        overallCalls(report),
      ],
    ),
    asTable(
      [
        "CPU",
        ...(hasServer(report) ? ["SERVER CPU"] : []),
        "B/OP",
        "GCS",
        "GC MAX",
        "LOOP P99",
        "RSS",
        ...(hasRedis(report) ? ["REDIS", "TRIPS"] : []),
        "EXACT",
      ],
      runs.map((run, n) => ({ title: `run ${n + 1}`, cells: costCells(run) })),
    ),
  ];
}

function asTable(titles: readonly string[], rows: Row[]): { columns: Column<Row>[]; rows: Row[] } {
  const columns: Column<Row>[] = [
    { title: "", value: ({ title }) => title },
    ...titles.map((title, n) => ({ title, value: ({ cells }: Row) => cells[n] ?? "" })),
  ];
  return { columns, rows };
}

function callCells(name: string, run: BenchRun): string[] {
  return [
    ...latencyCells(run.latencies[name]),
    count(Math.round(run.perSecond)),
    count(Math.round(run.nsPerOperation ?? 0)),
    count(run.empty),
    count(run.errors),
    count(run.timeouts),
  ];
}

function overallCalls({ name, overall }: BenchReport): Row {
  return {
    title: "all",
    cells: [
      ...latencyCells(overall.latencies[name]),
      count(Math.round(overall.perSecond.mean)),
      count(Math.round(overall.nsPerOperation?.mean ?? 0)),
      count(overall.empty),
      count(overall.errors),
      count(overall.timeouts),
    ],
  };
}

function latencyCells(latency: BenchRun["latencies"][string] | undefined): string[] {
  if (latency === undefined) return ["–", "–", "–", "–", "–", "–"];
  const { p50Ns, p90Ns, p95Ns, p99Ns, p999Ns, maxNs } = latency;
  return [p50Ns, p90Ns, p95Ns, p99Ns, p999Ns, maxNs].map(shortTime);
}

function costCells(run: BenchRun): string[] {
  const answering = run.server ?? run.client;
  return [
    `${run.client.cpuUsPerOperation.toFixed(1)} µs`,
    ...(run.server === null ? [] : [`${run.server.cpuUsPerOperation.toFixed(1)} µs`]),
    count(Math.round(answering.allocatedBytesPerOperation)),
    count(answering.gcCount),
    `${answering.gcPauseMaxMs.toFixed(1)} ms`,
    `${answering.eventLoopDelayP99Ms.toFixed(1)} ms`,
    slopeText(answering),
    ...(run.redis === null
      ? []
      : [`${run.redis.serverUsPerOperation.toFixed(1)} µs`, run.redis.roundTripsPerOperation.toFixed(2)]),
    run.delivery.exact ? "yes" : "NO",
  ];
}

/** Growth of the memory, and `level` where it could as well be none. */
function slopeText({ rssSlopeBytesPerS: slope, rssSlopeErrorBytesPerS: error }: BenchRun["client"]): string {
  if (error === null || Math.abs(slope) <= 2 * error) return "level";
  return `${slope < 0 ? "-" : "+"}${bytes(Math.round(Math.abs(slope)))}/s`;
}

function hasServer({ runs }: BenchReport): boolean {
  return runs.some(({ server }) => server !== null);
}

function hasRedis({ runs }: BenchReport): boolean {
  return runs.some(({ redis }) => redis !== null);
}

function closingLines(report: BenchReport): string[] {
  const { name, overall, runs, settings, complete, notes } = report;
  const { nsPerOperation: ns, perSecond } = overall;
  const spread = (percent: number | null) => (percent === null ? "" : ` ± ${percent.toFixed(1)} %`);
  return [
    ...(ns === null
      ? []
      : [
          `${count(Math.round(ns.mean))} ns/op${spread(ns.deviationPercent)} over ${runs.length} runs (${count(Math.round(ns.min))} to ${count(Math.round(ns.max))}), ${count(Math.round(perSecond.mean))} ${name}s/s${spread(perSecond.deviationPercent)}`,
        ]),
    ...(overall.exact ? [`${count(overall.operations)} tasks, each delivered exactly once`] : []),
    ...(complete
      ? []
      : [`Not finished: ${runs.length} of ${settings.runs} runs, the last one perhaps shorter`]),
    ...runs.flatMap(({ failures }, n) => failures.map((failure) => `run ${n + 1}: ${failure}`)),
    ...notes,
  ];
}

/** Three digits and the unit that suits: `850 ns`, `4.21 µs`, `20.4 ms`. */
function shortTime(ns: number): string {
  if (ns < 1_000) return `${ns} ns`;
  const [value, unit] = ns < 1e6 ? [ns / 1e3, "µs"] : ns < 1e9 ? [ns / 1e6, "ms"] : [ns / 1e9, "s"];
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
}
