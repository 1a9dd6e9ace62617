import { type Disk, isDiskFull } from "./disk.ts";
import { isZero, type Segment, segmentContent, segmentName, segmentSize } from "./segment.ts";

/** A segment with at least one whole frame: where its last one ends, and that frame's sequence number. */
export interface Found {
  readonly number: number;
  readonly end: number;
  readonly sequence: number;
  /** False: something that is no frame and no zeros lies behind. */
  readonly isWhole: boolean;
}

/** Opens the segments for what follows, each brought to the disk first unless it is known to be there. */
export function keepAll(
  disk: Disk,
  found: readonly Found[],
  isFlushed: (found: Found) => boolean,
): Segment[] {
  const segments: Segment[] = [];
  try {
    for (const each of found) segments.push(keep(disk, each, isFlushed(each)));
    return segments;
  } catch (error) {
    for (const { file } of segments) file.close();
    throw error;
  }
}

/** Opens a segment for what follows; content that may not be on disk is brought there first. */
function keep(disk: Disk, found: Found, isFlushed: boolean): Segment {
  const { number, end, sequence, isWhole } = found;
  const name = segmentName(number);
  if (!isFlushed && !copyFlushed(disk, number, end)) writeOver(disk, number, end);
  const file = disk.open(name, { create: false });
  // What lies behind the last frame must not be taken for a later one.
  if (isFlushed && !isWhole) file.truncate(end);
  return { number, file, length: end, sequence };
}

/** Puts a flushed copy in the place of a segment; false when the disk has no room for one. */
function copyFlushed(disk: Disk, number: number, end: number): boolean {
  const name = segmentName(number);
  const copy = `${name}.new`;
  try {
    writeFlushed(disk, copy, segmentContent(disk, number, end));
    disk.rename(copy, name);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    disk.remove(copy);
    return false;
  }
  disk.syncFolderNow();
  return true;
}

function writeFlushed(disk: Disk, name: string, content: Buffer): void {
  const file = disk.open(name, { create: true });
  try {
    file.write(content, 0);
    file.syncNow();
  } finally {
    file.close();
  }
}

/**
 * Writes a segment over itself, so that the cache hands to the disk what it may only seem to have: a server must
 * be able to start on a full disk. What follows the last frame is cut, unless it is room kept for more.
 */
function writeOver(disk: Disk, number: number, end: number): void {
  const content = segmentContent(disk, number, segmentSize(disk, number));
  const file = disk.open(segmentName(number), { create: false });
  try {
    if (!isZero(content, end)) file.truncate(end);
    file.write(content.subarray(0, end), 0);
    file.syncNow();
  } finally {
    file.close();
  }
}
