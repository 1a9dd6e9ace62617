import { medianOf, slopeOf } from "../statistics.ts";
import type { LoadPoint, MemoryReport } from "./load-report.ts";

/** Before so much of the run is over, heap and caches grow as they should. */
const WARMUP_SHARE = 0.1;
const WARMUP_S_MIN = 60;
const BLOCKS = 20;
const POINTS_MIN = 10;

/**
 * How fast the server's memory grew after its warm-up. Neighbouring seconds are no independent samples (the heap
 * goes up until it is collected), so the line is drawn through medians of {@link BLOCKS} stretches.
 */
export function memoryOf(points: readonly LoadPoint[]): MemoryReport | null {
  const total = points.length;
  const warmup =
    total >= 10 * WARMUP_S_MIN ? Math.max(WARMUP_S_MIN, total * WARMUP_SHARE) : total * WARMUP_SHARE;
  const known = points.filter(({ second, rssBytes }) => rssBytes !== null && second >= warmup);
  const [first] = known;
  const last = known.at(-1);
  if (first === undefined || last === undefined || known.length < POINTS_MIN) return null;
  const size = Math.max(1, Math.floor(known.length / BLOCKS));
  const blocks = Array.from({ length: Math.floor(known.length / size) }, (_, n) => {
    const block = known.slice(n * size, (n + 1) * size);
    return [
      medianOf(block.map(({ second }) => second)),
      medianOf(block.map(({ rssBytes }) => rssBytes ?? 0)),
    ] as const;
  });
  const { slope, error } = slopeOf(blocks);
  return {
    fromSecond: first.second,
    seconds: last.second - first.second + last.seconds,
    slopeBytesPerS: slope,
    slopeErrorBytesPerS: error,
    startBytes: blocks[0]?.[1] ?? 0,
  };
}

/** What it grew by over the time it was watched, in percent of what it was. */
export function growthPercent({ slopeBytesPerS, seconds, startBytes }: MemoryReport): number {
  return (100 * slopeBytesPerS * seconds) / startBytes;
}
