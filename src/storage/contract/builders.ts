import { createHash } from "node:crypto";
import { type LeaseToken, newTaskId, parseQueueName, type QueueName } from "../../task/ids.ts";
import type { ClaimedTask, JsonText, NewTask } from "../../task/task.ts";
import type { Heartbeat, Settlement } from "../storage.ts";

/** The queue of every builder that is not told another. */
export const QUEUE: QueueName = aQueue("emails");

export function aQueue(name: string): QueueName {
  const queue = parseQueueName(name);
  if (queue === undefined) throw new RangeError(`Expected a queue name, got ${JSON.stringify(name)}`);
  return queue;
}

/** A new task that says only what matters to a test. With a key, its payload's hash comes along. */
export function aTask(wish: Partial<NewTask> = {}, queue: QueueName = QUEUE): NewTask {
  const task = { id: newTaskId(queue), payload: "null", ...wish };
  return task.idempotencyKey === undefined ? task : { payloadHash: hashOf(task.payload), ...task };
}

/** `count` new tasks with the same wish; each payload names its place, from 0. */
export function tasks(count: number, wish: Partial<NewTask> = {}, queue: QueueName = QUEUE): NewTask[] {
  return Array.from({ length: count }, (_, place) => aTask({ payload: String(place), ...wish }, queue));
}

/** A payload of exactly `bytes` bytes of JSON: a string of letters. */
export function payloadOf(bytes: number): JsonText {
  return `"${"x".repeat(bytes - 2)}"`;
}

export function completed(task: ClaimedTask, result?: JsonText): Settlement {
  return { outcome: "complete", ...held(task), ...(result !== undefined && { result }) };
}

/** A failed attempt. The backoff's jitter is drawn in the middle unless the test says otherwise. */
export function nacked(
  task: ClaimedTask,
  wish: { readonly error?: string; readonly delayMs?: number; readonly random?: number } = {},
): Settlement {
  return { outcome: "nack", ...held(task), random: 0.5, ...wish };
}

export function refused(task: ClaimedTask, error?: string): Settlement {
  return { outcome: "refuse", ...held(task), ...(error !== undefined && { error }) };
}

export function released(task: ClaimedTask): Settlement {
  return { outcome: "release", ...held(task) };
}

/** Handed back on behalf of a claimer who never received it. */
export function undelivered(task: ClaimedTask): Settlement {
  return { outcome: "release", ...held(task), undelivered: true };
}

export function heartbeatOf(task: ClaimedTask, leaseMs?: number): Heartbeat {
  return { ...held(task), ...(leaseMs !== undefined && { leaseMs }) };
}

/** Every way to end a claim, for tests that hold for all of them. */
export const SETTLEMENTS: readonly ((task: ClaimedTask) => Settlement)[] = [
  (task) => completed(task, '"late"'),
  (task) => nacked(task, { error: "late", delayMs: 0 }),
  (task) => refused(task, "late"),
  released,
  undelivered,
];

/** The same task in the hands of someone whose token never was valid. */
export function withToken(task: ClaimedTask, token: string): ClaimedTask {
  return { ...task, lease: { ...task.lease, token: token as LeaseToken } };
}

function held(task: ClaimedTask): { readonly id: ClaimedTask["id"]; readonly token: LeaseToken } {
  return { id: task.id, token: task.lease.token };
}

function hashOf(payload: JsonText): string {
  return createHash("sha256").update(payload).digest("hex");
}
