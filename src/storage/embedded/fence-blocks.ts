import type { Journal } from "./journal.ts";
import { RECORD, writeNumber } from "./records.ts";

/**
 * Gives out fences: one counter for the whole folder, so that they grow with each claim of a task (I2).
 *
 * The end of a block is on disk before the first fence of the block is used, and opening begins at that end:
 * so no fence ever comes back, also when a power cut took the claims that used it (I7).
 */
export class FenceBlocks {
  readonly #journal: Journal;
  /** Fences of a block; a restart skips what is left of one. */
  readonly #block: number;
  #next = 1;
  #end = 1;
  /** The end that the journal holds but that is not flushed yet, and the frame that holds it. */
  #written = 1;
  #writtenIn = 0;

  constructor(journal: Journal, block: number) {
    this.#journal = journal;
    this.#block = block;
  }

  /** No fence at or above this number has been used. */
  get end(): number {
    return this.#written;
  }

  /** Continues at a recovered end, with a fresh block that is flushed now. */
  open(end: number): void {
    this.#next = end;
    this.#written = end;
    this.#extend();
    this.#journal.syncNow();
    this.#end = this.#written;
  }

  next(): number {
    if (this.#next === this.#end) this.#nextBlock();
    else if (this.#end - this.#next === this.#block >>> 1 && this.#written === this.#end) this.#prepare();
    const fence = this.#next;
    this.#next = fence + 1;
    return fence;
  }

  /** Continues above `fence`, which another store gave out for a task that comes here. */
  exceed(fence: number): void {
    if (fence < this.#next) return;
    this.#next = fence + 1;
    if (this.#next < this.#end) return;
    // Out of the block: the next fence waits until the record of a further one is flushed.
    this.#end = this.#next;
    if (this.#written > this.#next) return;
    this.#written = this.#next;
    this.#extend();
  }

  /** Half a block before its end, the next one is written and left to the background flush. */
  #prepare(): void {
    // Only a hint: when the disk has no room now, the end of the block tries again and says so.
    if (!this.#journal.full) this.#extend();
  }

  #nextBlock(): void {
    if (this.#written === this.#end) this.#extend();
    if (this.#writtenIn > this.#journal.synced) this.#journal.syncNow();
    this.#end = this.#written;
  }

  #extend(): void {
    writeNumber(this.#journal.begin(), RECORD.fences, this.#written + this.#block);
    this.#journal.commit(true);
    this.#written += this.#block;
    this.#writtenIn = this.#journal.sequence;
  }
}
