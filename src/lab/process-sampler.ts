import { type IntervalHistogram, monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";

/** What a process went through since the sample before. */
export interface ProcessSample {
  readonly rssBytes: number;
  readonly gcPauseMaxMs: number;
  /** How much later than planned a timer fired, at most. */
  readonly eventLoopDelayMaxMs: number;
}

/** Coarser than that of `ProcessObserver`, which may watch beside it. */
const DELAY_RESOLUTION_MS = 10;

/** Watches this process in samples, for a picture over time. */
export class ProcessSampler {
  readonly #gc: PerformanceObserver;
  readonly #delay: IntervalHistogram;
  #gcPauseMaxMs = 0;

  constructor() {
    this.#gc = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries())
        this.#gcPauseMaxMs = Math.max(this.#gcPauseMaxMs, duration);
    });
    this.#gc.observe({ entryTypes: ["gc"] });
    this.#delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
    this.#delay.enable();
  }

  sample(): ProcessSample {
    const delayMs = this.#delay.count === 0 ? 0 : this.#delay.max / 1e6 - DELAY_RESOLUTION_MS;
    const sample = {
      rssBytes: process.memoryUsage.rss(),
      gcPauseMaxMs: this.#gcPauseMaxMs,
      eventLoopDelayMaxMs: Math.max(0, delayMs),
    };
    this.#gcPauseMaxMs = 0;
    this.#delay.reset();
    return sample;
  }

  stop(): void {
    this.#gc.disconnect();
    this.#delay.disable();
  }
}
