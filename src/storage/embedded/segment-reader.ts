import { crc32 } from "node:zlib";
import { CHECKED_FROM, FRAME } from "./frame.ts";
import { SEGMENT_HEADER, type Segment } from "./segment.ts";

const NOTHING = Buffer.alloc(0);

/**
 * Reads the records of a segment that is not written any more, from front to back, in pieces: one call reads and checks
 * at most so many bytes, also of a frame that is larger (16 MiB take 8 ms to check). A record is shown only when
 * all of its frame is there and matches the checksum.
 */
export class SegmentReader {
  readonly segment: Segment;
  readonly #pieceBytes: number;
  /** The bytes of a piece, used again for each that is not the beginning of something larger. */
  readonly #piece: Buffer;
  /** What was read, up to `#filled`. */
  content: Buffer = NOTHING;
  #filled = 0;
  /** Where `content` begins in the segment. */
  #base = SEGMENT_HEADER;
  /** Where the next record is in `content`, when it is before the end of the open frame; else the next frame. */
  at = 0;
  #frameEnd = 0;
  /** Of the next frame: how far it has been checked, and the checksum up to there. */
  #checkedTo = 0;
  #checksum = 0;

  constructor(segment: Segment, pieceBytes: number) {
    this.segment = segment;
    this.#pieceBytes = pieceBytes;
    this.#piece = Buffer.allocUnsafe(pieceBytes);
  }

  /** Where the next record or frame is in the segment. */
  get offset(): number {
    return this.#base + this.at;
  }

  /** True when all records have been passed. */
  get isAtEnd(): boolean {
    return this.offset >= this.segment.length;
  }

  /** True when a whole record of a checked frame is at `at`. Opens the next frame when it is there; reads nothing. */
  hasRecord(): boolean {
    while (this.at === this.#frameEnd && this.#openFrame());
    return this.at < this.#frameEnd;
  }

  /** Passes over the record at `at`. */
  pass(bytes: number): void {
    this.at += bytes;
  }

  /** Reads a piece more, when there is no record. @throws {Error} when the segment is damaged. */
  readPiece(): void {
    const left = this.segment.length - this.offset;
    if (this.at > 0 || this.content.length === 0)
      this.#beginAt(this.offset, Math.min(left, this.#pieceBytes));
    else this.#makeRoom(left);
    const until = Math.min(this.content.length, this.#filled + this.#pieceBytes);
    const count = this.segment.file.read(
      this.content.subarray(this.#filled, until),
      this.#base + this.#filled,
    );
    if (count === 0) throw this.#damage();
    this.#filled += count;
    this.#check();
  }

  #beginAt(offset: number, bytes: number): void {
    this.content = this.#piece.subarray(0, bytes);
    this.#filled = 0;
    this.#base = offset;
    this.at = 0;
    this.#frameEnd = 0;
    this.#checkedTo = 0;
  }

  /** A piece holds only the beginning of its first frame: room for all of it. */
  #makeRoom(left: number): void {
    if (this.content.length > this.#filled) return;
    const bytes = this.#frameBytes();
    if (bytes === undefined || bytes > left || bytes <= this.#filled) throw this.#damage();
    const larger = Buffer.allocUnsafe(bytes);
    this.content.copy(larger);
    this.content = larger;
  }

  #openFrame(): boolean {
    const bytes = this.#frameBytes();
    if (bytes === undefined || this.at + bytes > this.#filled) return false;
    this.#check();
    if (this.#checksum !== this.content.readUInt32LE(this.at + 8)) throw this.#damage();
    this.#frameEnd = this.at + bytes;
    this.at += FRAME.header;
    this.#checkedTo = 0;
    return true;
  }

  /** All bytes of the frame at `at`; undefined when not even its header is there. */
  #frameBytes(): number | undefined {
    if (this.at + FRAME.header > this.#filled) return undefined;
    if (this.content.readUInt32LE(this.at) !== FRAME.magic) throw this.#damage();
    return FRAME.header + this.content.readUInt32LE(this.at + 4);
  }

  /** Continues the checksum of the frame at `at` over what is there of it. */
  #check(): void {
    const bytes = this.at === this.#frameEnd ? this.#frameBytes() : undefined;
    if (bytes === undefined) return;
    const from = Math.max(this.#checkedTo, this.at + CHECKED_FROM);
    const to = Math.min(this.at + bytes, this.#filled);
    this.#checksum = crc32(this.content.subarray(from, to), this.#checkedTo === 0 ? 0 : this.#checksum);
    this.#checkedTo = to;
  }

  #damage(): Error {
    return new Error(`Damaged journal segment ${this.segment.number} at offset ${this.offset}`);
  }
}
