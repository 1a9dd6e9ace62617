import type { LeaseToken, TaskId } from "../../task/ids.ts";
import type { DeadReason, EpochMs, TaskState } from "../../task/task.ts";
import { Column } from "./column.ts";
import { IdIndex } from "./id-index.ts";

/** States as stored, in memory and in the journal: never renumber. 0 is a free slot. */
export const STATE_CODE: Readonly<Record<TaskState, number>> = {
  scheduled: 1,
  ready: 2,
  leased: 3,
  completed: 4,
  dead: 5,
  cancelled: 6,
};
const STATES: readonly (TaskState | undefined)[] = [
  undefined,
  "scheduled",
  "ready",
  "leased",
  "completed",
  "dead",
  "cancelled",
];

/** The state of a stored code; undefined for a free slot or a code of a newer version. */
export function stateOfCode(code: number): TaskState | undefined {
  return STATES[code];
}

/** Bits of the flags column and of the flags byte of a state record. */
export const FLAG = {
  worker: 1,
  history: 2,
  result: 4,
  refused: 8,
} as const;

/** The whole mutable state of a task: what a state record holds, and what a transition replaces. */
export interface TaskStatus {
  state: TaskState;
  attempt: number;
  releases: number;
  /** Of the last claim; 0 before the first. */
  fence: number;
  /** Random part of the last claim's token. */
  nonce: number;
  leaseMs: number;
  claimedAt: EpochMs;
  runAt: EpochMs;
  /** Ready: place in its priority. Scheduled: tie within a time. Finished: place in its state. */
  order: number;
  /** Leased: end of the lease. Finished: the moment of finishing. Else 0. */
  time: EpochMs;
  /** Bytes of the result. */
  resultBytes: number;
  /** Which of the details the last state record holds, and the reason of death. */
  flags: number;
}

export function deadReason(flags: number): DeadReason {
  return (flags & FLAG.refused) !== 0 ? "refused" : "attempts";
}

/** Where a record lies: segment number, offset and length in bytes. Segment 0: nowhere. */
export interface Place {
  segment: number;
  offset: number;
  length: number;
}

const words = new Uint32Array(3);
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SIXTH = new Uint8Array(128);
for (let i = 0; i < 64; i += 1) SIXTH[ALPHABET.charCodeAt(i)] = i;

/** Decodes the random part of an id to three 32-bit words, in a shared array: read it before the next call. */
export function idWords(id: TaskId): Uint32Array {
  // 16 characters of 6 bits: 96 bits, taken from the front. Read in place: slicing the text would allocate.
  const from = id.length - 16;
  let bits = 0;
  let have = 0;
  let word = 0;
  for (let i = 0; i < 16; i += 1) {
    const six = SIXTH[id.charCodeAt(from + i)] as number;
    const room = 32 - have;
    if (room > 6) {
      bits = ((bits << 6) | six) >>> 0;
      have += 6;
    } else {
      const over = 6 - room;
      words[word] = (bits << room) | (six >>> over);
      word += 1;
      bits = six & ((1 << over) - 1);
      have = over;
    }
  }
  return words;
}

const LETTERS = Uint8Array.from(ALPHABET, (letter) => letter.charCodeAt(0));

function letter(six: number): number {
  return LETTERS[six & 63] as number;
}

/** The random part of an id, from its three words: base64url, in a quarter of the time that a Buffer takes for 12 bytes. */
export function idText(a: number, b: number, c: number): string {
  return String.fromCharCode(
    letter(a >>> 26),
    letter(a >>> 20),
    letter(a >>> 14),
    letter(a >>> 8),
    letter(a >>> 2),
    letter((a << 4) | (b >>> 28)),
    letter(b >>> 22),
    letter(b >>> 16),
    letter(b >>> 10),
    letter(b >>> 4),
    letter((b << 2) | (c >>> 30)),
    letter(c >>> 24),
    letter(c >>> 18),
    letter(c >>> 12),
    letter(c >>> 6),
    letter(c),
  );
}

/** The token of a lease: fence and nonce, so that it grows with the fence (I2). */
export function leaseToken(fence: number, nonce: number): LeaseToken {
  return `${fence}.${nonce}` as LeaseToken;
}

/** True when `token` is that of the last claim. */
export function holds(status: TaskStatus, token: LeaseToken): boolean {
  return status.fence !== 0 && leaseToken(status.fence, status.nonce) === token;
}

/**
 * All tasks of all queues, one slot each: about 90 bytes in typed arrays and nothing on the heap. What order
 * and leases need is here; payloads, results and error texts stay in the journal, found by their place.
 */
export class TaskTable {
  readonly idA = Column.uint32();
  readonly idB = Column.uint32();
  readonly idC = Column.uint32();
  /** Number of the queue. */
  readonly queue = Column.uint32();
  readonly state = Column.uint8();
  readonly priority = Column.uint8();
  readonly attempt = Column.uint8();
  readonly maxAttempts = Column.uint8();
  readonly releases = Column.uint8();
  readonly flags = Column.uint8();
  readonly fence = Column.float64();
  readonly nonce = Column.uint32();
  readonly leaseMs = Column.uint32();
  readonly claimedAt = Column.float64();
  readonly runAt = Column.float64();
  readonly order = Column.float64();
  readonly time = Column.float64();
  readonly payloadBytes = Column.uint32();
  readonly resultBytes = Column.uint32();
  /** The immutable record. */
  readonly taskSegment = Column.uint32();
  readonly taskOffset = Column.uint32();
  readonly taskLength = Column.uint32();
  /** The last state record; segment 0 until the first. */
  readonly stateSegment = Column.uint32();
  readonly stateOffset = Column.uint32();
  readonly stateLength = Column.uint32();

  readonly #columns: readonly Column[] = Object.values(this).filter((value) => value instanceof Column);
  readonly #index = new IdIndex(this.idA, this.idB, this.idC);
  readonly #free: number[] = [];
  #rows = 0;
  #size = 0;

  /** Tasks in the table, finished ones included. */
  get size(): number {
    return this.#size;
  }

  /** One more than the highest slot ever used: for a walk over all of them. */
  get rows(): number {
    return this.#rows;
  }

  /** The slot of an id, or -1. */
  find(id: TaskId): number {
    const [a, b, c] = idWords(id) as unknown as [number, number, number];
    return this.#index.find(a, b, c);
  }

  findWords(a: number, b: number, c: number): number {
    return this.#index.find(a, b, c);
  }

  /** Takes a slot for a task with this id; its other columns hold what the last owner left. */
  add(a: number, b: number, c: number): number {
    const slot = this.#free.pop() ?? this.#rows;
    if (slot === this.#rows) {
      this.#rows += 1;
      for (const column of this.#columns) column.reach(slot);
    }
    this.idA.set(slot, a);
    this.idB.set(slot, b);
    this.idC.set(slot, c);
    this.#index.add(slot);
    this.#size += 1;
    return slot;
  }

  remove(slot: number): void {
    this.#index.remove(slot);
    this.state.set(slot, 0);
    this.#free.push(slot);
    this.#size -= 1;
  }

  /** The random part of a slot's id. */
  idText(slot: number): string {
    return idText(this.idA.get(slot), this.idB.get(slot), this.idC.get(slot));
  }

  stateOf(slot: number): TaskState {
    return STATES[this.state.get(slot)] as TaskState;
  }

  status(slot: number): TaskStatus {
    return {
      state: this.stateOf(slot),
      attempt: this.attempt.get(slot),
      releases: this.releases.get(slot),
      fence: this.fence.get(slot),
      nonce: this.nonce.get(slot),
      leaseMs: this.leaseMs.get(slot),
      claimedAt: this.claimedAt.get(slot),
      runAt: this.runAt.get(slot),
      order: this.order.get(slot),
      time: this.time.get(slot),
      resultBytes: this.resultBytes.get(slot),
      flags: this.flags.get(slot),
    };
  }

  setStatus(slot: number, status: TaskStatus): void {
    this.state.set(slot, STATE_CODE[status.state]);
    this.attempt.set(slot, status.attempt);
    this.releases.set(slot, status.releases);
    this.fence.set(slot, status.fence);
    this.nonce.set(slot, status.nonce);
    this.leaseMs.set(slot, status.leaseMs);
    this.claimedAt.set(slot, status.claimedAt);
    this.runAt.set(slot, status.runAt);
    this.order.set(slot, status.order);
    this.time.set(slot, status.time);
    this.resultBytes.set(slot, status.resultBytes);
    this.flags.set(slot, status.flags);
  }
}
