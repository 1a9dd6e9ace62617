import { DibsError } from "../../task/errors.ts";
import { type Disk, type DiskFile, isDiskFull } from "./disk.ts";
import { FRAME, FRAME_KIND, type Frame, readFrame } from "./frame.ts";
import { RECORD, read } from "./records.ts";
import {
  checkHeader,
  FORMAT_VERSION,
  SEGMENT_HEADER,
  type Segment,
  segmentName,
  segmentNumbers,
} from "./segment.ts";

const MAGIC = Buffer.alloc(4);
MAGIC.writeUInt32LE(FRAME.magic);

/** The journal is damaged where it must not be: nothing was changed, nothing is opened. */
export class CorruptJournalError extends DibsError {
  readonly #why: string;

  constructor(file: string, offset: number, why: string, folder?: string) {
    const place = folder === undefined ? file : `${file} in ${folder}`;
    super(
      "storage_unavailable",
      `The journal is damaged: ${place} at offset ${offset}: ${why}. Nothing was changed; restore a copy of the folder`,
      { details: { file, offset, ...(folder === undefined ? undefined : { folder }) } },
    );
    this.#why = why;
  }

  /** The same, for whoever knows the folder. */
  inFolder(folder: string): CorruptJournalError {
    const { file, offset } = this.details as { readonly file: string; readonly offset: number };
    return new CorruptJournalError(file, offset, this.#why, folder);
  }
}

export interface Recovered {
  readonly segments: Segment[];
  /** Of the last frame; 0 for a new folder. */
  readonly sequence: number;
}

export interface RecoverOptions {
  /** Of this boot: a hole in what the same boot wrote cannot come from a power cut. */
  readonly bootId: string;
  /** False: content is not flushed again after an unclean end (`none`). */
  readonly flush: boolean;
  /** Told after each segment: bytes read so far, and of all. */
  readonly onProgress: (done: number, total: number) => void;
  /** Told, in a sentence, what of a torn tail was cut. */
  readonly onCut: (cut: string) => void;
}

/** Takes one record in the order of the journal; `content` is the whole segment. */
export type Replay = (segment: number, content: Buffer, at: number) => void;

/** A segment with at least one whole frame: where its last one ends, and that frame's sequence number. */
interface Found {
  readonly number: number;
  readonly end: number;
  readonly sequence: number;
}

/** What is learned while the frames are read. */
interface Scan {
  sequence: number;
  synced: number;
  bootId: string;
  oldest: number;
  closed: boolean;
}

/**
 * Reads the journal: replays every record of every whole frame, cuts a torn tail, and refuses a corrupt
 * middle with file and offset.
 *
 * A hole is a torn tail when nothing behind it was known to be on disk: no whole frame follows, or one does
 * but the machine was booted in between and no frame says that the hole had been flushed (a power cut may
 * write blocks out of order). After an unclean end the frames that were never flushed are copied into new,
 * flushed files before anything is appended: after a failed flush the cache can show what the disk has not.
 */
export function recover(disk: Disk, replay: Replay, options: RecoverOptions): Recovered {
  removeUnfinished(disk);
  const numbers = segmentNumbers(disk.list());
  refuseGaps(numbers);
  const scan: Scan = { sequence: 0, synced: 0, bootId: "", oldest: 0, closed: false };
  const found: Found[] = [];
  const sizes = numbers.map((number) => sizeOf(disk, number));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  for (const [index, number] of numbers.entries()) {
    const content = contentOf(disk, number, sizes[index] as number);
    const end = replaySegment(number, content, scan, replay);
    const whole = end > 0 && isZero(content, end);
    if (!whole) judgeHole(disk, number, content, end, numbers.slice(index + 1), scan, options.bootId);
    const isKept = end > SEGMENT_HEADER;
    if (isKept) found.push({ number, end, sequence: scan.sequence });
    if (!whole || !isKept) {
      options.onCut(
        `The last write did not end: cut ${content.length - end} bytes of ${segmentName(number)} after frame ${scan.sequence}`,
      );
      for (const gone of numbers.slice(index + (isKept ? 1 : 0))) disk.remove(segmentName(gone));
      break;
    }
    done += content.length;
    options.onProgress(done, total);
  }
  refuseMissingStart(found, scan);
  return { segments: found.map((segment) => keep(disk, segment, scan, options)), sequence: scan.sequence };
}

/** Replays the frames of a segment; returns where the first thing that is no whole next frame begins. */
function replaySegment(number: number, content: Buffer, scan: Scan, replay: Replay): number {
  const header = checkHeader(content, number);
  if (header.kind === "newer") {
    throw new DibsError(
      "storage_unavailable",
      `${segmentName(number)} has format version ${header.version}; this version of Dibs reads up to ${FORMAT_VERSION}. Use the newer one`,
    );
  }
  if (header.kind !== "good") return 0;
  let offset = SEGMENT_HEADER;
  for (;;) {
    const frame = offset < content.length ? readFrame(content, offset) : undefined;
    if (frame === undefined || (scan.sequence !== 0 && frame.sequence !== scan.sequence + 1)) return offset;
    replayFrame(number, content, frame, scan, replay);
    offset = frame.end;
  }
}

function replayFrame(number: number, content: Buffer, frame: Frame, scan: Scan, replay: Replay): void {
  scan.sequence = frame.sequence;
  scan.synced = Math.max(scan.synced, frame.synced);
  scan.closed = frame.kind === FRAME_KIND.closed;
  for (let at = frame.start; at < frame.end; at += read.length(content, at)) {
    const kind = read.kind(content, at);
    if (kind === RECORD.boot) scan.bootId = read.boot(content, at);
    else if (kind === RECORD.oldest) scan.oldest = read.number(content, at);
    else replay(number, content, at);
  }
}

/** Decides what a hole is; throws when it is corruption. */
function judgeHole(
  disk: Disk,
  number: number,
  content: Buffer,
  end: number,
  later: readonly number[],
  scan: Scan,
  bootId: string,
): void {
  const expected = scan.sequence + 1;
  const behind = highestBehind(disk, content, end, later, expected);
  const refuse = (why: string): never => {
    throw new CorruptJournalError(segmentName(number), end, why);
  };
  if (scan.sequence === 0 && end === 0 && !isUnwritten(content)) refuse("this is not a journal of Dibs");
  if (Math.max(behind.synced, scan.synced) >= expected) refuse("a frame that had been flushed is not whole");
  if (behind.found && scan.bootId === bootId) refuse("a frame is not whole, and whole ones follow it");
}

/** Looks for whole frames behind a hole, wherever they begin. */
function highestBehind(
  disk: Disk,
  content: Buffer,
  end: number,
  later: readonly number[],
  expected: number,
): { found: boolean; synced: number } {
  const result = { found: false, synced: 0 };
  const look = (bytes: Buffer, from: number): void => {
    for (let at = bytes.indexOf(MAGIC, from); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) {
      const frame = at + FRAME.header <= bytes.length ? readFrame(bytes, at) : undefined;
      if (frame === undefined || frame.sequence < expected) continue;
      result.found = true;
      result.synced = Math.max(result.synced, frame.synced);
    }
  };
  look(content, end);
  for (const number of later) look(contentOf(disk, number, sizeOf(disk, number)), 0);
  return result;
}

/** Opens a segment for what follows; content that may not be on disk is brought there first. */
function keep(disk: Disk, found: Found, scan: Scan, options: RecoverOptions): Segment {
  const { number, end, sequence } = found;
  const name = segmentName(number);
  if (options.flush && !scan.closed && sequence > scan.synced && !copyFlushed(disk, number, end)) {
    writeOver(disk, number, end);
  }
  return { number, file: disk.open(name, { create: false }), length: end, sequence };
}

/** Puts a flushed copy in the place of a segment; false when the disk has no room for one. */
function copyFlushed(disk: Disk, number: number, end: number): boolean {
  const name = segmentName(number);
  const copy = `${name}.new`;
  const file = disk.open(copy, { create: true });
  try {
    file.write(contentOf(disk, number, end), 0);
    file.syncNow();
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    disk.remove(copy);
    return false;
  } finally {
    file.close();
  }
  disk.rename(copy, name);
  disk.syncFolderNow();
  return true;
}

/**
 * Writes a segment over itself, so that the cache hands to the disk what it may only seem to have: a server must
 * be able to start on a full disk. What follows the last frame is cut, unless it is room kept for more.
 */
function writeOver(disk: Disk, number: number, end: number): void {
  const content = contentOf(disk, number, sizeOf(disk, number));
  const file = disk.open(segmentName(number), { create: false });
  try {
    if (!isZero(content, end)) file.truncate(end);
    file.write(content.subarray(0, end), 0);
    file.syncNow();
  } finally {
    file.close();
  }
}

function removeUnfinished(disk: Disk): void {
  for (const name of disk.list()) if (name.endsWith(".new")) disk.remove(name);
}

function refuseGaps(numbers: readonly number[]): void {
  for (const [index, number] of numbers.entries()) {
    const before = numbers[index - 1];
    if (before !== undefined && number !== before + 1) {
      throw new CorruptJournalError(segmentName(before + 1), 0, "this segment is missing");
    }
  }
}

function refuseMissingStart(segments: readonly Found[], scan: Scan): void {
  const first = segments[0]?.number ?? 0;
  if (scan.oldest !== 0 && first > scan.oldest) {
    throw new CorruptJournalError(segmentName(scan.oldest), 0, "this segment is missing");
  }
}

function sizeOf(disk: Disk, number: number): number {
  const file = disk.open(segmentName(number), { create: false });
  try {
    return file.size();
  } finally {
    file.close();
  }
}

function contentOf(disk: Disk, number: number, size: number): Buffer {
  const file: DiskFile = disk.open(segmentName(number), { create: false });
  try {
    const content = Buffer.allocUnsafeSlow(size);
    return content.subarray(0, file.read(content, 0));
  } finally {
    file.close();
  }
}

function isUnwritten(content: Buffer): boolean {
  return checkHeader(content, 0).kind === "unwritten";
}

function isZero(content: Buffer, from: number): boolean {
  for (let at = from; at < content.length; at += 1) if (content[at] !== 0) return false;
  return true;
}
