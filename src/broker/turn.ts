/** After the event loop stood still for so long, the next call leaves only after a turn of it. */
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
 * loop of claims less than a thousandth. Where the microtask queue runs empty in between, as with every engine
 * behind a network, a call always leaves in the tick in which it was asked for.
 */
export class Turn {
  /** Calls since the microtask queue was empty last. */
  #times = 0;
  #beganAt = 0;

  /** Runs `leave`, which must not throw, soon: all who ask in the same moment have asked by then. */
  soon(leave: () => void): void {
    // Ticks run only once the microtask queue is empty: never while callers loop within it.
    if (this.#times === 0) process.nextTick(this.#beginAnew);
    this.#times += 1;
    if (this.#times % TIMES_BETWEEN_READINGS === 0 && this.#isDue()) setImmediate(leave);
    // Not queueMicrotask, which costs three times as much in Node 20: it makes an async resource each time.
    else void NOW.then(leave);
  }

  #isDue(): boolean {
    const now = performance.now();
    if (this.#times > TIMES_BETWEEN_READINGS) return now - this.#beganAt >= TURN_MS;
    this.#beganAt = now;
    return false;
  }

  readonly #beginAnew = (): void => {
    this.#times = 0;
  };
}

/** Resolves after the event loop has served what is waiting for it. */
export function turned(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
