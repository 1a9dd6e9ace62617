import type { TaskId } from "../../task/ids.ts";
import type { QueueSnapshot } from "../../task/queue.ts";
import { isFinished, type TaskState } from "../../task/task.ts";
import type { ForceReleaseOutcome, MoveOutcome, QueueChange, RequeueDeadReply } from "../storage.ts";
import type { Engine } from "./engine.ts";
import type { QueueState } from "./queue-state.ts";
import { Step } from "./step.ts";
import { FLAG } from "./task-table.ts";
import { historyOf, release, toFinished, toReadyTail } from "./transitions.ts";

/** What an operator does to tasks by id, and to their queue. */

export function configure(engine: Engine, queue: QueueState, change: QueueChange): QueueSnapshot {
  const step = new Step(engine, queue);
  step.configure(change);
  step.commit(true);
  return queue.snapshot();
}

export function cancel(engine: Engine, queue: QueueState, ids: readonly TaskId[]): MoveOutcome[] {
  return move(engine, queue, ids, (state) => !isFinished(state), planCancel);
}

export function requeue(engine: Engine, queue: QueueState, ids: readonly TaskId[]): MoveOutcome[] {
  const movable: ReadonlySet<TaskState> = new Set(["dead", "cancelled", "scheduled"]);
  return move(engine, queue, ids, (state) => movable.has(state), planRequeue);
}

type Plan = (engine: Engine, queue: QueueState, slot: number, step: Step) => void;

function move(
  engine: Engine,
  queue: QueueState,
  ids: readonly TaskId[],
  isMovable: (state: TaskState) => boolean,
  plan: Plan,
): MoveOutcome[] {
  const step = new Step(engine, queue);
  const moved = ids.map((id): MoveOutcome | number => {
    const slot = engine.find(queue, id);
    if (slot === -1) return { kind: "not-found" };
    const { state } = step.statusOf(slot);
    if (!isMovable(state)) return { kind: "wrong-state", state };
    // Read first: the answer shows the task, and one that cannot be shown must not be moved.
    engine.constants(slot);
    plan(engine, queue, slot, step);
    return slot;
  });
  step.commit(true);
  return moved.map((outcome) =>
    typeof outcome === "number" ? { kind: "moved", task: engine.view(outcome) } : outcome,
  );
}

function planCancel(engine: Engine, queue: QueueState, slot: number, step: Step): void {
  const status = engine.table.status(slot);
  status.flags &= FLAG.history;
  toFinished(queue, step, slot, status, "cancelled", engine.clock.now(), historyOf(engine.history(slot)));
}

/** Requeues dead tasks, oldest first. */
export function requeueDead(engine: Engine, queue: QueueState, limit: number): RequeueDeadReply {
  const slots: number[] = [];
  queue.finished.dead.head(limit, slots);
  const step = new Step(engine, queue);
  for (const slot of slots) planRequeue(engine, queue, slot, step);
  step.commit(true);
  return { requeued: slots.length, more: queue.count("dead") > 0 };
}

function planRequeue(engine: Engine, queue: QueueState, slot: number, step: Step): void {
  const status = engine.table.status(slot);
  status.attempt = 0;
  status.releases = 0;
  status.flags &= FLAG.history;
  toReadyTail(queue, step, slot, status, engine.clock.now(), historyOf(engine.history(slot)));
}

/** Releases leased tasks without a token; the holder gets `lease_lost` at its next call. */
export function forceRelease(
  engine: Engine,
  queue: QueueState,
  ids: readonly TaskId[],
): ForceReleaseOutcome[] {
  const step = new Step(engine, queue);
  const outcomes = ids.map((id): ForceReleaseOutcome => {
    const slot = engine.find(queue, id);
    if (slot === -1) return { kind: "not-found" };
    const status = step.statusOf(slot);
    if (status.state !== "leased") return { kind: "wrong-state", state: status.state };
    return { kind: release(engine, queue, step, slot, status, false) };
  });
  step.commit(true);
  return outcomes;
}
