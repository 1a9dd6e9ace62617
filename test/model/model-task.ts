import type { BackoffPolicy } from "../../src/task/backoff.ts";
import type { Failure, Lease, NewTask, Task, TaskCore, TaskState } from "../../src/task/task.ts";

export type Unsettled = "scheduled" | "ready" | "leased";

/** A task of the model: everything that is ever true of one, in one flat object. */
export interface ModelTask extends Omit<NewTask, "backoff"> {
  queue: Task["queue"];
  state: TaskState;
  priority: number;
  attempt: number;
  /** Releases that were given back, since the enqueue or the last requeue. */
  releases: number;
  maxAttempts: number;
  backoff: BackoffPolicy;
  createdAt: number;
  runAt: number;
  failures: readonly Failure[];
  lastError: string | undefined;
  lease: Lease | undefined;
  /** Token and fence of the last claim. */
  token: string | undefined;
  fence: number;
  finishedAt: number;
  /** Tells apart what finished at one `finishedAt`, where the engine's clock is finer than the model's. */
  finishedTurn: number;
  deadReason: "attempts" | "refused" | undefined;
  result: string | undefined;
}

/** The task as a reader of the port sees it. */
export function viewOf(task: ModelTask): Task {
  const core: TaskCore = {
    id: task.id,
    queue: task.queue,
    priority: task.priority,
    payload: task.payload,
    attempt: task.attempt,
    maxAttempts: task.maxAttempts,
    createdAt: task.createdAt,
    runAt: task.runAt,
    failures: task.failures,
    ...(task.idempotencyKey !== undefined && { idempotencyKey: task.idempotencyKey }),
    ...(task.tags !== undefined && { tags: task.tags }),
    ...(task.lastError !== undefined && { lastError: task.lastError }),
  };
  const { state, finishedAt, result } = task;
  switch (state) {
    case "leased":
      return { ...core, state, lease: task.lease as Lease };
    case "completed":
      return { ...core, state, finishedAt, ...(result !== undefined && { result }) };
    case "dead":
      return { ...core, state, finishedAt, deadReason: task.deadReason ?? "attempts" };
    case "cancelled":
      return { ...core, state, finishedAt };
    default:
      return { ...core, state };
  }
}
