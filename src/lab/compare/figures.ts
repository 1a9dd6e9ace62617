/** What one run of one side measured. Absent: the source does not say. */
export interface RunFigures {
  readonly p50Ms: number;
  readonly p95Ms?: number;
  readonly p99Ms: number;
  /** Operations a second. */
  readonly perSecond: number;
  /** CPU time of all processes of Dibs for each operation, microseconds. */
  readonly cpuUs?: number;
  /** Largest resident memory. */
  readonly memoryBytes?: number;
  readonly operations: number;
  /** Failed and timed-out operations, and tasks that were delivered wrongly. */
  readonly errors: number;
}

export type MeasureName = Exclude<keyof RunFigures, "operations" | "errors">;

/** One of the figures that a comparison judges. */
export interface Measure {
  readonly name: MeasureName;
  readonly title: string;
  readonly better: "lower" | "higher";
  /**
   * A change of less is not worth a verdict, however sure it is: 0.05 is 5 %. Two builds of the same source differ
   * by some percent for good (where the compiler of the engine put what, how the heap fell out).
   */
  readonly leastChange: number;
  readonly show: (value: number) => string;
}

const milliseconds = (ms: number) => (ms < 1 ? `${digits(ms * 1_000)} µs` : `${digits(ms)} ms`);

/** In the order of a report. */
export const MEASURES: readonly Measure[] = [
  { name: "p50Ms", title: "P50", better: "lower", leastChange: 0.05, show: milliseconds },
  { name: "p95Ms", title: "P95", better: "lower", leastChange: 0.1, show: milliseconds },
  { name: "p99Ms", title: "P99", better: "lower", leastChange: 0.1, show: milliseconds },
  {
    name: "perSecond",
    title: "throughput",
    better: "higher",
    leastChange: 0.05,
    show: (rate) => `${digits(rate)}/s`,
  },
  {
    name: "cpuUs",
    title: "CPU per operation",
    better: "lower",
    leastChange: 0.05,
    show: (us) => `${digits(us)} µs`,
  },
  {
    name: "memoryBytes",
    title: "memory",
    better: "lower",
    leastChange: 0.1,
    show: (bytes) => `${digits(bytes / 1e6)} MB`,
  },
];

/** The measures that every run of both sides has. */
export function measuresOf(runs: readonly RunFigures[]): readonly Measure[] {
  return MEASURES.filter(({ name }) => runs.every((run) => (run[name] ?? 0) > 0));
}

/** Three digits, thousands apart. */
function digits(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}
