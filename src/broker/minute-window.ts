import type { WindowCounts } from "./peers.ts";
import type { Percentiles } from "./requests.ts";

/** The last minute is kept as six slots of ten seconds; the oldest is dropped when a new one begins. */
const SLOT_MS = 10_000;
const SLOTS = 6;

/**
 * Buckets are 1/8 of an octave wide, so a percentile is within 6 % of the value; 0 to 2^40 µs (12 days).
 * The values of a Float32 with the same exponent and the same three first bits of mantissa share a bucket:
 * one write and one read of a typed array find it.
 */
const MANTISSA_BITS = 3;
const OCTAVES = 40;
const BUCKETS = (OCTAVES + 1) << MANTISSA_BITS;
const SHIFT = 23 - MANTISSA_BITS;
const BIAS = 127 << MANTISSA_BITS;
const asFloat = new Float32Array(1);
const asBits = new Uint32Array(asFloat.buffer);

/** Percentiles of a duration over the last minute, in about 1 kB for each ten seconds with a value in them. */
export class MinuteWindow {
  readonly #slots: (Uint32Array | undefined)[] = new Array(SLOTS).fill(undefined);
  /** The number of the newest slot since the clock's zero. */
  #newest = 0;

  /** Counts a duration of `ms` at the monotonic time `now`, in milliseconds. */
  record(ms: number, now: number): void {
    this.#roll(now);
    const slot = this.#newest % SLOTS;
    const counts = this.#slots[slot] ?? new Uint32Array(BUCKETS);
    this.#slots[slot] = counts;
    const bucket = bucketOf(ms * 1_000);
    counts[bucket] = (counts[bucket] as number) + 1;
  }

  /** The percentiles in milliseconds; zeros when the minute was empty. */
  percentiles(now: number): Percentiles {
    return percentilesOf([this.counts(now)]);
  }

  /** What was counted in the last minute, to be put together with the same of other processes. */
  counts(now: number): WindowCounts {
    this.#roll(now);
    const sums = new Map<number, number>();
    for (const slot of this.#slots) {
      slot?.forEach((count, bucket) => {
        if (count > 0) sums.set(bucket, (sums.get(bucket) ?? 0) + count);
      });
    }
    return [...sums].flat();
  }

  /** True when the last minute had no value. */
  isEmpty(now: number): boolean {
    this.#roll(now);
    return this.#slots.every((slot) => slot === undefined);
  }

  #roll(now: number): void {
    const slot = Math.floor(now / SLOT_MS);
    if (slot <= this.#newest) return;
    const passed = Math.min(slot - this.#newest, SLOTS);
    for (let back = 0; back < passed; back += 1) this.#slots[(slot - back) % SLOTS] = undefined;
    this.#newest = slot;
  }
}

/** The percentiles of several windows together, in milliseconds; zeros when all were empty. */
export function percentilesOf(windows: readonly WindowCounts[]): Percentiles {
  const counts = new Float64Array(BUCKETS);
  let total = 0;
  for (const window of windows) {
    for (let at = 0; at + 1 < window.length; at += 2) {
      const bucket = window[at] as number;
      const count = window[at + 1] as number;
      counts[bucket] = (counts[bucket] as number) + count;
      total += count;
    }
  }
  return {
    p50: percentile(counts, total, 0.5),
    p99: percentile(counts, total, 0.99),
    p999: percentile(counts, total, 0.999),
  };
}

function bucketOf(microseconds: number): number {
  if (!(microseconds >= 1)) return 0;
  asFloat[0] = microseconds;
  return Math.min(((asBits[0] as number) >>> SHIFT) - BIAS + 1, BUCKETS - 1);
}

/** The middle of a bucket, in milliseconds; what took less than a microsecond counts as nothing. */
function middleOf(bucket: number): number {
  if (bucket === 0) return 0;
  asBits[0] = (bucket - 1 + BIAS) * 2 ** SHIFT + 2 ** (SHIFT - 1);
  return (asFloat[0] as number) / 1_000;
}

function percentile(counts: Float64Array, total: number, rank: number): number {
  if (total === 0) return 0;
  let left = Math.ceil(total * rank);
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    left -= counts[bucket] as number;
    if (left <= 0) return Number(middleOf(bucket).toPrecision(4));
  }
  return 0;
}
