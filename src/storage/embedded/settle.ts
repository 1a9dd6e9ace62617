import type { EpochMs } from "../../task/task.ts";
import type {
  ClaimAsk,
  Heartbeat,
  HeartbeatOutcome,
  Settlement,
  SettleOutcome,
  SettleReply,
} from "../storage.ts";
import { planClaim } from "./claim.ts";
import type { Engine } from "./engine.ts";
import type { QueueState } from "./queue-state.ts";
import { Step } from "./step.ts";
import { FLAG, holds, type TaskStatus } from "./task-table.ts";
import {
  historyOf,
  release,
  retryDelay,
  toFinished,
  toReadyTail,
  toScheduled,
  withFailure,
} from "./transitions.ts";

/** Ends claims, then serves `asks`, which see what the settlements made ready. */
export function settle(
  engine: Engine,
  queue: QueueState,
  settlements: readonly Settlement[],
  asks: readonly ClaimAsk[],
): SettleReply {
  const step = new Step(engine, queue);
  const outcomes = settlements.map((settlement) => settleOne(engine, queue, settlement, step));
  const claim = planClaim(engine, queue, asks, step);
  step.commit(true);
  return { outcomes, claim };
}

function settleOne(engine: Engine, queue: QueueState, settlement: Settlement, step: Step): SettleOutcome {
  const slot = engine.find(queue, settlement.id);
  if (slot === -1) return { kind: "not-found" };
  const now = engine.clock.now();
  const status = step.statusOf(slot);
  const { state } = status;
  if (!isHeld(status, settlement.token, now)) {
    const repeated =
      settlement.outcome === "complete" && state === "completed" && holds(status, settlement.token);
    return repeated ? { kind: "completed", ranMs: 0, repeated } : { kind: "lease-lost", state };
  }
  const ranMs = now - status.claimedAt;
  switch (settlement.outcome) {
    case "complete":
      complete(engine, queue, slot, status, settlement.result, step, now);
      return { kind: "completed", ranMs, repeated: false };
    case "release": {
      const kind = release(engine, queue, step, slot, status, settlement.undelivered === true);
      return kind === "dead" ? { kind, ranMs, reason: "attempts" } : { kind, ranMs };
    }
    default:
      return fail(engine, queue, slot, status, settlement, step, now);
  }
}

/** I3: only the holder of the current, unexpired token moves a leased task. */
function isHeld(status: TaskStatus, token: Settlement["token"], now: EpochMs): boolean {
  return status.state === "leased" && status.time > now && holds(status, token);
}

function complete(
  engine: Engine,
  queue: QueueState,
  slot: number,
  status: TaskStatus,
  result: string | undefined,
  step: Step,
  now: EpochMs,
): void {
  const history = (status.flags & FLAG.history) === 0 ? {} : historyOf(engine.history(slot));
  status.flags = (status.flags & FLAG.history) | (result === undefined ? 0 : FLAG.result);
  const details = result === undefined ? history : { ...history, result };
  toFinished(queue, step, slot, status, "completed", now, details);
}

function fail(
  engine: Engine,
  queue: QueueState,
  slot: number,
  status: TaskStatus,
  settlement: Settlement & { readonly outcome: "nack" | "refuse" },
  step: Step,
  now: EpochMs,
): SettleOutcome {
  const ranMs = now - status.claimedAt;
  const details = withFailure(status, engine.history(slot), now, settlement.error);
  status.flags = FLAG.history;
  if (settlement.outcome === "refuse") {
    status.flags |= FLAG.refused;
    toFinished(queue, step, slot, status, "dead", now, details);
    return { kind: "dead", ranMs, reason: "refused" };
  }
  if (status.attempt >= engine.table.maxAttempts.get(slot)) {
    toFinished(queue, step, slot, status, "dead", now, details);
    return { kind: "dead", ranMs, reason: "attempts" };
  }
  const delayMs = settlement.delayMs ?? retryDelay(engine, queue, slot, status, settlement.random);
  if (delayMs === 0) {
    toReadyTail(queue, step, slot, status, now, details);
    return { kind: "ready", ranMs };
  }
  toScheduled(queue, step, slot, status, now + delayMs, details);
  return { kind: "scheduled", ranMs, runAt: now + delayMs };
}

/** Moves the end of held leases. */
export function heartbeat(
  engine: Engine,
  queue: QueueState,
  beats: readonly Heartbeat[],
): HeartbeatOutcome[] {
  const step = new Step(engine, queue);
  const outcomes = beats.map((beat) => extend(engine, queue, beat, step));
  step.commit(true);
  return outcomes;
}

function extend(engine: Engine, queue: QueueState, beat: Heartbeat, step: Step): HeartbeatOutcome {
  const slot = engine.find(queue, beat.id);
  if (slot === -1) return { kind: "not-found" };
  const now = engine.clock.now();
  const status = step.statusOf(slot);
  if (!isHeld(status, beat.token, now)) return { kind: "lease-lost", state: status.state };
  // lease.ms stays as claimed: another leaseMs holds for this extension only.
  status.time = now + (beat.leaseMs ?? status.leaseMs);
  step.move(slot, status, engine.history(slot));
  return { kind: "extended", expiresAt: status.time };
}
