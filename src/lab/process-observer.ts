import {
  type EventLoopUtilization,
  type IntervalHistogram,
  monitorEventLoopDelay,
  type PerformanceEntry,
  PerformanceObserver,
  performance,
} from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
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
}

/** The finest that libuv's timers can do. */
const DELAY_RESOLUTION_MS = 1;
const SAMPLE_MS_DEFAULT = 100;

/** Watches garbage collection, event-loop delay and memory of this process from `start` to `stop`. */
export class ProcessObserver {
  readonly #startedAt = performance.now();
  readonly #cpu = process.cpuUsage();
  readonly #loop: EventLoopUtilization = performance.eventLoopUtilization();
  readonly #pausesMs: number[] = [];
  readonly #rss: [seconds: number, bytes: number][] = [];
  readonly #gc: PerformanceObserver;
  readonly #delay: IntervalHistogram;
  readonly #sampler: NodeJS.Timeout;

  private constructor(sampleMs: number) {
    this.#gc = new PerformanceObserver((list) => this.#note(list.getEntries()));
    this.#gc.observe({ entryTypes: ["gc"] });
    this.#delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
    this.#delay.enable();
    this.#sampler = setInterval(() => this.#sample(), sampleMs).unref();
  }

  static start(sampleMs = SAMPLE_MS_DEFAULT): ProcessObserver {
    return new ProcessObserver(sampleMs);
  }

  async stop(): Promise<ProcessReading> {
    clearInterval(this.#sampler);
    this.#delay.disable();
    this.#sample();
    const seconds = (performance.now() - this.#startedAt) / 1_000;
    const cpu = process.cpuUsage(this.#cpu);
    const loop = performance.eventLoopUtilization(this.#loop);
    // Node hands entries over in a later turn than that of the collection.
    await nextTurn();
    this.#note(this.#gc.takeRecords());
    this.#gc.disconnect();
    const rss = slopeOf(this.#rss);
    return {
      seconds,
      cpu: (cpu.user + cpu.system) / 1e6 / seconds,
      eventLoopUtilization: loop.utilization,
      gcCount: this.#pausesMs.length,
      gcTotalMs: this.#pausesMs.reduce((sum, pause) => sum + pause, 0),
      gcPauseMaxMs: this.#pausesMs.reduce((longest, pause) => Math.max(longest, pause), 0),
      ...this.#delays(),
      rssBytesMax: this.#rss.reduce((most, [, bytes]) => Math.max(most, bytes), 0),
      heapUsedBytesEnd: process.memoryUsage().heapUsed,
      rssSlopeBytesPerS: rss.slope,
      rssSlopeErrorBytesPerS: Number.isFinite(rss.error) ? rss.error : null,
    };
  }

  /** Node records the whole time between two firings, so the planned time comes off; without a firing all is 0. */
  #delays() {
    const late = (ns: number) => (this.#delay.count === 0 ? 0 : Math.max(0, ns / 1e6 - DELAY_RESOLUTION_MS));
    return {
      eventLoopDelayP50Ms: late(this.#delay.percentile(50)),
      eventLoopDelayP99Ms: late(this.#delay.percentile(99)),
      eventLoopDelayMaxMs: late(this.#delay.max),
    };
  }

  #note(entries: readonly PerformanceEntry[]): void {
    for (const entry of entries) this.#pausesMs.push(entry.duration);
  }

  #sample(): void {
    this.#rss.push([(performance.now() - this.#startedAt) / 1_000, process.memoryUsage.rss()]);
  }
}
