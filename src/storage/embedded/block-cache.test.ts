import { describe, expect, it } from "vitest";
import { BlockCache } from "./block-cache.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { createSegment, type Segment } from "./segment.ts";

const RECORD = 1_000;
/** More than the cache keeps. */
const BYTES = 6 * 1024 * 1024;

/** A segment that holds the numbers from 0, each followed by zeros up to the length of a record. */
class Numbers {
  readonly segment: Segment;

  constructor(disk: MemoryDisk, number: number) {
    this.segment = createSegment(disk, number);
  }

  get count(): number {
    return this.segment.length / RECORD;
  }

  append(): void {
    const record = Buffer.alloc(RECORD);
    record.writeUInt32LE(this.segment.number * 1_000_000 + this.count);
    this.segment.file.write(record, this.segment.length);
    this.segment.length += RECORD;
  }

  expectRead(cache: BlockCache, n: number): void {
    const { from, at } = cache.read(this.segment, n * RECORD, RECORD);
    expect(from.readUInt32LE(at)).toBe(this.segment.number * 1_000_000 + n);
  }
}

describe("the cache of blocks", () => {
  it("reads what is there, also when it has given up blocks meanwhile", () => {
    const disk = new MemoryDisk();
    const cache = new BlockCache();
    const [a, b] = [new Numbers(disk, 1), new Numbers(disk, 2)];
    while (a.segment.length < BYTES) for (const numbers of [a, b]) numbers.append();

    for (let n = 0; n < a.count; n += 7) {
      a.expectRead(cache, n);
      b.expectRead(cache, b.count - 1 - n);
      a.expectRead(cache, Math.floor(n / 2));
    }
  });

  it("reads what was written into a block since it was read", () => {
    const cache = new BlockCache();
    const numbers = new Numbers(new MemoryDisk(), 1);
    while (numbers.segment.length < 300 * RECORD) {
      numbers.append();
      numbers.expectRead(cache, numbers.count - 1);
      numbers.expectRead(cache, Math.floor(numbers.count / 3));
    }
  });

  it("forgets a segment that is removed", () => {
    const cache = new BlockCache();
    const numbers = new Numbers(new MemoryDisk(), 1);
    numbers.append();
    numbers.expectRead(cache, 0);
    cache.forget(1);
    numbers.segment.file.truncate(0);

    expect(() => numbers.expectRead(cache, 0)).toThrow(`Expected ${RECORD} bytes at offset 0`);
  });
});
