import type { LoadReport } from "./load-report.ts";
import { growthPercent } from "./memory.ts";
import { TIMED } from "./scenario.ts";

/** A figure of a report that a threshold may bound. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  /** Null: this run does not have it. */
  read(report: LoadReport): number | null;
}

const PERCENTILES = {
  p50: "p50Ns",
  p90: "p90Ns",
  p95: "p95Ns",
  p99: "p99Ns",
  p999: "p999Ns",
  max: "maxNs",
  mean: "meanNs",
} as const;

const LATENCIES: readonly Figure[] = TIMED.flatMap((timed) =>
  Object.entries(PERCENTILES).map(([short, field]) => ({
    name: `${timed}.${short}`,
    unit: "ms",
    read: ({ latencies }: LoadReport) => {
      const latency = latencies[timed];
      return latency === undefined || latency.count === 0 ? null : latency[field] / 1e6;
    },
  })),
);

const OTHERS: readonly Figure[] = [
  { name: "throughput", unit: "tasks/s", read: ({ perSecond }) => perSecond },
  { name: "errors", unit: "", read: ({ errors, timeouts }) => errors + timeouts },
  { name: "timeouts", unit: "", read: ({ timeouts }) => timeouts },
  { name: "empty", unit: "", read: ({ empty }) => empty },
  { name: "early", unit: "", read: ({ early }) => early },
  { name: "outOfOrder", unit: "", read: ({ order }) => order?.outOfOrder ?? null },
  { name: "gcPause", unit: "ms", read: ({ gcPauseMaxMs }) => gcPauseMaxMs },
  { name: "loopDelay.p99", unit: "ms", read: ({ eventLoopDelayP99Ms }) => eventLoopDelayP99Ms },
  { name: "cpu", unit: "%", read: ({ server }) => (server === null ? null : server.cpu * 100) },
  { name: "memoryGrowth", unit: "%", read: ({ memory }) => (memory === null ? null : growthPercent(memory)) },
];

export const FIGURES: readonly Figure[] = [...LATENCIES, ...OTHERS];

/** For a message to whoever wrote another name. */
export const FIGURE_NAMES = `${TIMED.join(", ")} with .${Object.keys(PERCENTILES).join(", .")}, or ${OTHERS.map(
  ({ name }) => name,
).join(", ")}`;
