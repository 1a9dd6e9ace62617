import { getHeapStatistics } from "node:v8";
import type { QueueState } from "./queue-state.ts";
import type { TaskTable } from "./task-table.ts";

/**
 * What each of these takes of memory, bytes, rounded up from what `npm run bench -- embedded-memory` measures: a task
 * in the typed arrays, a remembered key on the heap at its dearest (its Map has just grown; the text of the key comes
 * on top), a queue with room for its first tasks.
 */
export const COST = Object.freeze({ task: 160, key: 340, queue: 6_000 });

/** Of the heap's limit V8 gives this to young objects, which the engine's do not stay. */
const YOUNG_BYTES = 48 * 1024 * 1024;
/** The other half is for payloads under way, for growing tables that are there twice, and for the program around. */
const SHARE = 1 / 2;
/** A Map of V8 holds 16.7 million keys and then throws: below that in one queue, whatever the heap. */
const DEFAULT_MAX = 4 * 1024 ** 3;

/** The bound that fits this process: half of what its heap may grow to. */
export function defaultMemoryBytesMax(heapLimit: number = getHeapStatistics().heap_size_limit): number {
  return Math.min(DEFAULT_MAX, Math.floor(Math.max(heapLimit / 4, heapLimit - YOUNG_BYTES) * SHARE));
}

/** What a remembered key takes. Its UTF-8 is never shorter than what V8 makes of its text. */
export function keyCost(key: string): number {
  return COST.key + Buffer.byteLength(key);
}

export interface MemoryUse {
  readonly tasks: number;
  /** Idempotency keys that are remembered, those of removed tasks included. */
  readonly keys: number;
  /** What they take, as counted. */
  readonly bytes: number;
}

/**
 * What the engine keeps, counted rather than measured: the heap of a process says as much about its garbage and its
 * other work, and would refuse a task now and take it a moment later. Payloads and results are not in it: they are in
 * the journal, and what is kept of them on the heap has a bound of its own.
 *
 * Removed tasks count for nothing, although the arrays never shrink: their rows are used again, and they are not on
 * the heap, of which this bound leaves the other half.
 */
export class Memory {
  readonly #table: TaskTable;
  readonly #queues: readonly QueueState[];
  #keys = 0;
  #keyBytes = 0;

  constructor(table: TaskTable, queues: readonly QueueState[]) {
    this.#table = table;
    this.#queues = queues;
  }

  addKey(key: string): void {
    this.#keys += 1;
    this.#keyBytes += keyCost(key);
  }

  removeKey(key: string): void {
    this.#keys -= 1;
    this.#keyBytes -= keyCost(key);
  }

  get bytes(): number {
    return this.#table.size * COST.task + this.#keyBytes + this.#queues.length * COST.queue;
  }

  get use(): MemoryUse {
    return { tasks: this.#table.size, keys: this.#keys, bytes: this.bytes };
  }
}
