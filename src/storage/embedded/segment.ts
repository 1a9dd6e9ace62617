import type { Disk, DiskFile } from "./disk.ts";

/** The journal's files: `journal-0000000001.log` and so on, numbers without a gap. */
const NAME = /^journal-(\d{10})\.log$/;
const MAGIC = Buffer.from("DIBSJRNL");

/** Written into every segment. A newer version is refused; older ones are read for ever. */
export const FORMAT_VERSION = 1;
/** A higher one was never written by anybody: it is damage. */
const PLAUSIBLE_VERSION_MAX = 1_000;
/** Magic 8 bytes, format version u32, segment number u32. */
export const SEGMENT_HEADER = 16;
export const VERSION_AT = 8;

export function segmentName(number: number): string {
  return `journal-${String(number).padStart(10, "0")}.log`;
}

/** Numbers of the segments in a folder, ascending. */
export function segmentNumbers(names: readonly string[]): number[] {
  return names
    .map((name) => Number(NAME.exec(name)?.[1] ?? 0))
    .filter((number) => number > 0)
    .sort((a, b) => a - b);
}

export function segmentHeader(number: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER);
  MAGIC.copy(header);
  header.writeUInt32LE(FORMAT_VERSION, VERSION_AT);
  header.writeUInt32LE(number, 12);
  return header;
}

export type HeaderCheck =
  | { readonly kind: "good" }
  /** Too short, or zeros: its first write never reached the disk. */
  | { readonly kind: "unwritten" }
  | { readonly kind: "newer"; readonly version: number }
  | { readonly kind: "foreign" };

export function checkHeader(content: Buffer, number: number): HeaderCheck {
  const header = content.subarray(0, SEGMENT_HEADER);
  if (header.length < SEGMENT_HEADER || header.every((byte) => byte === 0)) return { kind: "unwritten" };
  if (!header.subarray(0, 8).equals(MAGIC)) return { kind: "foreign" };
  const version = header.readUInt32LE(VERSION_AT);
  if (version > PLAUSIBLE_VERSION_MAX) return { kind: "foreign" };
  if (version > FORMAT_VERSION) return { kind: "newer", version };
  return header.readUInt32LE(12) === number && version > 0 ? { kind: "good" } : { kind: "foreign" };
}

/** One file of the journal. */
export interface Segment {
  readonly number: number;
  readonly file: DiskFile;
  /** Where the next frame goes; bytes behind it are zeros or not there. */
  length: number;
  /** Sequence number of its last frame. */
  sequence: number;
}

export function createSegment(disk: Disk, number: number): Segment {
  const file = disk.open(segmentName(number), { create: true });
  return { number, file, length: 0, sequence: 0 };
}

export function segmentSize(disk: Disk, number: number): number {
  const file = disk.open(segmentName(number), { create: false });
  try {
    return file.size();
  } finally {
    file.close();
  }
}

/** Up to `size` bytes of a segment from its beginning. */
export function segmentContent(disk: Disk, number: number, size: number): Buffer {
  const file = disk.open(segmentName(number), { create: false });
  try {
    const content = Buffer.allocUnsafeSlow(size);
    return content.subarray(0, file.read(content, 0));
  } finally {
    file.close();
  }
}

/** True when nothing but room that was kept for more lies behind. */
export function isZero(content: Buffer, from: number): boolean {
  for (let at = from; at < content.length; at += 1) if (content[at] !== 0) return false;
  return true;
}
