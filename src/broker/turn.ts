/** After so long without a turn of the event loop, the next call leaves only after one. */
const TURN_MS = 5;
/** The clock is read each so many times only: reading it costs as much as all the rest here. */
const TIMES_BETWEEN_READINGS = 8;

const NOW = Promise.resolve();

/**
 * Decides when the calls that were gathered leave: at the end of the running microtask, or, once in a while,
 * after a turn of the event loop.
 *
 * An engine in the same process answers within the microtask queue, so callers that loop over it would never
 * let the event loop turn: no socket read, no timer fired, no signal handled. One turn each 5 ms costs a
 * loop of claims less than a thousandth, and a solitary claim a few microseconds.
 */
export class Turn {
  #turnedAt = performance.now();
  #times = 0;

  /** Runs `leave`, which must not throw, soon: all who ask in the same moment have asked by then. */
  soon(leave: () => void): void {
    this.#times = (this.#times + 1) % TIMES_BETWEEN_READINGS;
    if (this.#times > 0 || performance.now() - this.#turnedAt < TURN_MS) {
      // Not queueMicrotask, which costs three times as much in Node 20: it makes an async resource each time.
      void NOW.then(leave);
      return;
    }
    setImmediate(() => {
      this.#turnedAt = performance.now();
      leave();
    });
  }
}

/** Resolves after the event loop has served what is waiting for it. */
export function turned(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
