import type { Clock } from "../../clock.ts";

/** How long a sample counts: clocks drift, and so does a network. */
const WINDOW_MS = 10_000;

/**
 * The time of the Redis server as this process knows it, from the times that came with its answers.
 *
 * An answer is older than its arrival by its way back, so every sample is late and the largest of the last
 * seconds is the best: at most one way of the quickest answer behind.
 */
export class ServerClock implements Clock {
  #offset = Date.now() - performance.now();
  #best = Number.NEGATIVE_INFINITY;
  #bestBefore = Number.NEGATIVE_INFINITY;
  #windowEndsAt = 0;

  now(): number {
    return Math.floor(performance.now() + this.#offset);
  }

  /** The server's time in an answer that has just come. */
  sample(serverNow: number): void {
    const arrivedAt = performance.now();
    const offset = serverNow - arrivedAt;
    if (arrivedAt > this.#windowEndsAt) {
      this.#bestBefore = this.#best;
      this.#best = Number.NEGATIVE_INFINITY;
      this.#windowEndsAt = arrivedAt + WINDOW_MS;
    }
    if (offset > this.#best) this.#best = offset;
    this.#offset = Math.max(this.#best, this.#bestBefore);
  }
}

/** Shifts an engine's time in tests: the scripts add it to the server's. */
export class OffsetClock {
  #offsetMs = 0;

  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Moves time forward by `ms`, 0 or more. */
  advance(ms: number): void {
    this.#offsetMs += ms;
  }
}
