import { type BackoffPolicy, backoffMs } from "../../task/backoff.ts";
import { LIMITS } from "../../task/limits.ts";
import type { EpochMs, Failure } from "../../task/task.ts";
import { cutToBytes } from "../../task/text.ts";
import type { Engine } from "./engine.ts";
import type { QueueState } from "./queue-state.ts";
import { UnreadableRecordError } from "./read-record.ts";
import type { Details } from "./records.ts";
import type { Step } from "./step.ts";
import { FLAG, type TaskStatus } from "./task-table.ts";

/** The moves of a task out of a lease and back to ready, shared by the verbs that make them. */

export const LEASE_EXPIRED = "lease expired";

/** Ends the attempt as failed: the failure joins the last ten, and `lastError` changes when there is an error. */
export function withFailure(
  status: TaskStatus,
  details: Details,
  now: EpochMs,
  error: string | undefined,
): Details {
  const failure: Failure = {
    attempt: status.attempt,
    at: now,
    ...(details.worker === undefined ? undefined : { worker: details.worker }),
    error: cutToBytes(error ?? "", LIMITS.failureErrorBytesMax),
  };
  const lastError = error === undefined ? details.lastError : cutToBytes(error, LIMITS.errorBytesMax);
  return {
    failures: [...(details.failures ?? []), failure].slice(-LIMITS.failuresMax),
    ...(lastError === undefined ? undefined : { lastError }),
  };
}

/** Details without what belongs to a lease or a result. */
export function historyOf(details: Details): Details {
  const { failures, lastError } = details;
  return {
    ...(failures === undefined ? undefined : { failures }),
    ...(lastError === undefined ? undefined : { lastError }),
  };
}

/** The wait after the failed attempt of a slot; by the queue's backoff when the disk does not give the task's back. */
export function retryDelay(
  engine: Engine,
  queue: QueueState,
  slot: number,
  status: TaskStatus,
  random: number,
): number {
  return backoffMs(status.attempt, backoffOf(engine, slot) ?? queue.config.backoff, random);
}

function backoffOf(engine: Engine, slot: number): BackoffPolicy | undefined {
  try {
    return engine.constants(slot).backoff;
  } catch (error) {
    if (error instanceof UnreadableRecordError) return undefined;
    throw error;
  }
}

export function toReadyTail(
  queue: QueueState,
  step: Step,
  slot: number,
  status: TaskStatus,
  now: EpochMs,
  details: Details,
): void {
  status.state = "ready";
  status.runAt = now;
  status.time = 0;
  status.order = queue.placeAtTail(queue.priorityOf(slot));
  step.move(slot, status, details);
}

export function toScheduled(
  queue: QueueState,
  step: Step,
  slot: number,
  status: TaskStatus,
  runAt: EpochMs,
  details: Details,
): void {
  status.state = "scheduled";
  status.runAt = runAt;
  status.time = 0;
  status.order = queue.nextTie();
  step.move(slot, status, details);
}

export function toFinished(
  queue: QueueState,
  step: Step,
  slot: number,
  status: TaskStatus,
  state: "completed" | "dead" | "cancelled",
  now: EpochMs,
  details: Details,
): void {
  status.state = state;
  status.time = now;
  status.order = queue.nextFinish();
  step.move(slot, status, details);
}

/**
 * Hands a leased task back: the attempt is given back, at most a hundred times a task (I5); after that it
 * counts, and the last one ends the task. Returns where the task goes.
 */
export function release(
  engine: Engine,
  queue: QueueState,
  step: Step,
  slot: number,
  status: TaskStatus,
  undelivered: boolean,
): "ready" | "dead" {
  const details = historyOf(engine.history(slot));
  const now = engine.clock.now();
  status.flags &= FLAG.history;
  if (undelivered) status.attempt -= 1;
  else if (status.releases < LIMITS.releasesMax) {
    status.attempt -= 1;
    status.releases += 1;
  } else if (status.attempt >= engine.table.maxAttempts.get(slot)) {
    toFinished(queue, step, slot, status, "dead", now, details);
    return "dead";
  }
  status.state = "ready";
  status.time = 0;
  step.moveToHead(slot, status, details);
  return "ready";
}
