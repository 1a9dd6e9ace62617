import type { TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { EpochMs } from "../../task/task.ts";
import type { QueueState, RememberedKey } from "./queue-state.ts";
import type { KeyRecord } from "./records.ts";

/** What of a task concerns its idempotency key. */
export interface Keyed {
  readonly idempotencyKey?: string;
  readonly payloadHash?: string;
  readonly createdAt: EpochMs;
}

/** Remembers the key of a task for 24 hours from its enqueue (I8). */
export function rememberKey(queue: QueueState, slot: number, task: Keyed): void {
  const entry: RememberedKey = {
    key: task.idempotencyKey as string,
    payloadHash: task.payloadHash as string,
    expiresAt: task.createdAt + LIMITS.idempotencyKeyMs,
    slot,
    id: undefined,
  };
  if (isOlder(queue, entry)) return;
  setKey(queue, entry);
  queue.keyOfSlot.set(slot, entry);
}

/** Remembers a key whose task is gone. */
export function rememberKeyOnly(queue: QueueState, record: KeyRecord, id: TaskId): void {
  const entry: RememberedKey = { ...record, slot: -1, id };
  if (!isOlder(queue, entry)) setKey(queue, entry);
}

/** A task is gone: its key stays, and answers with the id. */
export function keepKeyOnly(queue: QueueState, slot: number, id: TaskId): void {
  const entry = queue.keyOfSlot.get(slot);
  if (entry === undefined) return;
  queue.keyOfSlot.delete(slot);
  entry.slot = -1;
  entry.id = id;
}

/** The entry of a key that is still remembered. */
export function findKey(queue: QueueState, key: string, now: EpochMs): RememberedKey | undefined {
  const entry = queue.keys.get(key);
  return entry !== undefined && entry.expiresAt > now ? entry : undefined;
}

/** Forgets up to `limit` keys that are past their time. */
export function forgetKeys(queue: QueueState, now: EpochMs, limit: number): void {
  let left = limit;
  // Keys stand in the order of their enqueue, so the first one that is young ends the walk.
  for (const [key, entry] of queue.keys) {
    if (left === 0 || entry.expiresAt > now) return;
    left -= 1;
    queue.keys.delete(key);
    if (entry.slot !== -1) queue.keyOfSlot.delete(entry.slot);
  }
}

/** In recovery a task can come after a younger one with the same key: compaction wrote it again. */
function isOlder(queue: QueueState, entry: RememberedKey): boolean {
  const known = queue.keys.get(entry.key);
  return known !== undefined && known.expiresAt > entry.expiresAt;
}

function setKey(queue: QueueState, entry: RememberedKey): void {
  const known = queue.keys.get(entry.key);
  if (known !== undefined) {
    // Delete first: setting a present key would keep its old place in the order.
    queue.keys.delete(entry.key);
    if (known.slot !== -1) queue.keyOfSlot.delete(known.slot);
  }
  queue.keys.set(entry.key, entry);
}
