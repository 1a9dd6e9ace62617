import { GCProfiler } from "node:v8";

/**
 * Counts what JavaScript allocates: what the heap grew by, and what each collection took away meanwhile. V8 has no
 * counter of it. Code and buffers outside of the heap are not counted.
 */
export class Allocations {
  readonly #profiler = new GCProfiler();
  readonly #before: number;

  private constructor() {
    this.#profiler.start();
    this.#before = process.memoryUsage().heapUsed;
  }

  static start(): Allocations {
    return new Allocations();
  }

  /** The bytes since `start`. Once. */
  stop(): number {
    const grown = process.memoryUsage().heapUsed - this.#before;
    return this.#profiler
      .stop()
      .statistics.reduce(
        (sum, { beforeGC, afterGC }) =>
          sum + beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize,
        grown,
      );
  }
}
