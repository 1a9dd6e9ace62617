const CHUNK_BYTES = 1024 * 1024;
/** So that a length fits a byte. */
const ID_LENGTH_MAX = 255;

/** The bytes of a tape and how many ids they hold. */
export interface WrittenTape {
  readonly chunks: readonly Uint8Array[];
  readonly length: number;
}

/**
 * A long list of ids that the garbage collector does not see: written as bytes outside the heap.
 *
 * A ledger of strings keeps every id of a run alive, in the heap of the very process whose collections are
 * being measured.
 */
export class IdTape implements Iterable<string> {
  readonly #chunks: Buffer[] = [];
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Appends an id of 1 to 255 ASCII characters. @throws {RangeError} for another length. */
  push(id: string): void {
    if (id.length === 0 || id.length > ID_LENGTH_MAX) {
      throw new RangeError(`Expected an id of 1 to ${ID_LENGTH_MAX} characters, got ${id.length}`);
    }
    if (this.#at + id.length >= this.#chunk.length) this.#begin();
    const chunk = this.#chunk;
    let at = this.#at;
    chunk[at] = id.length;
    for (let i = 0; i < id.length; i += 1) {
      at += 1;
      chunk[at] = id.charCodeAt(i);
    }
    this.#at = at + 1;
    this.#length += 1;
  }

  /** What was written so far, for another tape; it may go through a message to another process. */
  get written(): WrittenTape {
    return {
      chunks: this.#chunks.map((chunk) => (chunk === this.#chunk ? chunk.subarray(0, this.#at + 1) : chunk)),
      length: this.#length,
    };
  }

  /** Appends what another tape has written. */
  append({ chunks, length }: WrittenTape): void {
    // The next id of this one begins a chunk of its own.
    for (const chunk of chunks)
      this.#chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#chunk = Buffer.alloc(0);
    this.#length += length;
  }

  *[Symbol.iterator](): Generator<string> {
    for (const chunk of this.#chunks) {
      let at = 0;
      // A chunk is zero behind its last id, and no id is empty.
      for (let length = chunk[at] ?? 0; length > 0; length = chunk[at] ?? 0) {
        yield chunk.toString("latin1", at + 1, at + 1 + length);
        at += 1 + length;
      }
    }
  }

  #begin(): void {
    this.#chunk = Buffer.alloc(CHUNK_BYTES);
    this.#chunks.push(this.#chunk);
    this.#at = 0;
  }
}
