import type { Engine } from "./engine.ts";
import type { FrameWriter } from "./frame.ts";
import { findKey } from "./idempotency.ts";
import { copyTask, type IdWords, idIn, RECORD, read, writeKey, writeNumber, writeState } from "./records.ts";
import type { Segment } from "./segment.ts";
import { SegmentReader } from "./segment-reader.ts";

/**
 * Bytes of the oldest segment that one step looks at, at most (and the rest of a record); about a quarter of a
 * millisecond when all of them are live.
 */
const STEP_BYTES_MAX = 64 * 1024;
/** Between steps, so that callers come in between. */
const PAUSE_MS = 1;
/** Bytes looked at for each byte that callers write, at least. */
const AHEAD = 3;
/** After a failed step, which on a full disk is one of many. */
const REST_MS = 1_000;

/**
 * Gives disk space back: writes the live records of the oldest segment again at the end of the journal, in
 * small steps between the callers' own, and removes the segment when they are flushed.
 *
 * Keeps the journal below twice its live bytes and one segment, and begins as late as that allows: each live byte
 * is written about once more for each time the journal is filled again. A crash at any point leaves records twice,
 * which recovery takes as they come: the last one counts.
 *
 * Always the oldest segment: only then can the mark that a task was removed be dropped with its segment,
 * because no older record of that task is left.
 */
export class Compactor {
  readonly #engine: Engine;
  /** Reads the segment that is being written again. */
  #reader: SegmentReader | undefined;
  #finishing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** How far what callers wrote has been answered by steps, on the scale of `journal.written`. */
  #paidTo = 0;
  #resting = false;
  readonly #stepBytes: number;
  /** Told what failed, and undefined when it has been tried again with success. */
  readonly #onError: (error: unknown) => void;
  #hasFailed = false;

  constructor(engine: Engine, onError: (error: unknown) => void) {
    this.#engine = engine;
    this.#stepBytes = Math.min(STEP_BYTES_MAX, engine.options.segmentBytes / 4);
    this.#onError = onError;
  }

  /** Called after each write: starts compaction when it is due, and keeps it ahead of a writer that never pauses. */
  afterWrite(): void {
    const { journal } = this.#engine;
    if (!this.#hasWork()) {
      this.#paidTo = journal.written;
      return;
    }
    this.#timer ??= setTimeout(() => this.#run(), PAUSE_MS).unref();
    // A caller that never lets a timer run must not outrun compaction.
    const isBehind = () => AHEAD * (journal.written - this.#paidTo) >= this.#stepBytes;
    while (isBehind() && this.#hasWork()) this.#stepOnce();
  }

  /** Stops between two steps. What is half done is done again after the next opening. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#finishing;
  }

  #run(): void {
    this.#timer = undefined;
    if (this.#hasWork()) this.#stepOnce();
    if (this.#hasWork()) this.#timer ??= setTimeout(() => this.#run(), PAUSE_MS).unref();
  }

  #hasWork(): boolean {
    if (this.#resting) return false;
    return this.#finishing === undefined && (this.#reader !== undefined || this.#isDue());
  }

  #isDue(): boolean {
    const { journal, liveBytes, liveBytesTotal, options } = this.#engine;
    if (journal.segments.length < 2 || journal.broken !== undefined) return false;
    const oldest = journal.segments[0] as Segment;
    const liveInOldest = liveBytes[oldest.number] ?? 0;
    // What the journal grows by until there is room again: the oldest segment's live bytes are there twice until it
    // goes; when all the old segments are live, callers write on while every live byte is looked at, and while each
    // segment's copies are flushed.
    const duringFlushes = Math.min(liveBytesTotal, options.segmentBytes) / 2;
    const growth = liveInOldest + liveBytesTotal / AHEAD + duringFlushes;
    if (journal.bytes + growth > 2 * liveBytesTotal + options.segmentBytes) return true;
    // On a full disk any room counts: the oldest segment goes as soon as half of it is dead.
    return journal.full && oldest.length > 2 * liveInOldest;
  }

  /**
   * What answers wait for when callers fill segments faster than the flush before a removal ends. Not a flush at
   * once: it would not know of the failure of the one under way, and what was lost would go with the segment.
   */
  get overdue(): Promise<void> | undefined {
    const { journal, liveBytesTotal, options } = this.#engine;
    return journal.bytes > 2 * liveBytesTotal + 2 * options.segmentBytes ? this.#finishing : undefined;
  }

  #stepOnce(): void {
    const { journal } = this.#engine;
    const before = journal.written;
    let looked = 0;
    try {
      this.#reader ??= new SegmentReader(journal.segments[0] as Segment, this.#stepBytes);
      looked = this.#moveSome(this.#reader);
    } catch (error) {
      this.#rest(error);
    }
    // Its own writing is no caller's: it would drive itself on, a pile of steps in front of each call.
    const own = journal.written - before;
    this.#paidTo = Math.min(journal.written, this.#paidTo + own + looked / AHEAD);
  }

  /** Forgets the half-done segment, to begin it again after a while. */
  #rest(error: unknown): void {
    this.#reader = undefined;
    this.#finishing = undefined;
    this.#resting = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#resting = false;
      this.#run();
    }, REST_MS).unref();
    this.#hasFailed = true;
    this.#onError(error);
  }

  /** One step; answers how many bytes it looked at. A frame larger than a step is read by some steps and moved by others. */
  #moveSome(reader: SegmentReader): number {
    if (!reader.hasRecord() && !reader.isAtEnd) reader.readPiece();
    const to = this.#engine.journal.begin();
    const places: Moved[] = [];
    let looked = 0;
    while (looked < this.#stepBytes && reader.hasRecord()) {
      moveRecord(this.#engine, reader, to, places);
      const bytes = read.length(reader.content, reader.at);
      reader.pass(bytes);
      looked += bytes;
    }
    if (places.length > 0) this.#place(places, this.#engine.journal.commit(true));
    if (reader.isAtEnd) this.#finish(reader.segment);
    return looked;
  }

  #place(places: readonly Moved[], base: { segment: number; offset: number }): void {
    for (const { slot, task, state } of places) {
      if (slot === -1) continue;
      this.#engine.placeTask(slot, base.segment, base.offset + task.offset, task.length);
      if (state !== undefined) {
        this.#engine.placeState(slot, base.segment, base.offset + state.offset, state.length);
      }
    }
  }

  /** All live records are written again: say that the segment is not needed, flush, and remove it. */
  #finish(segment: Segment): void {
    const { journal } = this.#engine;
    this.#engine.oldestSegment = segment.number + 1;
    writeNumber(journal.begin(), RECORD.oldest, segment.number + 1);
    journal.commit(true);
    this.#finishing = journal
      .sync()
      .then(() => this.#remove(segment))
      .catch((error: unknown) => this.#rest(error));
  }

  #remove(segment: Segment): void {
    if (this.#reader?.segment !== segment) return;
    this.#engine.journal.removeOldest();
    this.#reader = undefined;
    this.#finishing = undefined;
    if (this.#hasFailed) this.#onError(undefined);
    this.#hasFailed = false;
  }
}

interface Span {
  readonly offset: number;
  readonly length: number;
}

interface Moved {
  /** -1 for a key, which has no place in the table. */
  readonly slot: number;
  readonly task: Span;
  readonly state: Span | undefined;
}

const NOWHERE: Span = { offset: 0, length: 0 };

/** Writes a record again when it is live. A task goes with its present state; its state record needs no move of its own. */
function moveRecord(engine: Engine, reader: SegmentReader, to: FrameWriter, places: Moved[]): void {
  const { content, at } = reader;
  const kind = read.kind(content, at);
  if (kind === RECORD.task) {
    const id = read.id(content, at);
    const slot = engine.table.findWords(id.a, id.b, id.c);
    if (slot === -1) return;
    const { taskSegment, taskOffset } = engine.table;
    if (taskSegment.get(slot) !== reader.segment.number || taskOffset.get(slot) !== reader.offset) return;
    places.push(moveTask(engine, slot, id, content, at, to));
  } else if (kind === RECORD.key) {
    if (moveKey(engine, content, at, to)) places.push({ slot: -1, task: NOWHERE, state: undefined });
  }
}

function moveTask(
  engine: Engine,
  slot: number,
  id: IdWords,
  content: Buffer,
  at: number,
  to: FrameWriter,
): Moved {
  const taskOffset = to.at;
  copyTask(to, content, at);
  const task = { offset: taskOffset, length: to.at - taskOffset };
  if (engine.table.stateSegment.get(slot) === 0) return { slot, task, state: undefined };
  const stateOffset = to.at;
  writeState(to, engine.table.queue.get(slot), id, engine.table.status(slot), engine.details(slot));
  return { slot, task, state: { offset: stateOffset, length: to.at - stateOffset } };
}

function moveKey(engine: Engine, content: Buffer, at: number, to: FrameWriter): boolean {
  const queue = engine.queues[read.queue(content, at)];
  const record = read.key(content, at);
  const known = queue === undefined ? undefined : findKey(queue, record.key, engine.clock.now());
  if (queue === undefined || known?.slot !== -1) return false;
  // The key may have gone to a younger task since: that one's record is moved in its own turn.
  const id = read.id(content, at);
  if (known.id !== idIn(queue.name, id)) return false;
  writeKey(to, queue.number, id, known);
  return true;
}
