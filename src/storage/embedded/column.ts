/**
 * A growing column of numbers, in pages: growing never copies what is there, so filling a million rows
 * makes no pause, and the garbage collector has nothing to scan.
 */
const BITS = 13;
const PAGE = 1 << BITS;
const MASK = PAGE - 1;

interface Page {
  [index: number]: number;
}

export class Column {
  readonly #pages: Page[] = [];
  readonly #make: () => Page;

  private constructor(make: () => Page) {
    this.#make = make;
  }

  static float64(): Column {
    return new Column(() => new Float64Array(PAGE));
  }

  static uint32(): Column {
    return new Column(() => new Uint32Array(PAGE));
  }

  static uint16(): Column {
    return new Column(() => new Uint16Array(PAGE));
  }

  static uint8(): Column {
    return new Column(() => new Uint8Array(PAGE));
  }

  get(row: number): number {
    return (this.#pages[row >>> BITS] as Page)[row & MASK] as number;
  }

  set(row: number, value: number): void {
    (this.#pages[row >>> BITS] as Page)[row & MASK] = value;
  }

  /** Makes rows up to and including `row` usable; they are 0. */
  reach(row: number): void {
    while (this.#pages.length <= row >>> BITS) this.#pages.push(this.#make());
  }
}
