import { randomFillSync } from "node:crypto";
import { LIMITS, QUEUE_NAME } from "./limits.ts";

declare const brand: unique symbol;
type Brand<T, B> = T & { readonly [brand]: B };

/** A validated queue name. Made by {@link parseQueueName}. */
export type QueueName = Brand<string, "QueueName">;
/** An opaque task id, at most 128 URL-safe characters. Made by {@link newTaskId} or {@link parseTaskId}. */
export type TaskId = Brand<string, "TaskId">;
/** The opaque proof of a live lease. Made by an engine from the fence at the claim. */
export type LeaseToken = Brand<string, "LeaseToken">;

/**
 * A task id is `queue~random`: calls by id find their queue without a look-up, and 96 random bits never
 * name another task, also after a lost write. Users treat it as opaque.
 */
export const ID_RANDOM_BYTES = 12;
const RANDOM_LENGTH = 16;
const RANDOM = /^[A-Za-z0-9_-]{16}$/;

// One call to the system for 512 ids: a call for each costs about a microsecond on the enqueue path.
const pool = Buffer.allocUnsafe(ID_RANDOM_BYTES * 512);
let used = pool.length;

/** Makes the id of a new task in `queue`. */
export function newTaskId(queue: QueueName): TaskId {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.toString("base64url", used, used + ID_RANDOM_BYTES);
  used += ID_RANDOM_BYTES;
  return `${queue}~${random}` as TaskId;
}

/** The id, or undefined when the text cannot be one. */
export function parseTaskId(text: string): TaskId | undefined {
  if (text.length > LIMITS.idLengthMax) return undefined;
  const cut = text.length - RANDOM_LENGTH - 1;
  if (text.charCodeAt(cut) !== 0x7e /* ~ */ || !RANDOM.test(text.slice(cut + 1))) return undefined;
  return QUEUE_NAME.test(text.slice(0, cut)) ? (text as TaskId) : undefined;
}

/** The queue that a task id belongs to. */
export function queueOf(id: TaskId): QueueName {
  return id.slice(0, id.length - RANDOM_LENGTH - 1) as QueueName;
}

/** The random part of a task id: 16 characters of base64url, 12 bytes. */
export function randomPartOf(id: TaskId): string {
  return id.slice(id.length - RANDOM_LENGTH);
}

/** The queue name, or undefined when the text is not one. */
export function parseQueueName(text: string): QueueName | undefined {
  return QUEUE_NAME.test(text) ? (text as QueueName) : undefined;
}
