import type { BackoffPolicy } from "../../task/backoff.ts";
import type { QueueName, TaskId } from "../../task/ids.ts";
import type { QueueConfig } from "../../task/queue.ts";
import type { EpochMs, Failure, JsonText } from "../../task/task.ts";
import type { FrameWriter } from "./frame.ts";
import { FLAG, idText, STATE_CODE, stateOfCode, type TaskStatus } from "./task-table.ts";

/**
 * The records of the journal, format version 1. Each begins with its length (u32) and kind (u8); all numbers
 * are little endian, all texts UTF-8 behind their length in bytes. A record holds a whole new state, never a
 * change to one, so the last record of a task is all that counts.
 */
export const RECORD = {
  /** A task: what never changes, and its first state. */
  task: 1,
  /** The whole mutable state of a task. */
  state: 2,
  /** A task is gone: pruned, or purged by an operator. */
  removed: 3,
  /** An idempotency key whose task is gone. */
  key: 4,
  /** A queue: number, name, configuration, totals. */
  queue: 5,
  /** No fence at or above this number has been used. */
  fences: 6,
  /** The segments before this number are no longer needed. */
  oldest: 7,
  /** Which boot of which machine writes from here on. */
  boot: 8,
} as const;

/** A task record written again by compaction: it does not count as enqueued. */
const MOVED = 1;
const HAS_KEY = 2;
const HAS_TAGS = 4;
const SCHEDULED = 8;

const TASK_FIXED = 76;
const STATE_FIXED = 80;
const HASH_BYTES = 32;
const UTF8_PER_UNIT = 3;

const TYPES: readonly BackoffPolicy["type"][] = ["fixed", "linear", "exponential"];
const JITTERS: readonly BackoffPolicy["jitter"][] = ["none", "equal", "full"];

/** The 96 bits of an id. */
export interface IdWords {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/** The id that a record's words name in its queue. */
export function idIn(queue: QueueName, { a, b, c }: IdWords): TaskId {
  return `${queue}~${idText(a, b, c)}` as TaskId;
}

/** What never changes about a task. */
export interface TaskRecord {
  readonly payload: JsonText;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly backoff: BackoffPolicy;
  readonly createdAt: EpochMs;
  readonly idempotencyKey?: string;
  /** SHA-256 in hex; present with the key. */
  readonly payloadHash?: string;
  readonly tags?: Readonly<Record<string, string>>;
}

/** A task record with its task's id. */
export type TaskConstants = TaskRecord & { readonly id: TaskId };

/** The parts of a state that are not in memory. */
export interface Details {
  readonly worker?: string;
  readonly lastError?: string;
  readonly failures?: readonly Failure[];
  readonly result?: JsonText;
}

/** Writes a task record with its first state; returns the payload's bytes. */
export function writeTask(
  to: FrameWriter,
  queue: number,
  id: IdWords,
  task: TaskRecord,
  first: { readonly runAt: EpochMs; readonly order: number; readonly scheduled: boolean },
  moved: boolean,
): number {
  const tags = task.tags === undefined ? undefined : JSON.stringify(task.tags);
  const key = task.idempotencyKey;
  to.ensure(
    TASK_FIXED +
      12 +
      HASH_BYTES +
      UTF8_PER_UNIT * (task.payload.length + (tags?.length ?? 0) + (key?.length ?? 0)),
  );
  const { buffer, at } = to;
  buffer[at + 4] = RECORD.task;
  buffer[at + 5] =
    (moved ? MOVED : 0) |
    (key === undefined ? 0 : HAS_KEY) |
    (tags === undefined ? 0 : HAS_TAGS) |
    (first.scheduled ? SCHEDULED : 0);
  buffer[at + 6] = task.priority;
  buffer[at + 7] = task.maxAttempts;
  writeAddress(buffer, at + 8, queue, id);
  buffer[at + 24] = TYPES.indexOf(task.backoff.type);
  buffer[at + 25] = JITTERS.indexOf(task.backoff.jitter);
  buffer.writeUInt16LE(0, at + 26);
  buffer.writeUInt32LE(task.backoff.baseMs, at + 28);
  buffer.writeUInt32LE(task.backoff.capMs, at + 32);
  buffer.writeDoubleLE(task.createdAt, at + 36);
  buffer.writeDoubleLE(first.runAt, at + 44);
  buffer.writeDoubleLE(first.order, at + 52);
  let end = writeText(buffer, at + 60, task.payload);
  const payloadBytes = end - at - 64;
  if (key !== undefined) {
    end += buffer.write(task.payloadHash as string, end, HASH_BYTES, "hex");
    end = writeText(buffer, end, key);
  }
  if (tags !== undefined) end = writeText(buffer, end, tags);
  finishRecord(to, end);
  return payloadBytes;
}

/** Writes a task record again as it stands, as compaction does: a text that is neither decoded nor encoded costs a fifth. */
export function copyTask(to: FrameWriter, from: Buffer, at: number): void {
  const bytes = from.readUInt32LE(at);
  to.ensure(bytes);
  from.copy(to.buffer, to.at, at, at + bytes);
  to.buffer[to.at + 5] = (from[at + 5] as number) | MOVED;
  to.at += bytes;
}

/** Writes the whole state of a task. */
export function writeState(
  to: FrameWriter,
  queue: number,
  id: IdWords,
  status: TaskStatus,
  details: Details | undefined,
): void {
  const failures = (status.flags & FLAG.history) === 0 ? undefined : JSON.stringify(details?.failures ?? []);
  const lastError = details?.lastError;
  to.ensure(
    STATE_FIXED +
      20 +
      UTF8_PER_UNIT *
        ((details?.worker?.length ?? 0) +
          (lastError?.length ?? 0) +
          (failures?.length ?? 0) +
          (details?.result?.length ?? 0)),
  );
  const { buffer, at } = to;
  buffer[at + 4] = RECORD.state;
  buffer[at + 5] = STATE_CODE[status.state];
  buffer[at + 6] = status.attempt;
  buffer[at + 7] = status.releases;
  writeAddress(buffer, at + 8, queue, id);
  buffer[at + 24] = status.flags;
  buffer[at + 25] = lastError === undefined ? 0 : 1;
  buffer.writeUInt16LE(0, at + 26);
  buffer.writeUInt32LE(status.nonce, at + 28);
  buffer.writeUInt32LE(status.leaseMs, at + 32);
  buffer.writeDoubleLE(status.fence, at + 36);
  buffer.writeDoubleLE(status.claimedAt, at + 44);
  buffer.writeDoubleLE(status.runAt, at + 52);
  buffer.writeDoubleLE(status.order, at + 60);
  buffer.writeDoubleLE(status.time, at + 68);
  buffer.writeUInt32LE(status.resultBytes, at + 76);
  let end = at + STATE_FIXED;
  if ((status.flags & FLAG.worker) !== 0) end = writeText(buffer, end, details?.worker ?? "");
  if (failures !== undefined) {
    end = writeText(buffer, end, failures);
    end = writeText(buffer, end, lastError ?? "");
  }
  if ((status.flags & FLAG.result) !== 0) {
    const from = end + 4;
    end = writeText(buffer, end, details?.result ?? "");
    status.resultBytes = end - from;
    buffer.writeUInt32LE(status.resultBytes, at + 76);
  }
  finishRecord(to, end);
}

export function writeRemoved(to: FrameWriter, queue: number, id: IdWords): void {
  to.ensure(24);
  beginRecord(to, RECORD.removed);
  writeAddress(to.buffer, to.at + 8, queue, id);
  finishRecord(to, to.at + 24);
}

/** A remembered key: which task it made, the hash of its payload, and when it is forgotten. */
export interface KeyRecord {
  readonly key: string;
  readonly payloadHash: string;
  readonly expiresAt: EpochMs;
}

export function writeKey(to: FrameWriter, queue: number, id: IdWords, key: KeyRecord): void {
  to.ensure(40 + HASH_BYTES + UTF8_PER_UNIT * key.key.length);
  const { buffer, at } = to;
  beginRecord(to, RECORD.key);
  writeAddress(buffer, at + 8, queue, id);
  buffer.writeDoubleLE(key.expiresAt, at + 24);
  const end = at + 32 + buffer.write(key.payloadHash, at + 32, HASH_BYTES, "hex");
  finishRecord(to, writeText(buffer, end, key.key));
}

export interface QueueRecord {
  readonly number: number;
  readonly name: string;
  readonly paused: boolean;
  readonly config: QueueConfig;
  readonly enqueued: number;
  readonly pruned: number;
}

export function writeQueue(to: FrameWriter, queue: QueueRecord): void {
  writeTextRecord(to, RECORD.queue, JSON.stringify(queue));
}

export function writeBoot(to: FrameWriter, bootId: string): void {
  writeTextRecord(to, RECORD.boot, bootId);
}

/** Writes a record of kind `fences` or `oldest`. */
export function writeNumber(to: FrameWriter, kind: number, value: number): void {
  to.ensure(16);
  beginRecord(to, kind);
  to.buffer.writeDoubleLE(value, to.at + 8);
  finishRecord(to, to.at + 16);
}

/** Reads the records of the journal out of a buffer; `at` is where the record begins. */
export const read = {
  length: (from: Buffer, at: number): number => from.readUInt32LE(at),
  kind: (from: Buffer, at: number): number => from[at + 4] as number,
  queue: (from: Buffer, at: number): number => from.readUInt32LE(at + 8),
  id: (from: Buffer, at: number): IdWords => ({
    a: from.readUInt32LE(at + 12),
    b: from.readUInt32LE(at + 16),
    c: from.readUInt32LE(at + 20),
  }),
  /** The first word of the id: enough to see whether a record is the expected one. */
  idA: (from: Buffer, at: number): number => from.readUInt32LE(at + 12),

  isMoved: (from: Buffer, at: number): boolean => ((from[at + 5] as number) & MOVED) !== 0,
  hasKey: (from: Buffer, at: number): boolean => ((from[at + 5] as number) & HAS_KEY) !== 0,
  hasTags: (from: Buffer, at: number): boolean => ((from[at + 5] as number) & HAS_TAGS) !== 0,
  priority: (from: Buffer, at: number): number => from[at + 6] as number,
  maxAttempts: (from: Buffer, at: number): number => from[at + 7] as number,
  createdAt: (from: Buffer, at: number): EpochMs => from.readDoubleLE(at + 36),
  payloadBytes: (from: Buffer, at: number): number => from.readUInt32LE(at + 60),

  /** The first state of a task record. */
  firstStatus(from: Buffer, at: number): TaskStatus {
    const state = ((from[at + 5] as number) & SCHEDULED) !== 0 ? "scheduled" : "ready";
    return newStatus(state, from.readDoubleLE(at + 44), from.readDoubleLE(at + 52));
  },

  /** What never changes about a task. Built field by field: it stands in the path of a claim from a deep queue. */
  task(from: Buffer, at: number, id: TaskId): TaskConstants {
    const flags = from[at + 5] as number;
    let end = at + 64 + from.readUInt32LE(at + 60);
    const task: { -readonly [K in keyof TaskConstants]: TaskConstants[K] } = {
      id,
      payload: from.toString("utf8", at + 64, end),
      priority: from[at + 6] as number,
      maxAttempts: from[at + 7] as number,
      backoff: {
        type: TYPES[from[at + 24] as number] as BackoffPolicy["type"],
        jitter: JITTERS[from[at + 25] as number] as BackoffPolicy["jitter"],
        baseMs: from.readUInt32LE(at + 28),
        capMs: from.readUInt32LE(at + 32),
      },
      createdAt: from.readDoubleLE(at + 36),
    };
    if ((flags & HAS_KEY) !== 0) {
      task.payloadHash = from.toString("hex", end, end + HASH_BYTES);
      task.idempotencyKey = readText(from, end + HASH_BYTES);
      end += HASH_BYTES + 4 + from.readUInt32LE(end + HASH_BYTES);
    }
    if ((flags & HAS_TAGS) !== 0) task.tags = JSON.parse(readText(from, end));
    return task;
  },

  /** The state of a state record; undefined for a state code of a newer version. */
  status(from: Buffer, at: number): TaskStatus | undefined {
    const state = stateOfCode(from[at + 5] as number);
    if (state === undefined) return undefined;
    return {
      state,
      attempt: from[at + 6] as number,
      releases: from[at + 7] as number,
      flags: from[at + 24] as number,
      nonce: from.readUInt32LE(at + 28),
      leaseMs: from.readUInt32LE(at + 32),
      fence: from.readDoubleLE(at + 36),
      claimedAt: from.readDoubleLE(at + 44),
      runAt: from.readDoubleLE(at + 52),
      order: from.readDoubleLE(at + 60),
      time: from.readDoubleLE(at + 68),
      resultBytes: from.readUInt32LE(at + 76),
    };
  },

  details(from: Buffer, at: number): Details {
    const flags = from[at + 24] as number;
    const details: { -readonly [K in keyof Details]: Details[K] } = {};
    let end = at + STATE_FIXED;
    const text = (): string => {
      const value = readText(from, end);
      end += 4 + from.readUInt32LE(end);
      return value;
    };
    if ((flags & FLAG.worker) !== 0) details.worker = text();
    if ((flags & FLAG.history) !== 0) {
      details.failures = JSON.parse(text());
      const lastError = text();
      if (from[at + 25] === 1) details.lastError = lastError;
    }
    if ((flags & FLAG.result) !== 0) details.result = text();
    return details;
  },

  key(from: Buffer, at: number): KeyRecord {
    return {
      expiresAt: from.readDoubleLE(at + 24),
      payloadHash: from.toString("hex", at + 32, at + 32 + HASH_BYTES),
      key: readText(from, at + 32 + HASH_BYTES),
    };
  },

  queueRecord: (from: Buffer, at: number): QueueRecord => JSON.parse(readText(from, at + 8)),
  number: (from: Buffer, at: number): number => from.readDoubleLE(at + 8),
  boot: (from: Buffer, at: number): string => readText(from, at + 8),
};

/** The first state of a task. */
export function newStatus(state: "scheduled" | "ready", runAt: EpochMs, order: number): TaskStatus {
  return {
    state,
    attempt: 0,
    releases: 0,
    fence: 0,
    nonce: 0,
    leaseMs: 0,
    claimedAt: 0,
    runAt,
    order,
    time: 0,
    resultBytes: 0,
    flags: 0,
  };
}

function writeAddress(buffer: Buffer, at: number, queue: number, id: IdWords): void {
  buffer.writeUInt32LE(queue, at);
  buffer.writeUInt32LE(id.a, at + 4);
  buffer.writeUInt32LE(id.b, at + 8);
  buffer.writeUInt32LE(id.c, at + 12);
}

/** Writes a length and a text at `at`; returns where it ends. */
function writeText(buffer: Buffer, at: number, text: string): number {
  const bytes = buffer.write(text, at + 4, "utf8");
  buffer.writeUInt32LE(bytes, at);
  return at + 4 + bytes;
}

function readText(from: Buffer, at: number): string {
  return from.toString("utf8", at + 4, at + 4 + from.readUInt32LE(at));
}

function writeTextRecord(to: FrameWriter, kind: number, text: string): void {
  to.ensure(16 + UTF8_PER_UNIT * text.length);
  beginRecord(to, kind);
  finishRecord(to, writeText(to.buffer, to.at + 8, text));
}

/** Writes the kind of a record whose next three bytes have no meaning. */
function beginRecord(to: FrameWriter, kind: number): void {
  to.buffer[to.at + 4] = kind;
  to.buffer[to.at + 5] = 0;
  to.buffer[to.at + 6] = 0;
  to.buffer[to.at + 7] = 0;
}

function finishRecord(to: FrameWriter, end: number): void {
  to.buffer.writeUInt32LE(end - to.at, to.at);
  to.at = end;
}
