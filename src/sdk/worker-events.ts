import type { AttemptAborted } from "./errors.ts";
import type { ClaimedTaskView } from "./task-view.ts";

/** A handler's result is stored. */
export interface CompletedEvent {
  readonly task: ClaimedTaskView;
  readonly result: unknown;
  /** From receiving the task to the end of its handler. */
  readonly ranMs: number;
}

/** An attempt failed, and the failure is stored. */
export interface FailedEvent {
  readonly task: ClaimedTaskView;
  readonly error: unknown;
  /** Where the task is now: to be tried again, or dead. */
  readonly state: "ready" | "scheduled" | "dead";
  /** When it is due again; present with `scheduled`. */
  readonly runAt?: number;
  readonly ranMs: number;
}

/** The task is no longer this worker's; whatever its handler makes of it will not be stored. */
export interface LeaseLostEvent {
  readonly task: ClaimedTaskView;
  /** Code `lease-lost` or `cancelled`. */
  readonly reason: AttemptAborted;
}

/** The event loop stood still for longer than a third of a lease: heartbeats were late. */
export interface BlockedEvent {
  /** The queue of the handler, or those of all that ran, when it cannot be told which of them it was. */
  readonly queues: readonly string[];
  readonly blockedMs: number;
  readonly message: string;
}

/** The server answers again. */
export interface ReconnectedEvent {
  readonly awayMs: number;
  readonly failures: number;
}

/** What a worker tells. An exception in a listener is reported as a warning and changes nothing. */
export interface WorkerEvents {
  completed: [CompletedEvent];
  failed: [FailedEvent];
  "lease-lost": [LeaseLostEvent];
  /** Nothing in hand, and the queues gave nothing. */
  idle: [];
  /** Something went wrong that the worker lives with. Without a listener it is a process warning. */
  error: [Error];
  /** Without a listener it is a process warning. */
  blocked: [BlockedEvent];
  reconnected: [ReconnectedEvent];
  closed: [];
}
