import type { TaskId } from "../../task/ids.ts";
import { isFinished } from "../../task/task.ts";
import type { ForceReleaseOutcome, MoveOutcome, RequeueDeadReply } from "../storage.ts";
import type { Engine } from "./engine.ts";
import type { QueueState } from "./queue-state.ts";
import { Step } from "./step.ts";
import { FLAG } from "./task-table.ts";
import { historyOf, release, toFinished, toReadyTail } from "./transitions.ts";

/** What an operator does to tasks by id. One step for each task: such calls are rare, and one id may come twice. */

export function cancel(engine: Engine, queue: QueueState, ids: readonly TaskId[]): MoveOutcome[] {
  return ids.map((id) => {
    const slot = engine.find(queue, id);
    if (slot === -1) return { kind: "not-found" };
    const state = engine.table.stateOf(slot);
    if (isFinished(state)) return { kind: "wrong-state", state };
    const step = new Step(engine, queue);
    const status = engine.table.status(slot);
    status.flags &= FLAG.history;
    toFinished(queue, step, slot, status, "cancelled", engine.clock.now(), historyOf(engine.details(slot)));
    step.commit(true);
    return { kind: "moved", task: engine.view(slot) };
  });
}

export function requeue(engine: Engine, queue: QueueState, ids: readonly TaskId[]): MoveOutcome[] {
  return ids.map((id) => {
    const slot = engine.find(queue, id);
    if (slot === -1) return { kind: "not-found" };
    const state = engine.table.stateOf(slot);
    if (state !== "dead" && state !== "cancelled" && state !== "scheduled")
      return { kind: "wrong-state", state };
    const step = new Step(engine, queue);
    planRequeue(engine, queue, slot, step);
    step.commit(true);
    return { kind: "moved", task: engine.view(slot) };
  });
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
  const now = engine.clock.now();
  toReadyTail(
    queue,
    step,
    slot,
    status,
    engine.table.priority.get(slot),
    now,
    historyOf(engine.details(slot)),
  );
}

/** Releases leased tasks without a token; the holder gets `lease_lost` at its next call. */
export function forceRelease(
  engine: Engine,
  queue: QueueState,
  ids: readonly TaskId[],
): ForceReleaseOutcome[] {
  const outcomes: ForceReleaseOutcome[] = [];
  let step = new Step(engine, queue);
  const seen = new Set<TaskId>();
  for (const id of ids) {
    if (seen.has(id)) {
      step.commit(true);
      step = new Step(engine, queue);
    }
    seen.add(id);
    const slot = engine.find(queue, id);
    const state = slot === -1 ? undefined : engine.table.stateOf(slot);
    if (state === undefined) outcomes.push({ kind: "not-found" });
    else if (state !== "leased") outcomes.push({ kind: "wrong-state", state });
    else outcomes.push({ kind: release(engine, queue, step, slot, false) });
  }
  step.commit(true);
  return outcomes;
}
