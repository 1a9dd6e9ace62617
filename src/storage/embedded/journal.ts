import { StorageUnavailableError } from "../../task/errors.ts";
import { BlockCache } from "./block-cache.ts";
import type { Disk } from "./disk.ts";
import { isDiskFull } from "./disk.ts";
import { FRAME_KIND, FrameWriter } from "./frame.ts";
import { type ReadRecord, readRecord } from "./read-record.ts";
import { Reserve } from "./reserve.ts";
import { createSegment, SEGMENT_HEADER, type Segment, segmentHeader, segmentName } from "./segment.ts";

/**
 * What an acknowledged step survives. `process`: the end of the process (kill -9), and a power cut but for
 * the last second. `power`: a power cut. `none`: nothing.
 */
export type Durability = "process" | "power" | "none";

export interface JournalOptions {
  readonly durability: Durability;
  /** A new segment begins beyond this size. */
  readonly segmentBytes: number;
  /** Size of the reserve for a full disk; 0 keeps none. */
  readonly reserveBytes: number;
  /** Writes the records that a segment begins with. */
  readonly writeHead: (to: FrameWriter) => void;
  /** Told once, when the journal can no longer be written. */
  readonly onBroken: (error: Error) => void;
}

/** In `process` mode a power cut costs at most what was written since the last background flush. */
const SYNC_EVERY_MS = 500;
const ROOM_CHECK_EVERY_MS = 1_000;

/**
 * The append-only journal: the only thing on disk. One frame for each call of the engine, written before
 * anything in memory changes, in segments that compaction removes from the front.
 *
 * A write that fails for want of room is undone and may be tried again. After any other failed write, and
 * after any failed flush, nothing is known about the disk: the journal breaks and stays so (what a second
 * fsync says after a failed one means nothing).
 */
export class Journal {
  readonly segments: Segment[] = [];
  readonly #disk: Disk;
  readonly #options: JournalOptions;
  readonly #reserve: Reserve;
  readonly #blocks = new BlockCache();
  readonly #writer = new FrameWriter();
  readonly #headWriter = new FrameWriter();
  #sequence = 0;
  #written = 0;
  #bytes = 0;
  #synced = 0;
  #unsynced: Segment[] = [];
  /** Changes of names so far, and how many of them a flush of the folder has covered. */
  #folderChanges = 0;
  #folderSynced = 0;
  #syncing: Promise<void> | undefined;
  /** The flush under way whose failure a flush at once may have hidden. */
  #doubted: Promise<void> | undefined;
  #broken: Error | undefined;
  #full = false;
  #timers: NodeJS.Timeout[] = [];

  constructor(disk: Disk, options: JournalOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#reserve = new Reserve(disk, options.durability === "none" ? 0 : options.reserveBytes);
  }

  /** Continues after the recovered segments, whose content is on disk up to `sequence`; opens the first when there are none. */
  open(recovered: readonly Segment[], sequence: number): void {
    this.segments.push(...recovered);
    for (const segment of recovered) this.#bytes += segment.length;
    this.#sequence = sequence;
    this.#synced = sequence;
    this.#full = !this.#reserve.fill();
    if (this.segments.length === 0) this.#rotate();
    if (this.#options.durability === "none") return;
    this.#every(SYNC_EVERY_MS, () => void this.sync().catch(() => {}));
    this.#every(ROOM_CHECK_EVERY_MS, () => this.#checkRoom());
  }

  /** The error that broke the journal. */
  get broken(): Error | undefined {
    return this.#broken;
  }

  /** True while the disk has no room for new tasks. */
  get full(): boolean {
    return this.#full;
  }

  /** The highest sequence number known to survive a power cut. */
  get synced(): number {
    return this.#synced;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes ever appended since the opening. */
  get written(): number {
    return this.#written;
  }

  /** The segment that is written now. */
  get active(): Segment {
    return this.segments.at(-1) as Segment;
  }

  /** Begins a frame; records go into the writer until {@link commit}. */
  begin(): FrameWriter {
    this.#writer.begin();
    return this.#writer;
  }

  /**
   * Appends the frame that was begun, and returns where it lies: add a record's place in the writer.
   * With `urgent` it may use the reserve of a full disk.
   * @throws {StorageUnavailableError} when nothing was written.
   */
  commit(urgent: boolean, kind: number = FRAME_KIND.records): { segment: number; offset: number } {
    this.#refuseWhenBroken();
    const size = this.#writer.at;
    try {
      if (this.active.length + size > this.#options.segmentBytes && this.active.length > SEGMENT_HEADER) {
        this.#rotate();
      }
      this.#append(this.#writer, kind);
    } catch (error) {
      if (!isDiskFull(error)) throw this.#break("write", error);
      this.#full = true;
      if (!urgent || !this.#reserve.present) throw noRoom(error);
      this.#appendToReserve(kind);
    }
    return { segment: this.active.number, offset: this.active.length - size };
  }

  /** Resolves when all that is written now is as durable as the mode promises; undefined when it is already. */
  durable(): Promise<void> | undefined {
    if (this.#options.durability !== "power" || this.#synced >= this.#sequence) return this.#doubted;
    return this.#durableUpTo(this.#sequence);
  }

  /** Makes all that is written now survive a power cut. */
  async sync(): Promise<void> {
    await this.#durableUpTo(this.#sequence);
  }

  /**
   * As {@link sync}, before it returns. A flush that is under way may have failed without having said so yet, and
   * then this one succeeds all the same: so answers wait until it has ended well.
   */
  syncNow(): void {
    this.#refuseWhenBroken();
    try {
      for (const segment of this.#unsynced) segment.file.syncNow();
      // Also when a flush in the background is at it: that one may not have ended.
      if (this.#folderSynced < this.#folderChanges) this.#disk.syncFolderNow();
    } catch (error) {
      throw this.#break("flush", error);
    }
    this.#markSynced(this.#sequence, this.#folderChanges);
    this.#doubted = this.#syncing;
  }

  /** The record at a place. */
  read(number: number, offset: number, length: number): ReadRecord {
    const first = (this.segments[0] as Segment).number;
    return readRecord(this.#blocks, this.segments[number - first] as Segment, offset, length);
  }

  /**
   * Removes the oldest segment, whose live records have been written again and flushed. When that fails the segment
   * stays the oldest, to be tried again: one removed before it would leave a gap.
   */
  removeOldest(): void {
    const oldest = this.segments[0] as Segment;
    this.#disk.remove(segmentName(oldest.number));
    this.#folderChanges += 1;
    this.segments.shift();
    this.#unsynced = this.#unsynced.filter((segment) => segment !== oldest);
    this.#blocks.forget(oldest.number);
    this.#bytes -= oldest.length;
    // A flush that is under way may still have the file in hand.
    if (this.#syncing === undefined) oldest.file.closeRemoved();
    else void this.#syncing.catch(() => {}).then(() => oldest.file.closeRemoved());
  }

  /** Writes and flushes the mark of an orderly end, and closes the files. */
  async close(): Promise<void> {
    try {
      await this.#end();
    } finally {
      await this.#syncing?.catch(() => {});
      this.abandon();
    }
  }

  /** Leaves the files as they are, and the disk to others: after an opening that failed. */
  abandon(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const segment of this.segments) segment.file.close();
  }

  async #end(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    if (this.#broken === undefined) {
      // Flushed twice, so that the mark itself says that all before it is on disk.
      await this.sync();
      try {
        this.begin();
        this.commit(true, FRAME_KIND.closed);
      } catch (error) {
        // A full disk has no room for the mark; the next opening recovers as after a crash.
        if (!(error instanceof StorageUnavailableError)) throw error;
      }
      await this.sync();
    }
  }

  #append(writer: FrameWriter, kind: number): void {
    const segment = this.active;
    const frame = writer.finish(kind, this.#sequence + 1, this.#synced);
    try {
      segment.file.write(frame, segment.length);
    } catch (error) {
      this.#undo(segment, error);
    }
    segment.length += frame.length;
    this.#written += frame.length;
    this.#bytes += frame.length;
    this.#sequence += 1;
    segment.sequence = this.#sequence;
    if (this.#unsynced.at(-1) !== segment) this.#unsynced.push(segment);
  }

  /** Takes back what a failed write may have left behind the last whole frame. */
  #undo(segment: Segment, error: unknown): never {
    if (!isDiskFull(error)) throw this.#break("write", error);
    try {
      segment.file.truncate(segment.length);
    } catch (second) {
      throw this.#break("truncate", second);
    }
    throw error;
  }

  /** Begins a new segment with its header and head frame. */
  #rotate(make: (number: number) => Segment = (number) => createSegment(this.#disk, number)): void {
    const number = (this.segments.at(-1)?.number ?? 0) + 1;
    const segment = make(number);
    this.segments.push(segment);
    this.#folderChanges += 1;
    try {
      this.#writeBeginning(segment);
    } catch (error) {
      if (isDiskFull(error)) {
        this.segments.pop();
        segment.file.close();
        this.#disk.remove(segmentName(number));
      }
      throw error;
    }
  }

  #writeBeginning(segment: Segment): void {
    try {
      segment.file.write(segmentHeader(segment.number), 0);
    } catch (error) {
      this.#undo(segment, error);
    }
    segment.length = SEGMENT_HEADER;
    this.#headWriter.begin();
    this.#options.writeHead(this.#headWriter);
    this.#append(this.#headWriter, FRAME_KIND.head);
  }

  #appendToReserve(kind: number): void {
    try {
      this.#rotate((number) => ({
        number,
        file: this.#reserve.becomes(segmentName(number)),
        length: 0,
        sequence: 0,
      }));
      this.#append(this.#writer, kind);
    } catch (error) {
      throw isDiskFull(error) ? noRoom(error) : this.#break("write", error);
    }
  }

  #checkRoom(): void {
    if (!this.#full || this.#broken !== undefined) return;
    try {
      this.#full = !this.#reserve.roomAgain();
    } catch (error) {
      this.#break("write", error);
    }
  }

  #durableUpTo(sequence: number): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.stopped());
    if (this.#synced >= sequence) return Promise.resolve();
    // What was written before this flush began is covered by it only when it began after the write: so at
    // most one flush that is under way, and then one of our own.
    this.#syncing ??= this.#flush().finally(() => {
      this.#syncing = undefined;
      this.#doubted = undefined;
    });
    return this.#syncing.then(() => this.#durableUpTo(sequence));
  }

  async #flush(): Promise<void> {
    const sequence = this.#sequence;
    const segments = this.#unsynced.slice();
    const folderChanges = this.#folderChanges;
    try {
      for (const segment of segments) await segment.file.sync();
      if (this.#folderSynced < folderChanges) await this.#disk.syncFolder();
    } catch (error) {
      throw this.#break("flush", error);
    }
    this.#markSynced(sequence, folderChanges);
  }

  #markSynced(sequence: number, folderChanges: number): void {
    this.#synced = Math.max(this.#synced, sequence);
    this.#folderSynced = Math.max(this.#folderSynced, folderChanges);
    this.#unsynced = this.#unsynced.filter((segment) => segment.sequence > this.#synced);
  }

  #refuseWhenBroken(): void {
    if (this.#broken !== undefined) throw this.stopped();
  }

  /** What every call answers once the journal is broken. */
  stopped(): StorageUnavailableError {
    return new StorageUnavailableError(
      `The engine stopped: ${this.#broken?.message}. Restart it; nothing after the failure was acknowledged`,
      { cause: this.#broken },
    );
  }

  /** Breaks the journal from outside: another process has the folder. */
  stop(cause: Error): void {
    this.#broken ??= cause;
  }

  #break(what: string, cause: unknown): StorageUnavailableError {
    if (this.#broken === undefined) {
      this.#broken = new Error(`a ${what} of the journal failed (${(cause as Error).message})`, { cause });
      this.#options.onBroken(this.#broken);
    }
    return this.stopped();
  }

  #every(ms: number, action: () => void): void {
    this.#timers.push(setInterval(action, ms).unref());
  }
}

function noRoom(cause: unknown): StorageUnavailableError {
  return new StorageUnavailableError(
    "The disk is full: nothing was written. New tasks are refused until there is room again",
    { cause },
  );
}
