/**
 * A histogram with fixed upper bounds, as Prometheus wants it: recording is a short search in a typed array
 * and allocates nothing. The unit is the caller's; the metrics here are in seconds.
 */
export class Histogram {
  readonly bounds: Float64Array;
  /** One count for each bound, and one for what is above the last. */
  readonly counts: Float64Array;
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = Float64Array.from(bounds);
    this.counts = new Float64Array(bounds.length + 1);
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#count;
  }

  /** Counts `value`, `times` times. */
  record(value: number, times = 1): void {
    const bounds = this.bounds;
    let index = 0;
    // From below, because the values that are recorded a hundred thousand times a second are small.
    while (index < bounds.length && value > (bounds[index] as number)) index += 1;
    this.counts[index] = (this.counts[index] as number) + times;
    this.#sum += value * times;
    this.#count += times;
  }
}

/** Upper bounds in seconds for what takes microseconds when all is well: 50 µs to a minute. */
export const LATENCY_BOUNDS: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30, 60,
];

/** Upper bounds in seconds for what takes as long as people and their tasks do: a millisecond to a day. */
export const DURATION_BOUNDS: readonly number[] = [
  0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400,
];

/** Upper bounds of the number of calls that travelled together. */
export const BATCH_BOUNDS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000];
