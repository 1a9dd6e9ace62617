import { describe, expect, it } from "vitest";
import type { DiskFile } from "./disk.ts";
import { FRAME_KIND, FrameWriter } from "./frame.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { RECORD, read, writeNumber } from "./records.ts";
import { createSegment, SEGMENT_HEADER, type Segment, segmentHeader } from "./segment.ts";
import { SegmentReader } from "./segment-reader.ts";

const PIECE = 256;
const RECORD_BYTES = 16;

/** A segment whose frames hold so many records each, numbered from 1. */
function segmentOf(recordsOfFrames: readonly number[]): Segment {
  const segment = createSegment(new MemoryDisk(), 1);
  segment.file.write(segmentHeader(1), 0);
  segment.length = SEGMENT_HEADER;
  const writer = new FrameWriter();
  let number = 0;
  for (const records of recordsOfFrames) {
    writer.begin();
    for (let n = 0; n < records; n += 1) {
      number += 1;
      writeNumber(writer, RECORD.fences, number);
    }
    segment.sequence += 1;
    const frame = writer.finish(FRAME_KIND.records, segment.sequence, 0);
    segment.file.write(frame, segment.length);
    segment.length += frame.length;
  }
  return segment;
}

function readAll(segment: Segment): number[] {
  const reader = new SegmentReader(segment, PIECE);
  const numbers: number[] = [];
  while (!reader.isAtEnd) {
    if (!reader.hasRecord()) {
      if (!reader.isAtEnd) reader.readPiece();
      continue;
    }
    numbers.push(read.number(reader.content, reader.at));
    reader.pass(read.length(reader.content, reader.at));
  }
  return numbers;
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

describe("a reader of a segment", () => {
  it("shows every record once and in order, whatever its frame has room for", () => {
    for (let records = 1; records <= 60; records += 1) {
      const frames = [records, 1, 0, records, 0, 0, 2, records, 0];
      expect(readAll(segmentOf(frames))).toEqual(upTo(3 * records + 3));
    }
  });

  it("knows where in the segment a record lies", () => {
    const segment = segmentOf([1, 40]);
    const reader = new SegmentReader(segment, PIECE);
    const number = Buffer.alloc(RECORD_BYTES);
    while (!reader.isAtEnd) {
      if (!reader.hasRecord()) {
        reader.readPiece();
        continue;
      }
      segment.file.read(number, reader.offset);
      expect(read.number(number, 0)).toBe(read.number(reader.content, reader.at));
      reader.pass(RECORD_BYTES);
    }
  });

  it("reads no more than a piece at a time, also of a frame that is larger", () => {
    const segment = segmentOf([1, 500, 1]);
    let longest = 0;
    const file: DiskFile = Object.assign(Object.create(segment.file), {
      read(target: Uint8Array, offset: number): number {
        longest = Math.max(longest, target.length);
        return segment.file.read(target, offset);
      },
    });

    expect(readAll({ ...segment, file })).toEqual(upTo(502));
    expect(longest).toBe(PIECE);
  });

  it("shows no record of a frame in which any byte is wrong", () => {
    const whole = segmentOf([2, 30, 1]);
    const second = SEGMENT_HEADER + 32 + 2 * RECORD_BYTES;
    for (let at = second; at < second + 32 + 30 * RECORD_BYTES; at += 1) {
      const segment = segmentOf([2, 30, 1]);
      const byte = Buffer.alloc(1);
      whole.file.read(byte, at);
      byte[0] = (byte[0] as number) ^ 4;
      segment.file.write(byte, at);
      expect(() => readAll(segment)).toThrow(`Damaged journal segment 1 at offset ${second}`);
    }
  });

  it("says so when the file is shorter than it was", () => {
    const segment = segmentOf([2, 30, 1]);
    segment.file.truncate(segment.length - 3);
    expect(() => readAll(segment)).toThrow("Damaged journal segment 1");
  });
});
