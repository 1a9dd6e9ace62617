import { medianOf } from "../statistics.ts";

/** A ratio candidate / base, and between which bounds it lies. */
export interface RatioInterval {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

export interface IntervalOptions {
  /** The n-th value of both sides ran side by side: what the machine did to both is then taken out. */
  readonly paired: boolean;
  /** Share of such intervals that may miss the true ratio, 0 to 1. */
  readonly miss: number;
}

const RESAMPLES = 10_000;
/** Fixed, so that the same files always give the same verdict. */
const SEED = 0x5eed;

/**
 * The ratio of the medians of two sides with its bootstrap interval: runs (or pairs of runs) are drawn anew with
 * replacement, and the interval holds the middle of the ratios that come out.
 *
 * It is the *expanded* percentile interval. With few runs the plain one is too narrow, by the missing degrees of
 * freedom that Student's t makes up for in the interval of a mean; so more of the tails is kept, by the same factor.
 * Not BCa: the acceleration that it needs comes from a jackknife, which is not consistent for medians.
 *
 * Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 11.6, 13 and 14; Hesterberg, "What
 * Teachers Should Know About the Bootstrap", The American Statistician 69, 2015, section 5.3 (the expansion).
 *
 * @throws {RangeError} when a side has no value, or paired sides are not equally long.
 */
export function ratioInterval(
  base: readonly number[],
  candidate: readonly number[],
  { paired, miss }: IntervalOptions,
): RatioInterval {
  if (paired && base.length !== candidate.length) {
    throw new RangeError(
      `Expected as many candidate runs as base runs (${base.length}), got ${candidate.length}`,
    );
  }
  const ratio = medianOf(candidate) / medianOf(base);
  const ratios = resampledRatios(base, candidate, paired).sort();
  const tail = expandedTail(miss / 2, Math.min(base.length, candidate.length));
  const at = (place: number) => ratios[Math.min(Math.max(place, 0), ratios.length - 1)] as number;
  return {
    ratio,
    low: at(Math.floor(tail * ratios.length)),
    high: at(Math.ceil((1 - tail) * ratios.length) - 1),
  };
}

function resampledRatios(
  base: readonly number[],
  candidate: readonly number[],
  paired: boolean,
): Float64Array {
  const random = randomFrom(SEED);
  const below = (count: number) => Math.floor(random() * count);
  const drawnBase = new Float64Array(base.length);
  const drawnCandidate = new Float64Array(candidate.length);
  return Float64Array.from({ length: RESAMPLES }, () => {
    for (let i = 0; i < drawnBase.length; i += 1) {
      const drawn = below(base.length);
      drawnBase[i] = base[drawn] as number;
      if (paired) drawnCandidate[i] = candidate[drawn] as number;
    }
    if (!paired) {
      for (let i = 0; i < drawnCandidate.length; i += 1) {
        drawnCandidate[i] = candidate[below(candidate.length)] as number;
      }
    }
    return medianOfSorted(drawnCandidate.sort()) / medianOfSorted(drawnBase.sort());
  });
}

function medianOfSorted(values: Float64Array): number {
  const middle = values.length >> 1;
  const upper = values[middle] as number;
  return values.length % 2 === 1 ? upper : (upper + (values[middle - 1] as number)) / 2;
}

/**
 * True when so many runs can tell a change from noise at all: when no change, the chance that all runs of one side
 * lie beyond all of the other (or that all pairs point the same way) must be below `miss`. Five runs against five
 * are enough for one measure of six at 5 % together, four are not; pairs must be eight.
 */
export function enoughRuns(base: number, candidate: number, { paired, miss }: IntervalOptions): boolean {
  const oneWay = paired ? 0.5 ** base : 1 / combinations(base + candidate, base);
  return 2 * oneWay <= miss;
}

function combinations(all: number, chosen: number): number {
  let ways = 1;
  for (let i = 1; i <= chosen; i += 1) ways = (ways * (all - chosen + i)) / i;
  return ways;
}

/** The tail to cut off where `tail` is meant, for `n` runs: Φ(−√(n/(n−1)) · t), t Student's quantile with n − 1. */
export function expandedTail(tail: number, n: number): number {
  if (n < 2) return 0;
  return normalBelow(-Math.sqrt(n / (n - 1)) * studentAbove(tail, n - 1));
}

/**
 * The value that Student's t with so many degrees of freedom exceeds with this chance.
 * Source: the Cornish-Fisher expansion, Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.5.
 */
function studentAbove(chance: number, freedom: number): number {
  const z = normalAbove(chance);
  return (
    z +
    (z ** 3 + z) / (4 * freedom) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * freedom ** 3)
  );
}

/** The value that a standard normal exceeds with this chance, by halving: there is no closed form. */
function normalAbove(chance: number): number {
  let [low, high] = [-10, 10];
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (1 - normalBelow(middle) > chance) low = middle;
    else high = middle;
  }
  return low;
}

/** Φ, to 7 digits. Source: Abramowitz and Stegun, 26.2.17. */
function normalBelow(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const beyond = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
  return x > 0 ? 1 - beyond : beyond;
}

/** Numbers in [0, 1) that a seed determines. Source: Tommy Ettinger's mulberry32, public domain. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
