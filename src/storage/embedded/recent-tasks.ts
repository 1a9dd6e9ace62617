import { Column } from "./column.ts";
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
 *
 * Which slots are inside stands in a bit each: most of a deep backlog is outside, and to learn that of a Map of a
 * hundred thousand entries, all over memory, was a quarter of what planning a claim took (bench, `embedded-depth`).
 */
export class RecentTasks {
  readonly #bytesMax: number;
  readonly #bySlot = new Map<number, TaskConstants>();
  /** One bit a slot, and how many rows of 32 there are. */
  readonly #inside = Column.uint32();
  #rows = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(slot: number): TaskConstants | undefined {
    return this.#has(slot) ? this.#bySlot.get(slot) : undefined;
  }

  add(slot: number, constants: TaskConstants): void {
    const bytes = this.#bytes + constants.payload.length + RECORD_OVERHEAD;
    if (bytes > this.#bytesMax) return;
    this.#bytes = bytes;
    this.#bySlot.set(slot, constants);
    this.#mark(slot);
  }

  remove(slot: number): void {
    const constants = this.get(slot);
    if (constants === undefined) return;
    this.#bySlot.delete(slot);
    this.#bytes -= constants.payload.length + RECORD_OVERHEAD;
    const row = slot >>> 5;
    this.#inside.set(row, this.#inside.get(row) & ~(1 << (slot & 31)));
  }

  #has(slot: number): boolean {
    const row = slot >>> 5;
    return row < this.#rows && ((this.#inside.get(row) >>> (slot & 31)) & 1) === 1;
  }

  #mark(slot: number): void {
    const row = slot >>> 5;
    if (row >= this.#rows) {
      this.#inside.reach(row);
      this.#rows = row + 1;
    }
    this.#inside.set(row, this.#inside.get(row) | (1 << (slot & 31)));
  }
}
