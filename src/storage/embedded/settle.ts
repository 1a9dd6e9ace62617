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
import type { Step } from "./step.ts";
import { Steps } from "./steps.ts";
import { FLAG } from "./task-table.ts";
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
  const steps = new Steps(engine, queue);
  const outcomes = settlements.map((settlement) =>
    settleOne(engine, queue, settlement, steps.for(settlement.id)),
  );
  const claim = planClaim(engine, queue, asks, steps.last);
  steps.last.commit(true);
  return { outcomes, claim };
}

function settleOne(engine: Engine, queue: QueueState, settlement: Settlement, step: Step): SettleOutcome {
  const slot = engine.find(queue, settlement.id);
  if (slot === -1) return { kind: "not-found" };
  const now = engine.clock.now();
  const state = engine.table.stateOf(slot);
  if (!isHeld(engine, slot, settlement.token, now)) {
    const repeated =
      settlement.outcome === "complete" &&
      state === "completed" &&
      engine.table.holds(slot, settlement.token);
    return repeated ? { kind: "completed", ranMs: 0, repeated } : { kind: "lease-lost", state };
  }
  const ranMs = now - engine.table.claimedAt.get(slot);
  switch (settlement.outcome) {
    case "complete":
      complete(engine, queue, slot, settlement.result, step, now);
      return { kind: "completed", ranMs, repeated: false };
    case "release": {
      const kind = release(engine, queue, step, slot, settlement.undelivered === true);
      return kind === "dead" ? { kind, ranMs, reason: "attempts" } : { kind, ranMs };
    }
    default:
      return fail(engine, queue, slot, settlement, step, now, ranMs);
  }
}

/** I3: only the holder of the current, unexpired token moves a leased task. */
function isHeld(engine: Engine, slot: number, token: Settlement["token"], now: EpochMs): boolean {
  const { table } = engine;
  return table.stateOf(slot) === "leased" && table.time.get(slot) > now && table.holds(slot, token);
}

function complete(
  engine: Engine,
  queue: QueueState,
  slot: number,
  result: string | undefined,
  step: Step,
  now: EpochMs,
): void {
  const status = engine.table.status(slot);
  const history = (status.flags & FLAG.history) === 0 ? {} : historyOf(engine.details(slot));
  status.flags = (status.flags & FLAG.history) | (result === undefined ? 0 : FLAG.result);
  const details = result === undefined ? history : { ...history, result };
  toFinished(queue, step, slot, status, "completed", now, details);
}

function fail(
  engine: Engine,
  queue: QueueState,
  slot: number,
  settlement: Settlement & { readonly outcome: "nack" | "refuse" },
  step: Step,
  now: EpochMs,
  ranMs: number,
): SettleOutcome {
  const status = engine.table.status(slot);
  const details = withFailure(status, engine.details(slot), now, settlement.error);
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
  const delayMs = settlement.delayMs ?? retryDelay(engine, slot, status, settlement.random);
  if (delayMs === 0) {
    toReadyTail(queue, step, slot, status, engine.table.priority.get(slot), now, details);
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
  const steps = new Steps(engine, queue);
  const outcomes = beats.map((beat) => extend(engine, queue, beat, steps.for(beat.id)));
  steps.last.commit(true);
  return outcomes;
}

function extend(engine: Engine, queue: QueueState, beat: Heartbeat, step: Step): HeartbeatOutcome {
  const slot = engine.find(queue, beat.id);
  if (slot === -1) return { kind: "not-found" };
  const now = engine.clock.now();
  if (!isHeld(engine, slot, beat.token, now)) {
    return { kind: "lease-lost", state: engine.table.stateOf(slot) };
  }
  const status = engine.table.status(slot);
  // lease.ms stays as claimed: another leaseMs holds for this extension only.
  status.time = now + (beat.leaseMs ?? status.leaseMs);
  step.move(slot, status, engine.details(slot));
  return { kind: "extended", expiresAt: status.time };
}
