/**
 * Holds requests that arrive in one turn of the event loop, and answers that are ready in it, and runs them
 * together at its end.
 *
 * Requests, so that the claims of many connections are asked for in one moment and travel to the engine in one
 * call. Answers, so that a client with many connections to this machine is woken once for all of them instead
 * of once for each. Neither waits for a time, only until what had already arrived was looked at. For the cost,
 * at one connection and at fifty: bench/results, http-claim.
 */
export class Turn {
  #held: (() => void)[] = [];
  /**
   * True while what was held runs, and in the microtasks that follow: the answer to a request that was held and
   * that the engine answers at once is written in the same turn, it need not wait for the end of another one.
   */
  isEnding = false;

  /** Runs `run`, in the order of the calls, when everything that arrived in this turn was read. It must not throw. */
  atEnd(run: () => void): void {
    if (this.#held.push(run) === 1) setImmediate(this.#run);
  }

  readonly #run = (): void => {
    const held = this.#held;
    this.#held = [];
    this.isEnding = true;
    for (const run of held) run();
    setImmediate(this.#ended);
  };

  readonly #ended = (): void => {
    this.isEnding = false;
  };
}
