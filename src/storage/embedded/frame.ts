import { crc32 } from "node:zlib";

/**
 * A frame is what one call appends to the journal: all its records, under one checksum, so that a call is
 * there whole or not at all.
 *
 * Layout, little endian: magic u32 · length of the body u32 · CRC-32 of all that follows u32 · kind u32 ·
 * sequence number f64 · synced f64 · body. `synced` is the highest sequence number known to be on disk when
 * the frame was written: recovery takes a hole above it for a torn tail, and one below it for corruption.
 */
export const FRAME = { header: 32, magic: 0x73626944 } as const;
/** The checksum covers the frame from here on. */
export const CHECKED_FROM = 12;

export const FRAME_KIND = {
  /** The records of one call. */
  records: 1,
  /** First in a segment: what must be known without the segments before it. */
  head: 2,
  /** Last before an orderly close. */
  closed: 3,
} as const;

const FIRST_CAPACITY = 64 * 1024;
/** Above this the buffer is given back after use: one batch of 16 MiB must not cost 16 MiB for ever. */
const KEPT_CAPACITY = 4 * 1024 * 1024;

/** Builds one frame at a time in a buffer that is used again. */
export class FrameWriter {
  buffer = Buffer.allocUnsafeSlow(FIRST_CAPACITY);
  /** Where the next byte goes; records begin after the header. */
  at: number = FRAME.header;

  begin(): void {
    if (this.buffer.length > KEPT_CAPACITY) this.buffer = Buffer.allocUnsafeSlow(FIRST_CAPACITY);
    this.at = FRAME.header;
  }

  /** Makes room for `bytes` more. */
  ensure(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.at + bytes));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }

  /** Fills in the header and returns the frame; valid until the next `begin`. */
  finish(kind: number, sequence: number, synced: number): Buffer {
    const { buffer, at } = this;
    buffer.writeUInt32LE(FRAME.magic, 0);
    buffer.writeUInt32LE(at - FRAME.header, 4);
    buffer.writeUInt32LE(kind, 12);
    buffer.writeDoubleLE(sequence, 16);
    buffer.writeDoubleLE(synced, 24);
    buffer.writeUInt32LE(crc32(buffer.subarray(CHECKED_FROM, at)), 8);
    return buffer.subarray(0, at);
  }
}

export interface Frame {
  readonly kind: number;
  readonly sequence: number;
  readonly synced: number;
  /** Where the body begins and ends in the segment. */
  readonly start: number;
  readonly end: number;
}

/** Reads the frame at `offset`; undefined when there is none that is whole and matches its checksum. */
export function readFrame(segment: Buffer, offset: number): Frame | undefined {
  const start = offset + FRAME.header;
  if (start > segment.length || segment.readUInt32LE(offset) !== FRAME.magic) return undefined;
  const end = start + segment.readUInt32LE(offset + 4);
  if (end > segment.length) return undefined;
  if (crc32(segment.subarray(offset + CHECKED_FROM, end)) !== segment.readUInt32LE(offset + 8))
    return undefined;
  return {
    kind: segment.readUInt32LE(offset + 12),
    sequence: segment.readDoubleLE(offset + 16),
    synced: segment.readDoubleLE(offset + 24),
    start,
    end,
  };
}
