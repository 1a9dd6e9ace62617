import type { Column } from "./column.ts";

const PARTITIONS = 256;
const FIRST_CAPACITY = 8;

/**
 * Finds the slot of a task by the 96 random bits of its id: open addressing over typed arrays.
 *
 * The random bits are the hash. Ids spread over partitions which grow on their own, so that no growth ever
 * moves more than a 256th of the tasks at once: a Map of strings costs ten times the memory and makes
 * pauses of 70 ms at a million (bench, `embedded-depth`).
 */
export class IdIndex {
  readonly #tables: Uint32Array[];
  readonly #sizes = new Uint32Array(PARTITIONS);
  readonly #a: Column;
  readonly #b: Column;
  readonly #c: Column;

  /** The columns hold the three words of each slot's id. */
  constructor(a: Column, b: Column, c: Column) {
    this.#tables = Array.from({ length: PARTITIONS }, () => new Uint32Array(FIRST_CAPACITY));
    this.#a = a;
    this.#b = b;
    this.#c = c;
  }

  /** The slot, or -1. */
  find(a: number, b: number, c: number): number {
    const table = this.#tables[a % PARTITIONS] as Uint32Array;
    const mask = table.length - 1;
    for (let at = b & mask; ; at = (at + 1) & mask) {
      const slot = (table[at] as number) - 1;
      if (slot === -1) return -1;
      if (this.#b.get(slot) === b && this.#a.get(slot) === a && this.#c.get(slot) === c) return slot;
    }
  }

  /** Adds a slot whose id is in the columns. */
  add(slot: number): void {
    const partition = this.#a.get(slot) % PARTITIONS;
    let table = this.#tables[partition] as Uint32Array;
    const size = (this.#sizes[partition] as number) + 1;
    this.#sizes[partition] = size;
    if (size * 2 > table.length) table = this.#grow(partition, table);
    this.#place(table, slot);
  }

  remove(slot: number): void {
    const partition = this.#a.get(slot) % PARTITIONS;
    const table = this.#tables[partition] as Uint32Array;
    const mask = table.length - 1;
    let hole = this.#b.get(slot) & mask;
    while (table[hole] !== slot + 1) hole = (hole + 1) & mask;
    this.#sizes[partition] = (this.#sizes[partition] as number) - 1;
    // Shift back what was pushed past its place, so that no search ends too early.
    for (let at = (hole + 1) & mask; table[at] !== 0; at = (at + 1) & mask) {
      const home = this.#b.get((table[at] as number) - 1) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        table[hole] = table[at] as number;
        hole = at;
      }
    }
    table[hole] = 0;
  }

  #grow(partition: number, from: Uint32Array): Uint32Array {
    const table = new Uint32Array(from.length * 2);
    this.#tables[partition] = table;
    for (const entry of from) if (entry !== 0) this.#place(table, entry - 1);
    return table;
  }

  #place(table: Uint32Array, slot: number): void {
    const mask = table.length - 1;
    let at = this.#b.get(slot) & mask;
    while (table[at] !== 0) at = (at + 1) & mask;
    table[at] = slot + 1;
  }
}
