import {
  type EventLoopUtilization,
  type IntervalHistogram,
  monitorEventLoopDelay,
  PerformanceObserver,
  performance,
} from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Allocations } from "./allocations.ts";
import { LatencyHistogram } from "./histogram.ts";
import { slopeOf } from "./statistics.ts";

/** What a process went through while it was observed. */
export interface ProcessReading {
  readonly seconds: number;
  /** Share of one core that the process used: 1 is one core. */
  readonly cpu: number;
  /** Share of the time that the event loop was at work. */
  readonly eventLoopUtilization: number;
  readonly gcCount: number;
  readonly gcTotalMs: number;
  readonly gcPauseMaxMs: number;
  /** How much later than planned a timer fired. */
  readonly eventLoopDelayP50Ms: number;
  readonly eventLoopDelayP99Ms: number;
  readonly eventLoopDelayMaxMs: number;
  readonly rssBytesMax: number;
  readonly heapUsedBytesEnd: number;
  /** Growth of the resident memory, and the standard error of it. A short run's error is infinite: then null. */
  readonly rssSlopeBytesPerS: number;
  readonly rssSlopeErrorBytesPerS: number | null;
  /** What JavaScript allocated on its heap; what lives outside of it (buffers) is not in it. */
  readonly allocatedBytes: number;
}

/** Milliseconds of `performance.now()`, from and to. */
export type Stretch = readonly [from: number, to: number];

/** The finest that libuv's timers can do. */
const DELAY_RESOLUTION_MS = 1;
const SAMPLE_MS_DEFAULT = 100;
/** Points by which the delays of one stretch are carried over. */
const DELAY_POINTS_MAX = 1_000;

interface Running {
  readonly at: number;
  readonly cpu: NodeJS.CpuUsage;
  readonly loop: EventLoopUtilization;
  readonly delay: IntervalHistogram;
  readonly allocations: Allocations;
}

/**
 * Watches garbage collection, event-loop delay and memory of this process from `start` to `stop`. What happens
 * between `pause` and `resume` is left out, except of memory: a leak has no pauses.
 */
export class ProcessObserver {
  readonly #startedAt = performance.now();
  readonly #gcs: Stretch[] = [];
  readonly #rss: [seconds: number, bytes: number][] = [];
  readonly #delays = new LatencyHistogram();
  readonly #stretches: Stretch[] = [];
  readonly #gc: PerformanceObserver;
  readonly #sampler: NodeJS.Timeout;
  #cpuUs = 0;
  #busyMs = 0;
  #allocatedBytes = 0;
  #running: Running | undefined;

  private constructor(sampleMs: number) {
    this.#gc = new PerformanceObserver((list) => this.#note(list.getEntries()));
    this.#gc.observe({ entryTypes: ["gc"] });
    this.#sampler = setInterval(() => this.#sample(), sampleMs).unref();
  }

  static start(sampleMs = SAMPLE_MS_DEFAULT): ProcessObserver {
    const observer = new ProcessObserver(sampleMs);
    observer.resume();
    return observer;
  }

  /** One that waits for its first `resume`. */
  static paused(sampleMs = SAMPLE_MS_DEFAULT): ProcessObserver {
    return new ProcessObserver(sampleMs);
  }

  /** When it watched, in order. */
  get stretches(): readonly Stretch[] {
    return this.#stretches;
  }

  /** Watches again after a `pause`. */
  resume(): void {
    if (this.#running !== undefined) return;
    const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
    delay.enable();
    this.#running = {
      delay,
      cpu: process.cpuUsage(),
      loop: performance.eventLoopUtilization(),
      allocations: Allocations.start(),
      at: performance.now(),
    };
  }

  pause(): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#stretches.push([running.at, performance.now()]);
    const cpu = process.cpuUsage(running.cpu);
    this.#cpuUs += cpu.user + cpu.system;
    this.#busyMs += performance.eventLoopUtilization(running.loop).active;
    this.#allocatedBytes += running.allocations.stop();
    running.delay.disable();
    this.#carryOver(running.delay);
  }

  async stop(): Promise<ProcessReading> {
    this.pause();
    clearInterval(this.#sampler);
    this.#sample();
    // Node hands entries over in a later turn than that of the collection.
    await nextTurn();
    this.#note(this.#gc.takeRecords());
    this.#gc.disconnect();
    const ms = this.#stretches.reduce((sum, [from, to]) => sum + to - from, 0);
    const pausesMs = this.#gcs.filter((gc) => this.#isWatched(gc)).map(([from, to]) => to - from);
    const rss = slopeOf(this.#rss);
    return {
      seconds: ms / 1_000,
      cpu: this.#cpuUs / 1_000 / ms,
      eventLoopUtilization: Math.min(1, this.#busyMs / ms),
      gcCount: pausesMs.length,
      gcTotalMs: pausesMs.reduce((sum, pause) => sum + pause, 0),
      gcPauseMaxMs: pausesMs.reduce((longest, pause) => Math.max(longest, pause), 0),
      eventLoopDelayP50Ms: this.#delays.percentileNs(50) / 1e6,
      eventLoopDelayP99Ms: this.#delays.percentileNs(99) / 1e6,
      eventLoopDelayMaxMs: this.#delays.maxNs / 1e6,
      rssBytesMax: this.#rss.reduce((most, [, bytes]) => Math.max(most, bytes), 0),
      heapUsedBytesEnd: process.memoryUsage().heapUsed,
      rssSlopeBytesPerS: rss.slope,
      rssSlopeErrorBytesPerS: Number.isFinite(rss.error) ? rss.error : null,
      allocatedBytes: Math.max(0, this.#allocatedBytes),
    };
  }

  /**
   * Node's histogram begins anew whenever it is enabled, so its points are kept here: every one while there are few.
   * It records the whole time between two firings, so the planned time comes off.
   */
  #carryOver(delay: IntervalHistogram): void {
    const points = Math.min(delay.count, DELAY_POINTS_MAX);
    for (let n = 0; n < points; n += 1) {
      const ns = n === points - 1 ? delay.max : delay.percentile((100 * (n + 0.5)) / points);
      this.#delays.record(
        ns - DELAY_RESOLUTION_MS * 1e6,
        Math.round(((n + 1) * delay.count) / points) - Math.round((n * delay.count) / points),
      );
    }
  }

  #isWatched([from]: Stretch): boolean {
    return this.#stretches.some(([start, end]) => from >= start && from <= end);
  }

  #note(entries: readonly { readonly startTime: number; readonly duration: number }[]): void {
    for (const { startTime, duration } of entries) this.#gcs.push([startTime, startTime + duration]);
  }

  #sample(): void {
    this.#rss.push([(performance.now() - this.#startedAt) / 1_000, process.memoryUsage.rss()]);
  }
}
