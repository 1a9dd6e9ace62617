import { setImmediate as turn } from "node:timers/promises";
import { refuseNewerFormat } from "../corrupt-journal.ts";
import { FRAME, type Frame, readFrame } from "../frame.ts";
import { RECORD, read } from "../records.ts";
import { checkHeader, SEGMENT_HEADER, segmentName } from "../segment.ts";
import type { FrozenDisk } from "./frozen-disk.ts";
import { recordFault } from "./record-check.ts";

const MAGIC = Buffer.alloc(4);
MAGIC.writeUInt32LE(FRAME.magic);

/** Bytes of a segment that belong to no whole frame. 0 bytes: the file, or frames of it, are not there. */
export interface Place {
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
  readonly why: string;
}

/** What is missing between two whole frames: calls of the engine that are lost. */
export interface Gap {
  readonly places: readonly Place[];
  /** Sequence number of the whole frame before it; 0 when there is none. */
  readonly after: number;
  /** Of the one behind it; undefined when none follows: then it may be no more than a write that did not end. */
  readonly before: number | undefined;
}

/** Calls that are lost in a gap; undefined when nothing tells. */
export function lostCalls({ after, before }: Gap): number | undefined {
  return before === undefined || after === 0 ? undefined : before - after - 1;
}

export interface Scan {
  readonly gaps: readonly Gap[];
  readonly segments: number;
  readonly bytes: number;
  readonly frames: number;
  readonly records: number;
  /** Of the last whole frame. */
  readonly sequence: number;
}

export interface ScanVisitor {
  /** A frame that is whole, whose records are all of a known form. */
  frame?(segment: number, content: Buffer, frame: Frame): void;
  /** Bytes that are no whole frame. */
  damage?(segment: number, content: Buffer, start: number, end: number): void;
  /** Bytes read so far. */
  progress?(bytes: number): void;
}

/**
 * Reads every frame of a journal that is whole, whatever lies between them: it stops at nothing but a newer
 * format. Reads a segment at a time, and lets the event loop turn in between.
 */
export async function scanFrames(
  disk: FrozenDisk,
  visitor: ScanVisitor,
  signal?: AbortSignal,
): Promise<Scan> {
  const scanner = new Scanner(disk, visitor);
  let before: number | undefined;
  let bytes = 0;
  for (const number of disk.numbers) {
    for (let missing = (before ?? number - 1) + 1; missing < number; missing += 1) scanner.missing(missing);
    before = number;
    const content = disk.content(number);
    scanner.segment(number, content);
    bytes += content.length;
    visitor.progress?.(bytes);
    await turn();
    signal?.throwIfAborted();
  }
  scanner.end(disk.numbers[0] as number);
  const { gaps, frames, records, sequence } = scanner;
  return { gaps, frames, records, sequence, segments: disk.numbers.length, bytes };
}

class Scanner {
  readonly #disk: FrozenDisk;
  readonly #visitor: ScanVisitor;
  readonly gaps: Gap[] = [];
  frames = 0;
  records = 0;
  sequence = 0;
  #places: Place[] = [];
  #first = 0;
  #oldest = 0;

  constructor(disk: FrozenDisk, visitor: ScanVisitor) {
    this.#disk = disk;
    this.#visitor = visitor;
  }

  missing(number: number): void {
    this.#places.push(missingFile(number));
  }

  segment(number: number, content: Buffer): void {
    let at = this.#header(number, content);
    while (at < content.length) {
      const frame = this.#frameAt(content, at);
      if (frame !== undefined) {
        this.#frame(number, content, frame, at);
        at = frame.end;
        continue;
      }
      const next = this.#nextFrame(content, at + 1);
      this.#hole(number, content, at, next ?? endOfContent(content, at));
      at = next ?? content.length;
    }
  }

  end(firstSegment: number): void {
    if (this.#places.length > 0) this.#close(undefined);
    this.#missingStart(firstSegment);
  }

  /** Where the first frame may begin; with a damaged header, wherever one is found. */
  #header(number: number, content: Buffer): number {
    const header = checkHeader(content, number);
    if (header.kind === "newer") refuseNewerFormat(number, header.version);
    if (header.kind !== "foreign") return header.kind === "good" ? SEGMENT_HEADER : 0;
    this.#places.push({
      file: segmentName(number),
      offset: 0,
      bytes: SEGMENT_HEADER,
      why: this.#unread(number, 0, SEGMENT_HEADER) ?? "no journal header",
    });
    return Math.min(SEGMENT_HEADER, content.length);
  }

  #frameAt(content: Buffer, at: number): Frame | undefined {
    if (at + FRAME.header > content.length) return undefined;
    const frame = readFrame(content, at);
    return frame !== undefined && frame.sequence > this.sequence ? frame : undefined;
  }

  #nextFrame(content: Buffer, from: number): number | undefined {
    for (let at = content.indexOf(MAGIC, from); at !== -1; at = content.indexOf(MAGIC, at + 1)) {
      if (this.#frameAt(content, at) !== undefined) return at;
    }
    return undefined;
  }

  #frame(number: number, content: Buffer, frame: Frame, at: number): void {
    const isNext = this.sequence === 0 || frame.sequence === this.sequence + 1;
    if (!isNext && this.#places.length === 0) {
      const why = `calls ${this.sequence + 1} to ${frame.sequence - 1} are missing`;
      this.#places.push({ file: segmentName(number), offset: at, bytes: 0, why });
    }
    const fault = frameFault(content, frame);
    if (fault !== undefined) {
      this.#places.push({ file: segmentName(number), offset: at, bytes: frame.end - at, why: fault });
      this.#visitor.damage?.(number, content, at, frame.end);
      return;
    }
    if (this.#places.length > 0) this.#close(frame.sequence);
    if (this.#first === 0) this.#first = frame.sequence;
    this.sequence = frame.sequence;
    this.frames += 1;
    this.#count(content, frame);
    this.#visitor.frame?.(number, content, frame);
  }

  #count(content: Buffer, frame: Frame): void {
    for (let at = frame.start; at < frame.end; at += read.length(content, at)) {
      this.records += 1;
      if (read.kind(content, at) === RECORD.oldest) this.#oldest = read.number(content, at);
    }
  }

  #hole(number: number, content: Buffer, start: number, end: number): void {
    if (start === end) return;
    this.#places.push({
      file: segmentName(number),
      offset: start,
      bytes: end - start,
      why: this.#unread(number, start, end) ?? "a checksum is wrong",
    });
    this.#visitor.damage?.(number, content, start, end);
  }

  /** Why bytes are not what was written, when it is that the disk did not give them. */
  #unread(number: number, start: number, end: number): string | undefined {
    const at = this.#disk.unreadableIn(number, start, end);
    return at === undefined ? undefined : `the disk cannot read it at offset ${at}`;
  }

  #close(before: number | undefined): void {
    this.gaps.push({ places: this.#places, after: this.sequence, before });
    this.#places = [];
  }

  /** The journal says where it begins, and its first files may be gone. */
  #missingStart(firstSegment: number): void {
    if (this.#oldest === 0 || firstSegment <= this.#oldest) return;
    const places: Place[] = [];
    for (let number = this.#oldest; number < firstSegment; number += 1) places.push(missingFile(number));
    this.gaps.unshift({ places, after: 0, before: this.#first });
  }
}

function missingFile(number: number): Place {
  return { file: segmentName(number), offset: 0, bytes: 0, why: "this segment is missing" };
}

/** What is wrong with the records of a frame whose checksum is right. */
function frameFault(content: Buffer, frame: Frame): string | undefined {
  for (let at = frame.start; at < frame.end; at += read.length(content, at)) {
    const fault = recordFault(content, at, frame.end);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Behind the last byte that is not zero: room that was kept for more is no content. */
function endOfContent(content: Buffer, from: number): number {
  let end = content.length;
  while (end > from && content[end - 1] === 0) end -= 1;
  return end;
}
