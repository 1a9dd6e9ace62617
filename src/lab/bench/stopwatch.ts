import { nowNs } from "../nano-clock.ts";
import type { BenchPlace } from "./place.ts";
import type { Tally } from "./tally.ts";

/**
 * What comes before a stretch (filling, completing) leaves the code of the calls cold and the young heap full: so
 * long they are made without being counted.
 */
const LEAD_IN_NS = 100e6;

/** The share of a stretch's tasks that the lead-in leaves to be measured. */
const LEAD_IN_LEAVES = 0.8;

export interface StopwatchOptions {
  readonly place: Pick<BenchPlace, "client" | "server" | "redis">;
  readonly tally: Tally;
  /** To be measured in all. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** Told the share of `seconds` that is measured, 0 to 1. */
  readonly onProgress: (done: number) => void;
}

/** Says when it is over; asked before each step, so it is quick. */
export type IsOver = () => boolean;

/** What is done in a stretch. It ends when it is over, or when of its tasks no more than `leave`, 0 to 1, are left. */
export type Stretch = (isOver: IsOver, leave: number) => Promise<void>;

/** Measures the stretches of one run: time, processes and Redis, and nothing of what is done between them. */
export class Stopwatch {
  readonly #options: StopwatchOptions;
  #measuredNs = 0;

  constructor(options: StopwatchOptions) {
    this.#options = options;
  }

  get seconds(): number {
    return this.#measuredNs / 1e9;
  }

  /** True when all is measured, or was interrupted. */
  get isOver(): boolean {
    return this.#options.signal.aborted || this.seconds >= this.#options.seconds;
  }

  /** Does the work twice: for a moment without counting it, then until its time is over. */
  async time(work: Stretch): Promise<void> {
    const { place, tally, seconds, signal, onProgress } = this.#options;
    const until = (end: number) => () => signal.aborted || nowNs() >= end;
    tally.isMuted = true;
    await work(until(nowNs() + Math.min(LEAD_IN_NS, (seconds * 1e9) / 10)), LEAD_IN_LEAVES);
    await place.redis?.resume();
    await place.server?.resume();
    await place.client.resume();
    tally.isMuted = false;
    const startedAt = nowNs();
    const told = setInterval(() => onProgress(this.#share(nowNs() - startedAt)), 200).unref();
    try {
      await work(until(startedAt + seconds * 1e9 - this.#measuredNs), 0);
    } finally {
      clearInterval(told);
      this.#measuredNs += nowNs() - startedAt;
      tally.isMuted = true;
      await place.client.pause();
      await place.server?.pause();
      await place.redis?.pause();
    }
    onProgress(this.#share(0));
  }

  #share(runningNs: number): number {
    return Math.min(1, (this.#measuredNs + runningNs) / 1e9 / this.#options.seconds);
  }
}
