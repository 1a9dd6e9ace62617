import { LIMITS } from "../../task/limits.ts";
import { newNonce } from "../../task/nonce.ts";
import type { ClaimedTask, EpochMs } from "../../task/task.ts";
import type { ClaimAsk, ClaimReply } from "../storage.ts";
import type { Engine } from "./engine.ts";
import { PRIORITIES, type QueueState } from "./queue-state.ts";
import { UnreadableRecordError } from "./read-record.ts";
import { Step, type Transition } from "./step.ts";
import { FLAG, type TaskStatus } from "./task-table.ts";
import { claimedTask } from "./task-view.ts";

/** A ready task that may be claimed: as it is in memory, or as the step has just planned it. */
interface Candidate {
  readonly slot: number;
  readonly planned: Transition | undefined;
}

/** Leases ready tasks to those who ask. */
export function claim(engine: Engine, queue: QueueState, asks: readonly ClaimAsk[]): ClaimReply {
  const step = new Step(engine, queue);
  const reply = planClaim(engine, queue, asks, step);
  step.commit(true);
  refuseUnlessReadable(engine, reply);
  return reply;
}

/** A claim that finds nothing because nothing can be read must not look like one in an empty queue. */
function refuseUnlessReadable({ unreadable }: Engine, { grants }: ClaimReply): void {
  if (unreadable.isFull && grants.every((grant) => grant.length === 0)) throw unreadable.error;
}

/**
 * Plans leases for `asks` into a step: highest priority first, first in first out within it (I6), the attempt
 * counted (I5), a fence that grows (I2). Sees the ready tasks as the step leaves them. Passes over those that the disk
 * does not give back; the caller asks again for what is missing then, as `more` says.
 */
export function planClaim(
  engine: Engine,
  queue: QueueState,
  asks: readonly ClaimAsk[],
  step: Step,
): ClaimReply {
  if (queue.paused) return { grants: asks.map(() => []), more: false };
  const ready = queue.count("ready") + step.readied.length;
  let wanted = 0;
  for (const ask of asks) wanted += ask.max;
  const now = engine.clock.now();
  const passedOver = engine.unreadable.isEmpty ? NONE : engine.unreadable.of(queue, engine.table, now);
  const candidates = candidatesOf(queue, step, wanted, passedOver);
  const grants: ClaimedTask[][] = [];
  let next = 0;
  let bytesOfAll = 0;
  for (const ask of asks) {
    const grant: ClaimedTask[] = [];
    let bytes = 0;
    const bytesMax = ask.bytesMax ?? LIMITS.bodyBytesMax;
    while (grant.length < ask.max && next < candidates.length) {
      const candidate = candidates[next] as Candidate;
      const size = engine.table.payloadBytes.get(candidate.slot);
      if (grant.length > 0 && bytes + size > bytesMax) break;
      if (next > 0 && bytesOfAll + size > LIMITS.bodyBytesMax) break;
      next += 1;
      const task = planReadable(engine, queue, candidate, ask, now, step);
      if (task === undefined) continue;
      bytes += size;
      bytesOfAll += size;
      grant.push(task);
    }
    grants.push(grant);
  }
  return { grants, more: ready > next + passedOver.size && !engine.unreadable.isFull };
}

const NONE: ReadonlySet<number> = new Set();

/** Undefined for a task whose record the disk does not give back: nothing of it is planned. */
function planReadable(
  engine: Engine,
  queue: QueueState,
  candidate: Candidate,
  ask: ClaimAsk,
  now: EpochMs,
  step: Step,
): ClaimedTask | undefined {
  const { unreadable } = engine;
  try {
    const task = planLease(engine, queue, candidate, ask, now, step);
    if (!unreadable.isEmpty) unreadable.forget(candidate.slot);
    return task;
  } catch (error) {
    if (!(error instanceof UnreadableRecordError)) throw error;
    const isNew = unreadable.add(candidate.slot, error, now);
    if (isNew) engine.options.onUnreadable(engine.idOf(candidate.slot), error);
    return undefined;
  }
}

/** Up to `wanted` ready tasks in claim order: within a priority the released ones, those in memory, the new ones. */
function candidatesOf(
  queue: QueueState,
  step: Step,
  wanted: number,
  passedOver: ReadonlySet<number>,
): Candidate[] {
  const candidates: Candidate[] = [];
  const slots: number[] = [];
  if (passedOver.size > 0) {
    const all = candidatesOf(queue, step, wanted + passedOver.size, NONE);
    return all.filter(({ slot, planned }) => planned !== undefined || !passedOver.has(slot)).slice(0, wanted);
  }
  if (step.readied.length === 0) {
    queue.headOfReady(wanted, slots);
    for (const slot of slots) candidates.push({ slot, planned: undefined });
    return candidates;
  }
  for (let priority = PRIORITIES - 1; priority >= 0 && candidates.length < wanted; priority -= 1) {
    const planned = step.readied.filter(({ slot }) => queue.priorityOf(slot) === priority);
    for (const move of planned) if (move.toHead) candidates.push({ slot: move.slot, planned: move });
    slots.length = 0;
    queue.ready(priority).head(Math.max(0, wanted - candidates.length), slots);
    for (const slot of slots) candidates.push({ slot, planned: undefined });
    for (const move of planned) if (!move.toHead) candidates.push({ slot: move.slot, planned: move });
  }
  return candidates;
}

function planLease(
  engine: Engine,
  queue: QueueState,
  { slot, planned }: Candidate,
  ask: ClaimAsk,
  now: EpochMs,
  step: Step,
): ClaimedTask {
  // Read first: a record that cannot be read must fail the claim before anything is written.
  const constants = engine.constants(slot);
  const before = planned === undefined ? engine.details(slot) : (planned.details ?? {});
  const details = ask.worker === undefined ? before : { ...before, worker: ask.worker };
  const leaseMs = ask.leaseMs ?? queue.config.leaseMs;
  const ready = planned?.status ?? engine.table.status(slot);
  const status: TaskStatus = {
    state: "leased",
    attempt: ready.attempt + 1,
    releases: ready.releases,
    fence: engine.fences.next(),
    nonce: newNonce(),
    leaseMs,
    claimedAt: now,
    runAt: ready.runAt,
    order: 0,
    time: now + leaseMs,
    resultBytes: 0,
    flags: (ready.flags & FLAG.history) | (ask.worker === undefined ? 0 : FLAG.worker),
  };
  step.move(slot, status, details);
  return claimedTask(queue.name, constants, status, details);
}
