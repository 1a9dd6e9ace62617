import type { BenchPlace } from "../../lab/bench/place.ts";
import type { Judgement, LoadReport } from "../../lab/load/load-report.ts";
import type { LoadProgress, LoadWish } from "../../lab/load/load-wish.ts";
import { growthPercent } from "../../lab/load/memory.ts";
import { bytes, count, milliseconds } from "../format.ts";
import type { Output } from "../output.ts";
import type { Column } from "../table.ts";

/** What people see of a load. */
export class LoadView {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  begin({ engine, notes }: BenchPlace, { scenario, workers, seconds, processes }: LoadWish): void {
    const durability = engine.durability === null ? "" : `, ${engine.durability}`;
    const load = `${workers} workers, ${seconds} s, ${processes} generator ${processes === 1 ? "process" : "processes"}`;
    this.#output.note(`${scenario.name}: ${load}; ${engine.place}${durability}`);
    for (const note of notes) this.#output.note(note);
  }

  progress({ phase, done, of, second, failed = 0 }: LoadProgress): void {
    const what =
      phase === "filling" ? `${phase} ${count(done)} of ${count(of)} tasks` : `${phase} ${done} of ${of} s`;
    if (phase === "running" && done === 0) this.#output.note(`Warmed up; measuring for ${of} s`);
    if (second === undefined) {
      this.#output.progress(what);
      return;
    }
    const { claimed, p50Ns, p99Ns, ready } = second;
    const latency = p50Ns === null || p99Ns === null ? "" : `  P50 ${ms(p50Ns)}  P99 ${ms(p99Ns)}`;
    const depth = ready === null ? "" : `  ready ${count(ready)}`;
    this.#output.progress(`${what}  ${count(claimed)} tasks/s${latency}${depth}  failed ${count(failed)}`);
  }

  end(report: LoadReport): void {
    const output = this.#output;
    output.emit(report);
    output.table(LATENCY_COLUMNS, Object.entries(report.latencies));
    output.print("");
    for (const line of linesOf(report)) output.print(line);
    this.#judgements("Threshold", report.thresholds);
    for (const { name, lines } of report.gates) this.#judgements(`Gate ${name}`, lines);
    for (const note of report.notes) output.note(note);
  }

  #judgements(title: string, lines: readonly Judgement[]): void {
    if (lines.length === 0) return;
    this.#output.print("");
    this.#output.table(judgementColumns(title), lines);
  }
}

type Latency = LoadReport["latencies"][string];

const LATENCY_COLUMNS: readonly Column<[string, Latency]>[] = [
  { title: "LATENCY", value: ([name]) => name },
  { title: "CALLS", value: ([, { count: calls }]) => count(calls) },
  { title: "P50", value: ([, { p50Ns }]) => ms(p50Ns) },
  { title: "P90", value: ([, { p90Ns }]) => ms(p90Ns) },
  { title: "P95", value: ([, { p95Ns }]) => ms(p95Ns) },
  { title: "P99", value: ([, { p99Ns }]) => ms(p99Ns) },
  { title: "P99.9", value: ([, { p999Ns }]) => ms(p999Ns) },
  { title: "MAX", value: ([, { maxNs }]) => ms(maxNs) },
];

function judgementColumns(title: string): readonly Column<Judgement>[] {
  return [
    { title: title.toUpperCase(), value: ({ what }) => what },
    { title: "FIGURE", value: ({ figure, unit }) => figureText(figure, unit) },
    { title: "BOUND", value: ({ bound }) => bound },
    { title: "VERDICT", value: ({ verdict }) => verdict },
    { title: "", value: ({ remark }) => remark, flexible: true },
  ];
}

function figureText(figure: number | null, unit: string): string {
  if (figure === null) return "-";
  if (unit === "ms") return milliseconds(figure);
  const digits = Math.abs(figure) >= 100 || Number.isInteger(figure) ? 0 : 2;
  return `${Number(figure.toFixed(digits)).toLocaleString("en-US")}${unit === "" ? "" : ` ${unit}`}`;
}

function linesOf(report: LoadReport): string[] {
  const { operations, perSecond, seconds, empty, errors, timeouts, failures, order, early, complete } =
    report;
  return [
    ...(complete
      ? []
      : [`Interrupted after ${seconds.toFixed(1)} s; the figures are those of the time before.`]),
    `${count(operations)} tasks claimed in ${seconds.toFixed(1)} s: ${count(Math.round(perSecond))} tasks/s; ${count(errors)} errors, ${count(timeouts)} timeouts, ${count(empty)} claims in vain`,
    ...failures.map((failure) => `  ${failure}`),
    ...serverLine(report),
    generatorLine(report),
    ...(order === null
      ? []
      : [`Order: ${count(order.claims)} claims checked, ${count(order.outOfOrder)} out of order`]),
    ...(report.headline === "lateness"
      ? [`Early: ${count(early)} tasks were claimed before their time`]
      : []),
    deliveryLine(report),
  ];
}

function serverLine({ server, memory, gcPauseMaxMs, eventLoopDelayP99Ms }: LoadReport): string[] {
  const pauses =
    gcPauseMaxMs === null || eventLoopDelayP99Ms === null
      ? ""
      : `longest GC pause ${milliseconds(gcPauseMaxMs)}, event-loop delay P99 ${milliseconds(eventLoopDelayP99Ms)}`;
  if (server === null) return pauses === "" ? [] : [`Server: ${pauses} (by its own metrics)`];
  const growth = memory === null ? "" : ` (${growthPercent(memory).toFixed(1)} % growth)`;
  const cpu = `${(100 * server.cpu).toFixed(0)} % of a core`;
  return [`Server: ${cpu}, ${bytes(server.rssBytesMax)} memory${growth}, ${pauses}`];
}

function generatorLine({ generator, settings }: LoadReport): string {
  const { lagP99Ms, lagMaxMs, heldBack, unsent, eventLoopUtilization, limit } = generator;
  const busy = `event loop ${(100 * eventLoopUtilization).toFixed(0)} % busy`;
  const late =
    lagP99Ms === null || lagMaxMs === null
      ? busy
      : `calls left ${milliseconds(lagP99Ms)} late at P99, ${milliseconds(lagMaxMs)} at most; ${count(heldBack)} waited for a connection${unsent === 0 ? "" : `, ${count(unsent)} never left`}`;
  const said = {
    none: "",
    generator: ". It, and not the server, was the limit: these latencies are upper bounds",
    server: `. The server, or the machine that it runs on, did not keep up with ${count(Math.round(settings.perSecond ?? 0))} tasks/s`,
  }[limit];
  return `Generator: ${late}${said}`;
}

function deliveryLine({ delivery }: LoadReport): string {
  const { enqueued, claimed, completed, pending, faults, exact, examples } = delivery;
  const sums = `${count(enqueued)} enqueued, ${count(claimed)} claimed, ${count(completed)} completed, ${count(pending)} left`;
  if (exact) return `Delivery: ${sums}; every one exactly once`;
  const found = Object.entries(faults).filter(([, faulty]) => faulty > 0);
  const text = found.map(([name, faulty]) => `${count(faulty)} ${name}`).join(", ");
  return `Delivery: ${sums}; NOT exact: ${text || "nothing was delivered"} ${examples.slice(0, 3).join(" ")}`;
}

function ms(ns: number): string {
  return milliseconds(ns / 1e6);
}
