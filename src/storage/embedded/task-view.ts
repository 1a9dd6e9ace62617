import type { QueueName } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { ClaimedTask, Failure, Lease, Task, TaskCore } from "../../task/task.ts";
import { cutToBytes } from "../../task/text.ts";
import type { UnreadableRecordError } from "./read-record.ts";
import type { Details, TaskConstants } from "./records.ts";
import { FLAG, leaseToken, type TaskStatus } from "./task-table.ts";

const NO_FAILURES: readonly Failure[] = Object.freeze([]);

/** A task as its producer sees it at first. */
export function newTask(queue: QueueName, constants: TaskConstants, status: TaskStatus): Task {
  const task = taskCore(queue, constants, status, {}) as { -readonly [K in keyof Task]: Task[K] };
  task.state = status.state as "scheduled" | "ready";
  return task as Task;
}

/** A task in the hands of the worker that claims it. */
export function claimedTask(
  queue: QueueName,
  constants: TaskConstants,
  status: TaskStatus,
  details: Details,
): ClaimedTask {
  const task = taskCore(queue, constants, status, details) as {
    -readonly [K in keyof ClaimedTask]: ClaimedTask[K];
  };
  task.state = "leased";
  task.lease = {
    token: leaseToken(status.fence, status.nonce),
    expiresAt: status.time,
    ms: status.leaseMs,
    fence: status.fence,
    claimedAt: status.claimedAt,
    ...(details.worker === undefined ? undefined : { worker: details.worker }),
  };
  return task;
}

/** What every state of a task shows. */
export function taskCore(
  queue: QueueName,
  constants: TaskConstants,
  status: TaskStatus,
  details: Details,
): TaskCore {
  const core: { -readonly [K in keyof TaskCore]: TaskCore[K] } = {
    id: constants.id,
    queue,
    priority: constants.priority,
    payload: constants.payload,
    attempt: status.attempt,
    maxAttempts: constants.maxAttempts,
    createdAt: constants.createdAt,
    runAt: status.runAt,
    failures: details.failures ?? NO_FAILURES,
  };
  if (constants.idempotencyKey !== undefined) core.idempotencyKey = constants.idempotencyKey;
  if (constants.tags !== undefined) core.tags = constants.tags;
  if (details.lastError !== undefined) core.lastError = details.lastError;
  return core;
}

export function leaseOf(status: TaskStatus, details: Details): Lease {
  return {
    expiresAt: status.time,
    ms: status.leaseMs,
    fence: status.fence,
    claimedAt: status.claimedAt,
    ...(details.worker === undefined ? undefined : { worker: details.worker }),
  };
}

/** In the place of details that the disk does not give back: what is known without them, and why there is no more. */
export function lostHistory(status: TaskStatus, { message }: UnreadableRecordError): Details {
  const { flags, attempt, claimedAt: at } = status;
  const error = cutToBytes(
    `What was known of earlier failures is lost: ${message}`,
    LIMITS.failureErrorBytesMax,
  );
  return {
    ...((flags & FLAG.worker) !== 0 && { worker: "unknown" }),
    ...((flags & FLAG.history) !== 0 && { failures: [{ attempt, at, error }], lastError: error }),
  };
}
