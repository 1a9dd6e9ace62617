import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from "hdr-histogram-js";

/** Longer durations are recorded as one hour: no call of Dibs may take so long. */
export const DURATION_NS_MAX = 3_600e9;
/** Values are kept to within a thousandth of themselves. */
const SIGNIFICANT_DIGITS = 3;

/** The figures of one histogram, nanoseconds; `histogram` holds all of it, in HdrHistogram's own V2 text form. */
export interface LatencySummary {
  readonly count: number;
  readonly meanNs: number;
  readonly p50Ns: number;
  readonly p90Ns: number;
  readonly p95Ns: number;
  readonly p99Ns: number;
  readonly p999Ns: number;
  readonly maxNs: number;
  readonly histogram: string;
}

/**
 * Durations in nanoseconds, every one counted. Percentiles of merged histograms are exact to a thousandth,
 * which averages of percentiles are not; so repetitions, connections and processes are merged, never averaged.
 *
 * A recording costs about 0.1 µs: record after the clock was read for the last time.
 * Source: Gil Tene, HdrHistogram, https://hdrhistogram.org
 */
export class LatencyHistogram {
  readonly #histogram: Histogram;

  constructor(histogram: Histogram = emptyHistogram()) {
    this.#histogram = histogram;
  }

  /** @throws {Error} when the text is not an encoded histogram. */
  static decode(text: string): LatencyHistogram {
    const histogram = emptyHistogram();
    histogram.add(decodeFromCompressedBase64(text));
    return new LatencyHistogram(histogram);
  }

  /** `times`: how often it took so long. */
  record(durationNs: number, times = 1): void {
    // A monotonic clock read on two cores may differ by some nanoseconds in the wrong direction.
    this.#histogram.recordValueWithCount(Math.min(Math.max(0, durationNs), DURATION_NS_MAX), times);
  }

  merge(other: LatencyHistogram): void {
    this.#histogram.add(other.#histogram);
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  /** The longest duration, as its bucket's upper end; 0 when nothing was recorded. */
  get maxNs(): number {
    return this.#histogram.maxValue;
  }

  get meanNs(): number {
    return this.count === 0 ? 0 : this.#histogram.mean;
  }

  /** The duration that `percentile` (0 to 100) of the recorded ones do not exceed; 0 when nothing was recorded. */
  percentileNs(percentile: number): number {
    return this.count === 0 ? 0 : this.#histogram.getValueAtPercentile(percentile);
  }

  /** HdrHistogram's own text form of the percentiles, milliseconds: what its plotter draws. */
  percentileText(): string {
    return this.#histogram.outputPercentileDistribution(5, 1e6);
  }

  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }

  summary(): LatencySummary {
    return {
      count: this.count,
      meanNs: Math.round(this.meanNs),
      p50Ns: this.percentileNs(50),
      p90Ns: this.percentileNs(90),
      p95Ns: this.percentileNs(95),
      p99Ns: this.percentileNs(99),
      p999Ns: this.percentileNs(99.9),
      maxNs: this.maxNs,
      histogram: this.encode(),
    };
  }
}

function emptyHistogram(): Histogram {
  return build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: DURATION_NS_MAX,
    numberOfSignificantValueDigits: SIGNIFICANT_DIGITS,
  });
}
