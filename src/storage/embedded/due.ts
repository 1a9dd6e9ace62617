import type { DueQueue, PromoteReply, ReapReply } from "../storage.ts";
import type { Engine } from "./engine.ts";
import type { QueueState } from "./queue-state.ts";
import { Step } from "./step.ts";
import { FLAG } from "./task-table.ts";
import { LEASE_EXPIRED, toFinished, toReadyTail, withFailure } from "./transitions.ts";

/** Moves scheduled tasks whose time has come to ready, earliest first (I4). */
export function promoteDue(engine: Engine, queue: QueueState, limit: number): PromoteReply {
  const now = engine.clock.now();
  const slots: number[] = [];
  queue.scheduled.headUpTo(now, limit, slots);
  const step = new Step(engine, queue);
  const latenessMs: number[] = [];
  for (const slot of slots) {
    const status = engine.table.status(slot);
    latenessMs.push(now - status.runAt);
    const { runAt } = status;
    toReadyTail(queue, step, slot, status, now, engine.history(slot));
    // It became ready now, but it has waited since its time: the wait is measured from there.
    status.runAt = runAt;
  }
  step.commit(true);
  return { latenessMs, more: (queue.scheduled.firstKey() ?? Infinity) <= now };
}

/** Takes expired leases back: to ready, or to dead after the last attempt (I5). */
export function reapExpired(engine: Engine, queue: QueueState, limit: number): ReapReply {
  const now = engine.clock.now();
  const slots: number[] = [];
  queue.leased.headUpTo(now, limit, slots);
  const step = new Step(engine, queue);
  const reaped: { id: ReturnType<Engine["idOf"]>; state: "ready" | "dead" }[] = [];
  for (const slot of slots) {
    const status = engine.table.status(slot);
    const details = withFailure(status, engine.history(slot), now, LEASE_EXPIRED);
    status.flags = FLAG.history;
    const state = status.attempt >= engine.table.maxAttempts.get(slot) ? "dead" : "ready";
    if (state === "dead") toFinished(queue, step, slot, status, "dead", now, details);
    else toReadyTail(queue, step, slot, status, now, details);
    reaped.push({ id: engine.idOf(slot), state });
  }
  step.commit(true);
  return { reaped, more: (queue.leased.firstKey() ?? Infinity) <= now };
}

/** Up to `limit` queues by the time at which their next scheduled task or lease comes due, soonest first. */
export function nextDue(engine: Engine, limit: number): DueQueue[] {
  const due: DueQueue[] = [];
  for (const queue of engine.queues) {
    const at = queue.dueAt();
    if (at !== undefined) due.push({ queue: queue.name, at });
  }
  return due.sort((a, b) => a.at - b.at).slice(0, limit);
}
