import type { TaskConstants } from "./records.ts";

/** What a record on the heap costs beyond its payload; a rough measure for the bound. */
const RECORD_OVERHEAD = 250;

/**
 * The constants of ready tasks on the heap, within a bound of bytes, until they finish.
 *
 * When it is full, newcomers stay outside and are read back from the journal: those inside are claimed first.
 * Making room by removing the oldest would remove just what is claimed next, and walking a Map from its
 * front, over all that was deleted there, made an enqueue five times slower at a depth of 100,000
 * (bench, `embedded-claim`).
 */
export class RecentTasks {
  readonly #bytesMax: number;
  readonly #bySlot = new Map<number, TaskConstants>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(slot: number): TaskConstants | undefined {
    return this.#bySlot.get(slot);
  }

  add(slot: number, constants: TaskConstants): void {
    const bytes = this.#bytes + constants.payload.length + RECORD_OVERHEAD;
    if (bytes > this.#bytesMax) return;
    this.#bytes = bytes;
    this.#bySlot.set(slot, constants);
  }

  remove(slot: number): void {
    const constants = this.#bySlot.get(slot);
    if (constants === undefined) return;
    this.#bySlot.delete(slot);
    this.#bytes -= constants.payload.length + RECORD_OVERHEAD;
  }
}
