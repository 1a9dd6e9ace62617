const FIRST_MS = 100;
const LONGEST_MS = 10_000;
/** One that served for so long had no trouble from the start. */
const GOOD_MS = 10_000;

/** How long to wait before a process is started in the place of one that ended. */
export class Restarts {
  #short = 0;

  /** `livedMs`: how long the one that ended had been there. */
  waitMs(livedMs: number): number {
    this.#short = livedMs >= GOOD_MS ? 0 : this.#short + 1;
    return this.#short === 0 ? FIRST_MS : Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.#short - 1));
  }
}
