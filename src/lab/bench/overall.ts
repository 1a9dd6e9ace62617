import { LatencyHistogram, type LatencySummary } from "../histogram.ts";
import { spreadOf } from "../statistics.ts";
import type { BenchOverall, BenchRun, BenchSpread } from "./report.ts";

/** All runs together: histograms merged, figures with their spread over the runs. */
export function overallOf(runs: readonly BenchRun[]): BenchOverall {
  const sum = (of: (run: BenchRun) => number) => runs.reduce((total, run) => total + of(run), 0);
  const most = (of: (run: BenchRun) => number) => runs.reduce((top, run) => Math.max(top, of(run)), 0);
  const spread = (of: (run: BenchRun) => number) => benchSpreadOf(runs.map(of));
  const answering = (run: BenchRun) => run.server ?? run.client;
  return {
    operations: sum((run) => run.operations),
    empty: sum((run) => run.empty),
    errors: sum((run) => run.errors),
    timeouts: sum((run) => run.timeouts),
    latencies: mergedLatencies(runs),
    perSecond: spread((run) => run.perSecond),
    nsPerOperation: spreadOfKnown(runs.map((run) => run.nsPerOperation)),
    clientCpuUsPerOperation: spread((run) => run.client.cpuUsPerOperation),
    serverCpuUsPerOperation: spreadOfKnown(runs.map((run) => run.server?.cpuUsPerOperation)),
    allocatedBytesPerOperation: spread((run) => answering(run).allocatedBytesPerOperation),
    redisUsPerOperation: spreadOfKnown(runs.map((run) => run.redis?.serverUsPerOperation)),
    gcCount: sum((run) => answering(run).gcCount),
    gcPauseMaxMs: most((run) => answering(run).gcPauseMaxMs),
    eventLoopDelayP99Ms: most((run) => answering(run).eventLoopDelayP99Ms),
    rssBytesMax: most((run) => answering(run).rssBytesMax),
    exact: runs.every((run) => run.delivery.exact),
  };
}

function mergedLatencies(runs: readonly BenchRun[]): Record<string, LatencySummary> {
  const merged = new Map<string, LatencyHistogram>();
  for (const { latencies } of runs) {
    for (const [name, { histogram }] of Object.entries(latencies)) {
      const all = merged.get(name) ?? new LatencyHistogram();
      all.merge(LatencyHistogram.decode(histogram));
      merged.set(name, all);
    }
  }
  return Object.fromEntries([...merged].map(([name, histogram]) => [name, histogram.summary()]));
}

/** Undefined and null are unknown; null when one of them is. */
function spreadOfKnown(values: readonly (number | null | undefined)[]): BenchSpread | null {
  const known = values.filter((value) => typeof value === "number");
  return known.length === values.length ? benchSpreadOf(known) : null;
}

/** The deviation is the sample's, over n - 1. */
export function benchSpreadOf(values: readonly number[]): BenchSpread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  const deviationPercent =
    values.length < 2 ? null : mean === 0 ? 0 : (100 * Math.sqrt(variance)) / Math.abs(mean);
  return { mean, ...spreadOf(values), deviationPercent };
}
