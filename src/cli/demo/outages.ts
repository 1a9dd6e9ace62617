/** When the store was away, epoch milliseconds: somewhere in between calls of it failed. */
export interface Outage {
  readonly from: number;
  readonly to: number;
}

/** Notes from a counter of failed storage calls when the store was away. */
export class Outages {
  readonly #found: Outage[] = [];
  #errors = 0;
  #lookedAt: number;

  constructor(now: number) {
    this.#lookedAt = now;
  }

  get all(): readonly Outage[] {
    return this.#found;
  }

  /** `errors`: how many storage calls have failed so far. */
  look(errors: number, now: number): void {
    if (errors > this.#errors) this.#found.push({ from: this.#lookedAt, to: now });
    this.#errors = errors;
    this.#lookedAt = now;
  }
}
