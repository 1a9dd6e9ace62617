import type { BackoffPolicy } from "./backoff.ts";
import type { LeaseToken, QueueName, TaskId } from "./ids.ts";

/** Milliseconds since 1970-01-01T00:00:00Z, a whole number. */
export type EpochMs = number;
/** JSON as text. Payloads and results stay text inside: they are never parsed or written anew. */
export type JsonText = string;

export const TASK_STATES = ["scheduled", "ready", "leased", "completed", "dead", "cancelled"] as const;
/** A task is in exactly one of these (I1). */
export type TaskState = (typeof TASK_STATES)[number];
/** States that a task leaves only by requeue or prune. */
export type FinishedState = "completed" | "dead" | "cancelled";

export function isFinished(state: TaskState): state is FinishedState {
  return state === "completed" || state === "dead" || state === "cancelled";
}

/** One attempt that did not succeed; kept with the task, the last ten, oldest first. */
export interface Failure {
  /** The attempt that failed, from 1. */
  readonly attempt: number;
  readonly at: EpochMs;
  /** Label of the worker that held the lease, when it gave one. */
  readonly worker?: string;
  /** At most 1 kB of UTF-8, cut at a whole character. */
  readonly error: string;
}

/** `attempts`: the last attempt failed or expired. `refused`: the worker said that a retry is useless. */
export type DeadReason = "attempts" | "refused";

/** The right to work on a task until `expiresAt`, as a reader sees it. */
export interface Lease {
  readonly expiresAt: EpochMs;
  /** Length in milliseconds as claimed, so that a client can count the lease from its own clock. */
  readonly ms: number;
  /** Grows with each claim of the task (I2), also across restarts; made to be handed to other systems. */
  readonly fence: number;
  readonly claimedAt: EpochMs;
  readonly worker?: string;
}

/** A lease as its holder sees it: with the token that every later write must show. */
export interface HeldLease extends Lease {
  readonly token: LeaseToken;
}

/** What is true of a task in every state. Fields without a value are absent. */
export interface TaskCore {
  readonly id: TaskId;
  readonly queue: QueueName;
  /** 0 to 9, 9 is most urgent. */
  readonly priority: number;
  readonly payload: JsonText;
  /** How many times it was claimed; a release gives one back, at most 100 times. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly createdAt: EpochMs;
  /** Earliest moment of the next (or present) attempt. */
  readonly runAt: EpochMs;
  readonly idempotencyKey?: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** At most 10 kB; the error of the last nack that carried one, or of an expired lease. */
  readonly lastError?: string;
  /** The last ten, oldest first; empty when none. */
  readonly failures: readonly Failure[];
}

export type Task = TaskCore &
  (
    | { readonly state: "scheduled" }
    | { readonly state: "ready" }
    | { readonly state: "leased"; readonly lease: Lease }
    | { readonly state: "completed"; readonly finishedAt: EpochMs; readonly result?: JsonText }
    | { readonly state: "dead"; readonly finishedAt: EpochMs; readonly deadReason: DeadReason }
    | { readonly state: "cancelled"; readonly finishedAt: EpochMs }
  );

/** A task in the hands of the worker that just claimed it. */
export type ClaimedTask = TaskCore & { readonly state: "leased"; readonly lease: HeldLease };

/** What a producer asks for. What it leaves out comes from the queue's configuration. */
export interface NewTask {
  readonly id: TaskId;
  readonly payload: JsonText;
  /** Default 0. */
  readonly priority?: number;
  /** Earliest start. In the past, or absent: at once. `delayMs` counts from the engine's own clock. */
  readonly runAt?: EpochMs;
  readonly delayMs?: number;
  readonly maxAttempts?: number;
  readonly backoff?: Partial<BackoffPolicy>;
  readonly idempotencyKey?: string;
  /** SHA-256 (hex) of the payload's canonical JSON; present exactly when `idempotencyKey` is. */
  readonly payloadHash?: string;
  readonly tags?: Readonly<Record<string, string>>;
}

export function assertNever(value: never): never {
  throw new Error(`Unexpected value ${JSON.stringify(value)}`);
}
