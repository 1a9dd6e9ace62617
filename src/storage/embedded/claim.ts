import { LIMITS } from "../../task/limits.ts";
import type { ClaimedTask, EpochMs } from "../../task/task.ts";
import type { ClaimAsk, ClaimReply } from "../storage.ts";
import { claimedTask, type Engine } from "./engine.ts";
import type { QueueState } from "./queue-state.ts";
import type { Step } from "./step.ts";
import { FLAG, newNonce, type TaskStatus } from "./task-table.ts";

const NOTHING: ClaimReply = Object.freeze({ grants: Object.freeze([]), more: false });

/**
 * Plans leases for `asks` into a step: highest priority first, first in first out within it (I6), the attempt
 * counted (I5), a fence that grows (I2). Looks at the ready tasks as they are before the step.
 */
export function planClaim(
  engine: Engine,
  queue: QueueState,
  asks: readonly ClaimAsk[],
  step: Step,
): ClaimReply {
  if (asks.length === 0) return queue.paused ? NOTHING : { grants: [], more: queue.count("ready") > 0 };
  let wanted = 0;
  for (const ask of asks) wanted += ask.max;
  const slots: number[] = [];
  if (!queue.paused) queue.headOfReady(wanted, slots);
  const now = engine.clock.now();
  const grants: ClaimedTask[][] = [];
  let next = 0;
  for (const ask of asks) {
    const grant: ClaimedTask[] = [];
    let bytes = 0;
    const bytesMax = ask.bytesMax ?? LIMITS.bodyBytesMax;
    while (grant.length < ask.max && next < slots.length) {
      const slot = slots[next] as number;
      bytes += engine.table.payloadBytes.get(slot);
      if (bytes > bytesMax && grant.length > 0) break;
      grant.push(planLease(engine, queue, slot, ask, now, step));
      next += 1;
    }
    grants.push(grant);
  }
  return { grants, more: !queue.paused && queue.count("ready") > next };
}

function planLease(
  engine: Engine,
  queue: QueueState,
  slot: number,
  ask: ClaimAsk,
  now: EpochMs,
  step: Step,
): ClaimedTask {
  // Read first: a record that cannot be read must fail the claim before anything is written.
  const constants = engine.constants(slot);
  const before = engine.details(slot);
  const details = ask.worker === undefined ? before : { ...before, worker: ask.worker };
  const leaseMs = ask.leaseMs ?? queue.config.leaseMs;
  const { table } = engine;
  const status: TaskStatus = {
    state: "leased",
    attempt: table.attempt.get(slot) + 1,
    releases: table.releases.get(slot),
    fence: engine.fences.next(),
    nonce: newNonce(),
    leaseMs,
    claimedAt: now,
    runAt: table.runAt.get(slot),
    order: 0,
    time: now + leaseMs,
    resultBytes: 0,
    flags: (table.flags.get(slot) & FLAG.history) | (ask.worker === undefined ? 0 : FLAG.worker),
  };
  step.move(slot, status, details);
  return claimedTask(queue.name, constants, status, details);
}
