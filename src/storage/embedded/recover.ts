import { CorruptJournalError, refuseNewerFormat } from "./corrupt-journal.ts";
import { type Disk, ReadError } from "./disk.ts";
import { FRAME, FRAME_KIND, type Frame, readFrame } from "./frame.ts";
import { type Found, keepAll } from "./kept-segment.ts";
import { RECORD, read } from "./records.ts";
import {
  checkHeader,
  isZero,
  SEGMENT_HEADER,
  type Segment,
  segmentContent,
  segmentName,
  segmentNumbers,
  segmentSize,
} from "./segment.ts";

const MAGIC = Buffer.alloc(4);
MAGIC.writeUInt32LE(FRAME.magic);

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
  /** Called after the last record and before the disk is changed; throws when the records do not fit together. */
  readonly onReplayed: () => void;
}

/** Takes one record in the order of the journal; `content` is the whole segment. */
export type Replay = (segment: number, content: Buffer, at: number) => void;

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
  const names = disk.list();
  const all = segmentNumbers(names);
  const numbers = withoutGap(all);
  const scan: Scan = { sequence: 0, synced: 0, bootId: "", oldest: 0, closed: false };
  const found: Found[] = [];
  const sizes = numbers.map((number) => segmentSize(disk, number));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  let gone = all.slice(numbers.length);
  for (const [index, number] of numbers.entries()) {
    const content = trustedContent(disk, number, sizes[index] as number);
    const end = replaySegment(number, content, scan, replay);
    const isWhole = end > 0 && isZero(content, end);
    if (!isWhole) judgeHole(disk, { number, content, end }, all.slice(index + 1), scan, options.bootId);
    const isKept = end > SEGMENT_HEADER;
    if (isKept) found.push({ number, end, sequence: scan.sequence, isWhole });
    if (!isWhole || !isKept) {
      options.onCut(
        `The last write did not end: cut ${content.length - end} bytes of ${segmentName(number)} after frame ${scan.sequence}`,
      );
      gone = all.slice(index + (isKept ? 1 : 0));
      break;
    }
    done += content.length;
    options.onProgress(done, total);
  }
  judgeGap(disk, numbers, gone, scan, options);
  refuseMissingStart(all, found, scan);
  options.onReplayed();
  // Only from here on is anything changed.
  removeUnfinished(disk, names);
  removeBehind(disk, gone);
  const isFlushed = ({ sequence }: Found) => !options.flush || scan.closed || sequence <= scan.synced;
  return { segments: keepAll(disk, found, isFlushed), sequence: scan.sequence };
}

/** Replays the frames of a segment; returns where the first thing that is no whole next frame begins. */
function replaySegment(number: number, content: Buffer, scan: Scan, replay: Replay): number {
  const header = checkHeader(content, number);
  if (header.kind === "newer") refuseNewerFormat(number, header.version);
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

/** Where the first thing begins that is no whole next frame. */
interface Hole {
  readonly number: number;
  /** Undefined: the whole segment is missing. */
  readonly content: Buffer | undefined;
  readonly end: number;
}

/** Decides what a hole is; throws when it is corruption. */
function judgeHole(
  disk: Disk,
  { number, content, end }: Hole,
  later: readonly number[],
  scan: Scan,
  bootId: string,
): void {
  const expected = scan.sequence + 1;
  const behind = highestBehind(disk, content ?? Buffer.alloc(0), end, later, expected);
  const refuse = (why: string): never => {
    throw new CorruptJournalError(
      segmentName(number),
      end,
      content === undefined ? "this segment is missing" : why,
    );
  };
  if (content !== undefined && scan.sequence === 0 && end === 0 && !isUnwritten(content))
    refuse("this is not a journal of Dibs");
  if (Math.max(behind.synced, scan.synced) >= expected) refuse("a frame that had been flushed is not whole");
  if (behind.found && scan.bootId === bootId) refuse("a frame is not whole, and whole ones follow it");
}

/** A missing segment is a hole like any other: a power cut can keep a later name and lose an earlier one. */
function judgeGap(
  disk: Disk,
  numbers: readonly number[],
  gone: readonly number[],
  scan: Scan,
  { bootId, onCut }: RecoverOptions,
): void {
  const missing = (numbers.at(-1) ?? 0) + 1;
  if (gone[0] === undefined || gone[0] <= missing) return;
  judgeHole(disk, { number: missing, content: undefined, end: 0 }, gone, scan, bootId);
  onCut(
    `${segmentName(missing)} was never written: cut ${gone.length} segments behind it, after frame ${scan.sequence}`,
  );
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
  for (const number of later) look(trustedContent(disk, number, segmentSize(disk, number)), 0);
  return result;
}

function removeUnfinished(disk: Disk, names: readonly string[]): void {
  for (const name of names) if (name.endsWith(".new")) disk.remove(name);
}

/** Removes the segments behind the last frame. They must not come back when other frames have their numbers. */
function removeBehind(disk: Disk, numbers: readonly number[]): void {
  for (const number of numbers) disk.remove(segmentName(number));
  if (numbers.length > 0) disk.syncFolderNow();
}

/** The numbers up to the first one that is missing. */
function withoutGap(numbers: readonly number[]): number[] {
  const [first = 1] = numbers;
  return numbers.filter((number, index) => number === first + index);
}

function refuseMissingStart(numbers: readonly number[], found: readonly Found[], scan: Scan): void {
  const [first = 1] = numbers;
  if (first > Math.max(1, scan.oldest) && (scan.oldest !== 0 || found.length === 0)) {
    const missing = scan.oldest === 0 ? first : scan.oldest;
    const why = scan.oldest === 0 ? "its beginning is missing" : "this segment is missing";
    throw new CorruptJournalError(segmentName(missing), 0, why);
  }
}

/** What the disk cannot read may have been flushed: that is damage, wherever it is. */
function trustedContent(disk: Disk, number: number, size: number): Buffer {
  try {
    return segmentContent(disk, number, size);
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
    throw new CorruptJournalError(error.file, error.offset, `the disk cannot read it (${error.code})`);
  }
}

function isUnwritten(content: Buffer): boolean {
  return checkHeader(content, 0).kind === "unwritten";
}
