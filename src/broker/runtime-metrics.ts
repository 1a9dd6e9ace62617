import { type IntervalHistogram, monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks";
import { Histogram, LATENCY_BOUNDS } from "./histogram.ts";

/** How often the event loop is probed; a probe that comes later than this was delayed by the rest. */
const PROBE_MS = 20;

/** What the runtime itself does to latency: garbage collection and a busy event loop. Seconds. */
export class RuntimeMetrics {
  readonly gcPauseSeconds = new Histogram(LATENCY_BOUNDS);
  readonly #loopDelaySeconds = new Histogram(LATENCY_BOUNDS);
  readonly #observer: PerformanceObserver;
  readonly #probe: IntervalHistogram;

  constructor() {
    this.#observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) this.gcPauseSeconds.record(duration / 1_000);
    });
    this.#probe = monitorEventLoopDelay({ resolution: PROBE_MS });
  }

  start(): void {
    this.#observer.observe({ entryTypes: ["gc"] });
    this.#probe.enable();
  }

  stop(): void {
    this.#observer.disconnect();
    this.#probe.disable();
  }

  /** The delays so far. What the probe gathered since the last call is moved over, so counts never fall. */
  loopDelaySeconds(): Histogram {
    const { count } = this.#probe;
    let moved = 0;
    for (const [percentile, nanoseconds] of this.#probe.percentiles) {
      const below = Math.round((percentile / 100) * count);
      const seconds = Math.max(0, nanoseconds / 1e9 - PROBE_MS / 1_000);
      if (below > moved) this.#loopDelaySeconds.record(seconds, below - moved);
      moved = Math.max(moved, below);
    }
    this.#probe.reset();
    return this.#loopDelaySeconds;
  }
}
