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

/** Forgets up to `limit` keys that are past their time; true when more of them are. */
export function forgetKeys(queue: QueueState, now: EpochMs, limit: number): boolean {
  // Keys stand in the order of their enqueue, so the first one that is young ends it.
  for (let left = limit; ; left -= 1) {
    const oldest = queue.keyWalk.oldest();
    if (oldest === undefined || oldest.expiresAt > now) return false;
    if (left === 0) return true;
    removeKey(queue, oldest);
  }
}

/**
 * Brings the keys into the order of their ends, in which they are forgotten: recovery takes them as they come, and
 * compaction wrote some again behind younger ones. Few runs in order sort fast.
 */
export function orderKeys(queue: QueueState): void {
  const entries = [...queue.keys.values()];
  if (entries.every((entry, index) => index === 0 || entry.expiresAt >= endBefore(entries, index))) return;
  queue.keys.clear();
  for (const entry of entries.sort((a, b) => a.expiresAt - b.expiresAt)) queue.keys.set(entry.key, entry);
}

function endBefore(entries: readonly RememberedKey[], index: number): EpochMs {
  return (entries[index - 1] as RememberedKey).expiresAt;
}

/** In recovery a task can come after a younger one with the same key: compaction wrote it again. */
function isOlder(queue: QueueState, entry: RememberedKey): boolean {
  const known = queue.keys.get(entry.key);
  return known !== undefined && known.expiresAt > entry.expiresAt;
}

function setKey(queue: QueueState, entry: RememberedKey): void {
  const known = queue.keys.get(entry.key);
  // Removed first: setting a present key would keep its old place in the order.
  if (known !== undefined) removeKey(queue, known);
  queue.keys.set(entry.key, entry);
  queue.memory.addKey(entry.key);
}

function removeKey(queue: QueueState, { key, slot }: RememberedKey): void {
  queue.keys.delete(key);
  queue.memory.removeKey(key);
  if (slot !== -1) queue.keyOfSlot.delete(slot);
}
