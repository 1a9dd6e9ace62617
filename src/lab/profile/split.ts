import { type ClaimSplit, PARTS, type Part, type Pauses, splitOf } from "./parts.ts";
import type { Trace } from "./trace.ts";

/** The mean over some claims, microseconds; parts and remainder add up to the total. */
export interface MeanSplit {
  readonly claims: number;
  readonly totalUs: number;
  readonly partsUs: Readonly<Record<Part, number>>;
  readonly remainderUs: number;
}

export interface Splits {
  /** Claims around the median: those between the 45th and the 55th percentile. */
  readonly atP50: MeanSplit;
  /** The slowest percent. */
  readonly slowest: MeanSplit;
  readonly all: MeanSplit;
  /** Each part's own, over all claims: these do not add up. */
  readonly percentilesUs: Readonly<Record<Part, { readonly p50: number; readonly p99: number }>>;
  /** Traces whose way was not whole, so that they could not be split. */
  readonly unsplit: number;
}

/** Undefined without a single whole trace. */
export function splitsOf(traces: readonly Trace[], pauses: Pauses, scriptMs: number): Splits | undefined {
  const splits = traces
    .map((trace) => splitOf(trace, pauses, scriptMs))
    .filter((split) => split !== undefined)
    .sort((a, b) => a.totalMs - b.totalMs);
  if (splits.length === 0) return undefined;
  const { length } = splits;
  const at = (share: number) => Math.floor(share * (length - 1));
  return {
    atP50: meanOf(splits.slice(at(0.45), at(0.55) + 1)),
    slowest: meanOf(splits.slice(Math.min(length - 1, Math.ceil(0.99 * length)))),
    all: meanOf(splits),
    percentilesUs: percentilesOf(splits),
    unsplit: traces.length - length,
  };
}

function meanOf(splits: readonly ClaimSplit[]): MeanSplit {
  const mean = (of: (split: ClaimSplit) => number) =>
    (1_000 * splits.reduce((sum, split) => sum + of(split), 0)) / splits.length;
  const partsUs = eachPart((part) => mean(({ partsMs }) => partsMs[part]));
  const totalUs = mean(({ totalMs }) => totalMs);
  const known = PARTS.reduce((sum, part) => sum + partsUs[part], 0);
  return { claims: splits.length, totalUs, partsUs, remainderUs: totalUs - known };
}

function percentilesOf(splits: readonly ClaimSplit[]): Splits["percentilesUs"] {
  return eachPart((part) => {
    const sorted = Float64Array.from(splits, ({ partsMs }) => partsMs[part]).sort();
    const at = (share: number) => 1_000 * (sorted[Math.floor(share * (sorted.length - 1))] as number);
    return { p50: at(0.5), p99: at(0.99) };
  });
}

function eachPart<T>(of: (part: Part) => T): Record<Part, T> {
  return Object.fromEntries(PARTS.map((part) => [part, of(part)])) as Record<Part, T>;
}
