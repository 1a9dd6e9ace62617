import type { TaskConstants } from "./engine.ts";

/** What a record on the heap costs beyond its payload; a rough measure for the bound. */
const RECORD_OVERHEAD = 250;
const FIRST_CAPACITY = 1024;

/**
 * The constants of recent tasks on the heap, within a bound of bytes; the oldest go first. A task is mostly
 * claimed soon after it was enqueued, and then needs no reading back.
 *
 * The order of leaving is a ring of its own: asking a Map for its first key walks over all that were deleted
 * before it, which made an enqueue five times slower at a depth of 100,000 (bench, `embedded-claim`).
 */
export class RecentTasks {
  readonly #bytesMax: number;
  readonly #bySlot = new Map<number, TaskConstants>();
  #bytes = 0;
  /** Slots in order of arrival; one that was forgotten since, or that came again, stands here in vain. */
  #order = new Uint32Array(FIRST_CAPACITY);
  #first = 0;
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(slot: number): TaskConstants | undefined {
    return this.#bySlot.get(slot);
  }

  add(slot: number, constants: TaskConstants): void {
    this.#bySlot.set(slot, constants);
    this.#bytes += constants.payload.length + RECORD_OVERHEAD;
    if (this.#length === this.#order.length) this.#makeRoom();
    this.#order[(this.#first + this.#length) & (this.#order.length - 1)] = slot;
    this.#length += 1;
    while (this.#bytes > this.#bytesMax) this.#removeOldest();
  }

  remove(slot: number): void {
    const constants = this.#bySlot.get(slot);
    if (constants === undefined) return;
    this.#bySlot.delete(slot);
    this.#bytes -= constants.payload.length + RECORD_OVERHEAD;
  }

  #removeOldest(): void {
    const slot = this.#order[this.#first] as number;
    this.#first = (this.#first + 1) & (this.#order.length - 1);
    this.#length -= 1;
    this.remove(slot);
  }

  /** Drops what stands in the ring in vain; grows it when that was less than half. */
  #makeRoom(): void {
    const slots = [...this.#bySlot.keys()];
    const isFull = slots.length * 2 > this.#order.length;
    this.#order = new Uint32Array(isFull ? this.#order.length * 2 : this.#order.length);
    this.#order.set(slots);
    this.#first = 0;
    this.#length = slots.length;
  }
}
