const CHUNK = 512;
const FIRST_CAPACITY = 8;

interface Chunk {
  keys: Float64Array;
  ties: Float64Array | undefined;
  slots: Uint32Array;
  /** Entries are at start ≤ index < end; taking from the front only moves `start`. */
  start: number;
  end: number;
}

/**
 * Slots sorted by (key, tie), in chunks of typed arrays: ready tasks by their place, scheduled ones by time,
 * leases by their end, finished ones by the moment of finishing.
 *
 * Adding at the end and taking from the front, what a queue does all day, touch one chunk. Removing from the
 * middle (cancel, settle) is exact, so there are no tombstones and no rebuilding, and a listing continues
 * from any key in O(log n). Rings and heaps with lazy removal were the alternative: 4 to 8 bytes a task
 * less, but a ring behind one stuck head grows with every cancelled task, and a heap cannot be listed.
 */
export class SortedSlots {
  readonly #chunks: Chunk[] = [];
  readonly #tied: boolean;
  #size = 0;

  /** `tied`: entries may share a key and then need a tie. */
  constructor(tied: boolean) {
    this.#tied = tied;
  }

  get size(): number {
    return this.#size;
  }

  /** The smallest key, or undefined when empty. */
  firstKey(): number | undefined {
    const chunk = this.#chunks[0];
    return this.#size === 0 || chunk === undefined ? undefined : (chunk.keys[chunk.start] as number);
  }

  lastKey(): number | undefined {
    const chunk = this.#chunks.at(-1);
    return this.#size === 0 || chunk === undefined ? undefined : (chunk.keys[chunk.end - 1] as number);
  }

  firstSlot(): number | undefined {
    const chunk = this.#chunks[0];
    return this.#size === 0 || chunk === undefined ? undefined : (chunk.slots[chunk.start] as number);
  }

  /** Appends up to `count` slots from the front to `into`. */
  head(count: number, into: number[]): void {
    let left = count;
    for (let c = 0; c < this.#chunks.length && left > 0; c += 1) {
      const chunk = this.#chunks[c] as Chunk;
      const end = Math.min(chunk.end, chunk.start + left);
      for (let i = chunk.start; i < end; i += 1) into.push(chunk.slots[i] as number);
      left -= end - chunk.start;
    }
  }

  /** Appends up to `count` slots with key ≤ `key` from the front to `into`. */
  headUpTo(key: number, count: number, into: number[]): void {
    for (const chunk of this.#chunks) {
      for (let i = chunk.start; i < chunk.end; i += 1) {
        if (into.length >= count || (chunk.keys[i] as number) > key) return;
        into.push(chunk.slots[i] as number);
      }
    }
  }

  /** Appends up to `count` slots that come after (key, tie) to `into`. */
  after(key: number, tie: number, count: number, into: number[]): void {
    let left = this.#size === 0 ? 0 : count;
    for (let c = this.#chunkFor(key, tie); c < this.#chunks.length && left > 0; c += 1) {
      const chunk = this.#chunks[c] as Chunk;
      for (let i = this.#upperBound(chunk, key, tie); i < chunk.end && left > 0; i += 1) {
        into.push(chunk.slots[i] as number);
        left -= 1;
      }
    }
  }

  add(key: number, tie: number, slot: number): void {
    this.#size += 1;
    const last = this.#chunks.at(-1);
    if (last === undefined || this.#size === 1 || this.#compare(last, last.end - 1, key, tie) < 0) {
      this.#append(last, key, tie, slot);
      return;
    }
    const c = this.#chunkFor(key, tie);
    this.#insert(c, this.#upperBound(this.#chunks[c] as Chunk, key, tie), key, tie, slot);
  }

  /** Removes the entry (key, tie). It must be there: anything else is a bug of the caller. */
  remove(key: number, tie: number): void {
    const c = this.#chunkFor(key, tie);
    const chunk = this.#size === 0 ? undefined : this.#chunks[c];
    const index = chunk === undefined ? -1 : this.#upperBound(chunk, key, tie) - 1;
    if (chunk === undefined || index < chunk.start || this.#compare(chunk, index, key, tie) !== 0) {
      throw new Error(`No entry (${key}, ${tie}) to remove`);
    }
    this.#size -= 1;
    if (index === chunk.start) chunk.start += 1;
    else {
      chunk.keys.copyWithin(index, index + 1, chunk.end);
      chunk.ties?.copyWithin(index, index + 1, chunk.end);
      chunk.slots.copyWithin(index, index + 1, chunk.end);
      chunk.end -= 1;
    }
    if (chunk.start < chunk.end) return;
    // The only chunk stays: a queue that goes from empty to one and back must not allocate.
    if (this.#chunks.length > 1) this.#chunks.splice(c, 1);
    else chunk.start = chunk.end = 0;
  }

  #append(last: Chunk | undefined, key: number, tie: number, slot: number): void {
    let chunk = last;
    if (chunk !== undefined && chunk.end === CHUNK && chunk.start >= CHUNK / 2) this.#slide(chunk);
    if (chunk === undefined || chunk.end === CHUNK) {
      chunk = this.#newChunk(last === undefined ? FIRST_CAPACITY : CHUNK);
      this.#chunks.push(chunk);
    } else if (chunk.end === chunk.slots.length) this.#grow(chunk);
    this.#put(chunk, chunk.end, key, tie, slot);
    chunk.end += 1;
  }

  #insert(c: number, index: number, key: number, tie: number, slot: number): void {
    const chunk = this.#chunks[c] as Chunk;
    if (chunk.start > 0) {
      // Room at the front: a release goes to the head, and everything taken before it left a gap.
      chunk.keys.copyWithin(chunk.start - 1, chunk.start, index);
      chunk.ties?.copyWithin(chunk.start - 1, chunk.start, index);
      chunk.slots.copyWithin(chunk.start - 1, chunk.start, index);
      chunk.start -= 1;
      this.#put(chunk, index - 1, key, tie, slot);
    } else if (chunk.end < CHUNK) {
      if (chunk.end === chunk.slots.length) this.#grow(chunk);
      chunk.keys.copyWithin(index + 1, index, chunk.end);
      chunk.ties?.copyWithin(index + 1, index, chunk.end);
      chunk.slots.copyWithin(index + 1, index, chunk.end);
      chunk.end += 1;
      this.#put(chunk, index, key, tie, slot);
    } else {
      this.#split(c);
      const next = this.#chunks[c + 1] as Chunk;
      if (this.#compare(next, next.start, key, tie) > 0) this.#insert(c, index, key, tie, slot);
      else this.#insert(c + 1, index - CHUNK / 2, key, tie, slot);
    }
  }

  #split(c: number): void {
    const chunk = this.#chunks[c] as Chunk;
    const upper = this.#newChunk(CHUNK);
    const half = CHUNK / 2;
    upper.keys.set(chunk.keys.subarray(half, chunk.end));
    if (chunk.ties !== undefined) upper.ties?.set(chunk.ties.subarray(half, chunk.end));
    upper.slots.set(chunk.slots.subarray(half, chunk.end));
    upper.end = chunk.end - half;
    chunk.end = half;
    this.#chunks.splice(c + 1, 0, upper);
  }

  /** Moves the entries to the start of the chunk, which a queue with few entries does instead of allocating. */
  #slide(chunk: Chunk): void {
    chunk.keys.copyWithin(0, chunk.start, chunk.end);
    chunk.ties?.copyWithin(0, chunk.start, chunk.end);
    chunk.slots.copyWithin(0, chunk.start, chunk.end);
    chunk.end -= chunk.start;
    chunk.start = 0;
  }

  #newChunk(capacity: number): Chunk {
    return {
      keys: new Float64Array(capacity),
      ties: this.#tied ? new Float64Array(capacity) : undefined,
      slots: new Uint32Array(capacity),
      start: 0,
      end: 0,
    };
  }

  #grow(chunk: Chunk): void {
    const larger = this.#newChunk(Math.min(CHUNK, chunk.slots.length * 4));
    larger.keys.set(chunk.keys);
    if (chunk.ties !== undefined) larger.ties?.set(chunk.ties);
    larger.slots.set(chunk.slots);
    chunk.keys = larger.keys;
    chunk.ties = larger.ties;
    chunk.slots = larger.slots;
  }

  #put(chunk: Chunk, index: number, key: number, tie: number, slot: number): void {
    chunk.keys[index] = key;
    if (chunk.ties !== undefined) chunk.ties[index] = tie;
    chunk.slots[index] = slot;
  }

  /** The last chunk whose first entry is not after (key, tie), or the first chunk. */
  #chunkFor(key: number, tie: number): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    // A claim takes from the front, however many chunks there are behind.
    const second = this.#chunks[1];
    if (second !== undefined && this.#compare(second, second.start, key, tie) > 0) return 0;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const chunk = this.#chunks[middle] as Chunk;
      if (this.#compare(chunk, chunk.start, key, tie) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Index of the first entry after (key, tie). */
  #upperBound(chunk: Chunk, key: number, tie: number): number {
    if (this.#compare(chunk, chunk.start, key, tie) === 0) return chunk.start + 1;
    let low = chunk.start;
    let high = chunk.end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(chunk, middle, key, tie) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(chunk: Chunk, index: number, key: number, tie: number): number {
    const byKey = (chunk.keys[index] as number) - key;
    return byKey !== 0 || chunk.ties === undefined ? byKey : (chunk.ties[index] as number) - tie;
  }
}
