import type { DiskFile } from "./disk.ts";
import type { Segment } from "./segment.ts";

const BLOCK = 64 * 1024;
const BLOCKS_MAX = 64;

interface Block {
  readonly bytes: Buffer;
  /** How many bytes of the file it holds; the last block of a growing file is read again later. */
  readonly filled: number;
}

/**
 * Reads records back from the segments, a block of 64 KiB at a time, at most 4 MiB in all.
 *
 * A backlog is claimed in about the order in which it was written, so one read serves some two hundred
 * claims: without it every claim from a deep queue pays a system call (7.9 against 4.8 µs when measured).
 */
export class BlockCache {
  readonly #blocks = new Map<number, Block>();

  /** The record of `length` bytes at `offset`: a buffer that must not be changed, and where it begins there. */
  read(segment: Segment, offset: number, length: number): { from: Buffer; at: number } {
    const { file } = segment;
    const block = Math.floor(offset / BLOCK);
    const at = offset - block * BLOCK;
    if (at + length > BLOCK) return { from: readWhole(file, offset, length), at: 0 };
    const key = segment.number * 65_536 + block;
    let entry = this.#blocks.get(key);
    if (entry === undefined || entry.filled < at + length) {
      const bytes = Buffer.allocUnsafeSlow(BLOCK);
      // Behind the last frame there may be zeros of the reserve: they are not content yet.
      const filled = Math.min(file.read(bytes, block * BLOCK), segment.length - block * BLOCK);
      entry = { bytes, filled };
      if (entry.filled < at + length) throw new Error(`Expected ${length} bytes at offset ${offset}`);
      this.#keep(key, entry);
    }
    return { from: entry.bytes, at };
  }

  /** Forgets what is known of a segment that is removed. */
  forget(segment: number): void {
    for (const key of this.#blocks.keys()) if (Math.floor(key / 65_536) === segment) this.#blocks.delete(key);
  }

  #keep(key: number, block: Block): void {
    this.#blocks.delete(key);
    this.#blocks.set(key, block);
    if (this.#blocks.size <= BLOCKS_MAX) return;
    for (const oldest of this.#blocks.keys()) {
      this.#blocks.delete(oldest);
      return;
    }
  }
}

function readWhole(file: DiskFile, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  const count = file.read(bytes, offset);
  if (count < length) throw new Error(`Expected ${length} bytes at offset ${offset}, found ${count}`);
  return bytes;
}
