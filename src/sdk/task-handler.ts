import type { TaskDefinition } from "./definition.ts";
import type { ClaimedTaskView } from "./task-view.ts";

/** What a handler gets with each task. */
export interface TaskContext<Payload = unknown> {
  readonly task: ClaimedTaskView<Payload>;
  /**
   * Aborts when the attempt should stop; `signal.reason` is an `AttemptAborted` whose `code` is `lease-lost`,
   * `cancelled`, `timeout` or `shutdown`.
   */
  readonly signal: AbortSignal;
  /** Grows with each claim of the task; hand it to other systems so that they refuse a stale worker. */
  readonly fence: number;
  /** From 1. */
  readonly attempt: number;
  /**
   * Extends the lease now, to now + `leaseMs` (default: as claimed), and gives its new end. The worker does
   * so by itself; call it before work that blocks the event loop for longer than the lease.
   */
  heartbeat(leaseMs?: number): Promise<number>;
}

/**
 * Does the work of one task. What it returns is the task's result (any JSON). What it throws is the error
 * of the attempt; `Refuse` and `RetryLater` say more.
 */
export type Handler<Payload = unknown, Result = unknown> = (
  context: TaskContext<Payload>,
) => Result | Promise<Result>;

/** A definition with its handler; a URL is a module whose default export is the handler. */
export interface TaskHandler {
  readonly definition: TaskDefinition;
  readonly handle: Handler | URL;
}
