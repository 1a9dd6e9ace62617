import type { BenchReport, BenchRun } from "../../lab/bench/report.ts";
import { bytes, count } from "../format.ts";
import type { Output } from "../output.ts";
import type { Column } from "../table.ts";

type Head = Pick<BenchReport, "name" | "engine" | "settings">;

/** The report as tables for people, or as a line of JSON. */
export function showReport(output: Output, report: BenchReport): void {
  output.emit(report);
  for (const { columns, rows } of tablesOf(report)) {
    output.table(columns, rows);
    output.print("");
  }
  for (const line of closingLines(report)) output.print(line);
}

/** What is going to be measured, in a line. */
export function titleOf({ name, engine, settings }: Head): string {
  const { runs, secondsPerRun, warmupSeconds, concurrency, depth, batch, payloadBytes } = settings;
  const store = engine.store === "unknown" ? "a server" : (engine.redisVersion ?? engine.store);
  const where = `${store}${engine.transport === "http" ? " over HTTP" : ", in process"}`;
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

interface Figure {
  readonly title: string;
  readonly of: (run: BenchRun) => string;
}

/** Three tables, each narrow enough for a terminal: how long and how fast, what it cost, what the process went through. */
function tablesOf(report: BenchReport): { columns: Column<Row>[]; rows: Row[] }[] {
  const { name, overall, runs } = report;
  const rate = { title: `${name.toUpperCase()}S/S`, of: (run: BenchRun) => count(Math.round(run.perSecond)) };
  const parts = Object.entries(overall.latencies).filter(([part]) => part !== name);
  const latencies = [
    ...runs.map((run, n) => ({
      title: `run ${n + 1}`,
      cells: [...latencyCells(run.latencies[name]), rate.of(run)],
    })),
    {
      title: "all",
      cells: [...latencyCells(overall.latencies[name]), count(Math.round(overall.perSecond.mean))],
    },
    ...parts.map(([part, latency]) => ({ title: `  ${part}`, cells: latencyCells(latency) })),
  ];
  return [
    asTable(["P50", "P90", "P95", "P99", "P99.9", "MAX", rate.title], latencies),
    figuresOf(runs, costs(runs)),
    figuresOf(runs, PROCESS),
  ];
}

function costs(runs: readonly BenchRun[]): readonly Figure[] {
  const us = (value: number | undefined) => (value === undefined ? "–" : `${value.toFixed(1)} µs`);
  return [
    { title: "NS/OP", of: ({ nsPerOperation }) => count(Math.round(nsPerOperation ?? 0)) },
    { title: "B/OP", of: (run) => count(Math.round(answering(run).allocatedBytesPerOperation)) },
    { title: "CPU", of: ({ client }) => us(client.cpuUsPerOperation) },
    ...(runs.some(({ server }) => server !== null)
      ? [{ title: "SERVER CPU", of: ({ server }: BenchRun) => us(server?.cpuUsPerOperation) }]
      : []),
    ...(runs.some(({ redis }) => redis !== null)
      ? [
          { title: "REDIS", of: ({ redis }: BenchRun) => us(redis?.serverUsPerOperation) },
          { title: "TRIPS", of: ({ redis }: BenchRun) => redis?.roundTripsPerOperation.toFixed(2) ?? "–" },
        ]
      : []),
    { title: "EMPTY", of: ({ empty }) => count(empty) },
    { title: "ERRORS", of: ({ errors }) => count(errors) },
    { title: "TIMEOUTS", of: ({ timeouts }) => count(timeouts) },
  ];
}

const PROCESS: readonly Figure[] = [
  { title: "GCS", of: (run) => count(answering(run).gcCount) },
  { title: "GC MAX", of: (run) => ms(answering(run).gcPauseMaxMs) },
  { title: "LOOP P50", of: (run) => ms(answering(run).eventLoopDelayP50Ms) },
  { title: "LOOP P99", of: (run) => ms(answering(run).eventLoopDelayP99Ms) },
  { title: "RSS", of: (run) => bytes(answering(run).rssBytesMax) },
  { title: "GROWS BY", of: (run) => slopeText(answering(run)) },
  { title: "EXACT", of: ({ delivery }) => (delivery.exact ? "yes" : "NO") },
];

/** The process that answers the calls. */
function answering(run: BenchRun): BenchRun["client"] {
  return run.server ?? run.client;
}

function figuresOf(runs: readonly BenchRun[], figures: readonly Figure[]) {
  const rows = runs.map((run, n) => ({ title: `run ${n + 1}`, cells: figures.map(({ of }) => of(run)) }));
  return asTable(
    figures.map(({ title }) => title),
    rows,
  );
}

function asTable(titles: readonly string[], rows: Row[]): { columns: Column<Row>[]; rows: Row[] } {
  const columns: Column<Row>[] = [
    { title: "", value: ({ title }) => title },
    ...titles.map((title, n) => ({ title, value: ({ cells }: Row) => cells[n] ?? "" })),
  ];
  return { columns, rows };
}

function latencyCells(latency: BenchRun["latencies"][string] | undefined): string[] {
  if (latency === undefined) return ["–", "–", "–", "–", "–", "–"];
  const { p50Ns, p90Ns, p95Ns, p99Ns, p999Ns, maxNs } = latency;
  return [p50Ns, p90Ns, p95Ns, p99Ns, p999Ns, maxNs].map(shortTime);
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

/** Growth of the memory, and `level` where it could as well be none. */
function slopeText({ rssSlopeBytesPerS: slope, rssSlopeErrorBytesPerS: error }: BenchRun["client"]): string {
  if (error === null || Math.abs(slope) <= 2 * error) return "level";
  return `${slope < 0 ? "-" : "+"}${bytes(Math.round(Math.abs(slope)))}/s`;
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
