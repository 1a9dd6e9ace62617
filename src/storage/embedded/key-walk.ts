import type { RememberedKey } from "./queue-state.ts";

/**
 * Finds the oldest remembered key, again and again, while keys are removed. A Map walked anew from its front passes
 * over the places of all that was deleted there since it grew last: with two million keys that made forgetting them
 * three times as slow, and it grows with their number. So one walk goes on where it was.
 */
export class KeyWalk {
  readonly #keys: ReadonlyMap<string, RememberedKey>;
  #walk: Iterator<RememberedKey> | undefined;
  #last: RememberedKey | undefined;

  constructor(keys: ReadonlyMap<string, RememberedKey>) {
    this.#keys = keys;
  }

  /** The key that stands first; undefined when there is none. */
  oldest(): RememberedKey | undefined {
    if (this.#last !== undefined && this.#keys.get(this.#last.key) === this.#last) return this.#last;
    // All that it passed is gone, so a walk at its end has seen all there is; what comes later needs a new one.
    this.#walk ??= this.#keys.values();
    const { value, done } = this.#walk.next();
    if (done === true) this.#walk = undefined;
    this.#last = done === true ? undefined : value;
    return this.#last;
  }
}
