import { turned } from "./turn.ts";

/** A loop works for so long before it lets the event loop turn. */
const SLICE_MS = 2;

/**
 * Lets background work run in slices of 2 ms. Whole turns after each step would be too slow: callers on an
 * engine in the same process finish more tasks in one turn than one step can prune.
 */
export class Pace {
  #sliceEndsAt = performance.now() + SLICE_MS;

  /** Resolves at once, or after a turn of the event loop when the slice is used up. */
  async rest(): Promise<void> {
    if (performance.now() < this.#sliceEndsAt) return;
    await turned();
    this.#sliceEndsAt = performance.now() + SLICE_MS;
  }
}
