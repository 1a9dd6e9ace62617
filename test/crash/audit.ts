import { isDeepStrictEqual } from "node:util";
import type { QueueMessage, TaskMessage } from "../../src/protocol/messages.ts";
import { TASK_STATES } from "../../src/task/task.ts";
import type { Claim, Ledger, Settled, TaskEntry } from "./ledger.ts";
import { payloadOf } from "./load.ts";
import type { Snapshot } from "./snapshot.ts";

/** What of the ledger the audit looks at. */
export type Known = Pick<Ledger, "tasks" | "unknownEnqueues" | "unknownClaims">;

/**
 * Compares what the clients were told with what the server shows after a restart, and gives a sentence for each
 * contradiction. What was acknowledged must be there; what was never answered may have happened or not, but not
 * half and not twice.
 */
export function audit(ledger: Known, snapshot: Snapshot): string[] {
  const shown = new Map(snapshot.tasks.map((task) => [task.id, task]));
  return [
    ...countsFit(snapshot),
    ...allKnown(ledger, snapshot),
    ...[...ledger.tasks.values()].flatMap((entry) => {
      const task = shown.get(entry.id);
      if (task === undefined) return [`${entry.id}: its enqueue was acknowledged, it does not exist`];
      return [
        ...identity(entry, task),
        ...claimsFit(entry),
        ...historyFits(ledger, entry, task, snapshot),
      ].map((fault) => `${entry.id} (${task.state}): ${fault}`);
    }),
  ];
}

/** I1: maintained counters, recount and listing agree. */
export function countsFit({ queues, tasks }: Snapshot): string[] {
  const faults: string[] = [];
  const ids = new Set(tasks.map((task) => task.id));
  if (ids.size !== tasks.length) faults.push(`${tasks.length - ids.size} tasks are listed in two states`);
  for (const queue of queues) {
    const own = tasks.filter((task) => task.queue === queue.queue);
    for (const state of TASK_STATES) {
      const recount = own.filter((task) => task.state === state).length;
      const { [state]: counted } = queue.counts;
      if (recount !== counted)
        faults.push(`${queue.queue} counts ${counted} ${state} tasks, ${recount} are listed`);
    }
    faults.push(...sumFits(queue));
  }
  return faults;
}

function sumFits({ queue, counts, enqueued, pruned }: QueueMessage): string[] {
  const sum = TASK_STATES.reduce((total, state) => total + counts[state], pruned);
  return sum === enqueued
    ? []
    : [`${queue} counts ${enqueued} enqueues, its states and the pruned make ${sum}`];
}

/** Every task comes from an enqueue that was sent, and none from one that came to nothing before. */
function allKnown(ledger: Known, { tasks }: Snapshot): string[] {
  const faults: string[] = [];
  const seen = new Set<number>();
  for (const task of tasks) {
    const { number } = task.payload as { number: number };
    if (seen.has(number)) faults.push(`${task.id}: enqueue ${number} made a second task`);
    seen.add(number);
    const known = ledger.tasks.has(task.id) || ledger.unknownEnqueues.has(number);
    if (!known) faults.push(`${task.id}: enqueue ${number} came to nothing before, and is there now`);
  }
  return faults;
}

function identity({ sent }: TaskEntry, task: TaskMessage): string[] {
  const faults: string[] = [];
  if (task.queue !== sent.queue) faults.push(`enqueued to ${sent.queue}, it is in ${task.queue}`);
  if (!isDeepStrictEqual(task.payload, payloadOf(sent.number)))
    faults.push("its payload is not what was sent");
  if (task.maxAttempts !== sent.maxAttempts)
    faults.push(`${task.maxAttempts} attempts, ${sent.maxAttempts} were asked for`);
  if (task.idempotencyKey !== sent.idempotencyKey)
    faults.push(`key ${task.idempotencyKey}, sent ${sent.idempotencyKey}`);
  return faults;
}

/** I2: fences grow, and nobody got the task while somebody else held it. */
function claimsFit({ claims }: TaskEntry): string[] {
  const faults: string[] = [];
  const inOrder = [...claims].sort((a, b) => a.fence - b.fence);
  for (const [at, claim] of inOrder.entries()) {
    const before = inOrder[at - 1];
    if (before === undefined) continue;
    if (claim.fence === before.fence) faults.push(`fence ${claim.fence} was given twice`);
    if (claim.claimedAt < before.claimedAt) faults.push(`fence ${claim.fence} grew while time went back`);
    if (isFinal(before)) faults.push(`claimed again, with fence ${claim.fence}, after it was finished`);
    // A settle ends the lease, from the moment it is sent; without one only time does.
    const end = before.settled;
    const endedByHolder = end !== undefined && end.refused === undefined && end.sentAt < claim.answeredAt;
    if (!endedByHolder && claim.claimedAt < before.expiresAt)
      faults.push(
        `held twice: fence ${claim.fence} was given ${before.expiresAt - claim.claimedAt} ms before the end of ${before.fence}`,
      );
  }
  return faults;
}

function isFinal({ settled }: Claim): boolean {
  return settled?.acknowledged !== undefined && ["completed", "dead"].includes(settled.acknowledged.state);
}

function historyFits(ledger: Known, entry: TaskEntry, task: TaskMessage, snapshot: Snapshot): string[] {
  return [
    ...settlesKept(entry, task),
    ...completionExplained(entry, task),
    ...deathExplained(entry, task),
    ...failuresExplained(ledger, entry, task),
    ...leaseExplained(ledger, entry, task),
    ...leaseKept(entry, task, snapshot),
    ...waitKept(entry, task, snapshot),
    ...attemptsFit(ledger, entry, task),
  ];
}

/** I7: what was acknowledged is there. */
function settlesKept({ claims }: TaskEntry, task: TaskMessage): string[] {
  return claims.flatMap(({ settled, attempt }) =>
    settled?.acknowledged === undefined || isKept(settled, attempt, task)
      ? []
      : [`an acknowledged ${settled.outcome} is lost: ${JSON.stringify(settled)}`],
  );
}

function isKept(settled: Settled, attempt: number, task: TaskMessage): boolean {
  switch (settled.outcome) {
    case "complete":
      return task.state === "completed" && isDeepStrictEqual(task.result, settled.result);
    case "refuse":
      return task.state === "dead" && task.deadReason === "refused" && task.lastError === settled.error;
    case "nack":
      return hasFailure(task, settled.error, attempt);
    case "release":
      // It leaves no trace but the attempt that it gives back, which is counted with the others.
      return true;
  }
}

function hasFailure(task: TaskMessage, error: string, attempt: number): boolean {
  return (task.failures ?? []).some((failure) => failure.error === error && failure.attempt === attempt);
}

function completionExplained({ claims }: TaskEntry, task: TaskMessage): string[] {
  if (task.state !== "completed") return [];
  const sent = claims.some(
    ({ settled }) => settled?.outcome === "complete" && isDeepStrictEqual(settled.result, task.result),
  );
  return sent ? [] : ["it is completed with a result that nobody sent"];
}

function deathExplained({ claims }: TaskEntry, task: TaskMessage): string[] {
  if (task.state !== "dead") return [];
  const refused = claims.some(({ settled }) => settled?.outcome === "refuse");
  if (task.deadReason === "refused") return refused ? [] : ["it was refused by nobody"];
  return task.attempt >= task.maxAttempts
    ? []
    : [`dead after ${task.attempt} of ${task.maxAttempts} attempts`];
}

/** Each failure is a nack that was sent, or the end of a lease that nobody ended. */
function failuresExplained(ledger: Known, { claims }: TaskEntry, task: TaskMessage): string[] {
  return (task.failures ?? []).flatMap(({ error, worker = "", attempt }) => {
    const claim = claims.find((each) => each.worker === worker && each.attempt === attempt);
    const { settled } = claim ?? {};
    if (settled !== undefined && "error" in settled && settled.error === error) return [];
    if (/lease.*expired/i.test(error) && couldExpire(ledger, worker, claim)) return [];
    return [`attempt ${attempt} by ${worker} failed with ${JSON.stringify(error)}, which nobody sent`];
  });
}

function couldExpire(ledger: Known, worker: string, claim: Claim | undefined): boolean {
  return claim === undefined ? ledger.unknownClaims.has(worker) : claim.settled?.acknowledged === undefined;
}

/** A lease is one that was given, and not one that was ended. */
function leaseExplained(ledger: Known, { claims }: TaskEntry, task: TaskMessage): string[] {
  if (task.lease === undefined) return [];
  const { worker = "", fence } = task.lease;
  const claim = claims.find((each) => each.fence === fence);
  if (claim === undefined)
    return ledger.unknownClaims.has(worker)
      ? []
      : [`leased to ${worker}, whose claim was answered without it`];
  const ended = claim.settled?.acknowledged !== undefined;
  return ended ? [`leased with fence ${fence}, whose ${claim.settled?.outcome} was acknowledged`] : [];
}

/** A lease that runs goes on running across the restart. */
function leaseKept({ claims }: TaskEntry, task: TaskMessage, { to }: Snapshot): string[] {
  const last = claims.at(-1);
  if (last === undefined || last.settled !== undefined || last.expiresAt <= to) return [];
  return task.lease?.fence === last.fence && task.lease.expiresAt >= last.expiresAt
    ? []
    : [
        `its lease with fence ${last.fence} runs until ${last.expiresAt}, the server shows ${JSON.stringify(task.lease)}`,
      ];
}

/** A delay that was acknowledged goes on across the restart. */
function waitKept({ claims, sent }: TaskEntry, task: TaskMessage, { to }: Snapshot): string[] {
  const last = claims.at(-1);
  const runAt = last === undefined ? (sent.delayMs ?? 0) + task.createdAt : last.settled?.acknowledged?.runAt;
  if (runAt === undefined || runAt <= to) return [];
  const kept = task.state === "scheduled" && task.runAt === runAt;
  return kept ? [] : [`due at ${runAt}, it is ${task.state} with runAt ${task.runAt}`];
}

/** I5: one attempt for each claim, given back by a release. */
function attemptsFit(ledger: Known, { claims }: TaskEntry, task: TaskMessage): string[] {
  const unseen = new Set(
    [...(task.failures ?? []), ...(task.lease === undefined ? [] : [task.lease])]
      .map(({ worker = "" }) => worker)
      .filter((worker) => ledger.unknownClaims.has(worker)),
  ).size;
  const releases = claims.filter(
    ({ settled }) => settled?.outcome === "release" && settled.refused === undefined,
  );
  const surely = releases.filter(({ settled }) => settled?.acknowledged !== undefined).length;
  const most = claims.length + unseen - surely;
  const least = claims.length + unseen - releases.length;
  const fits = task.attempt >= least && task.attempt <= most;
  return fits ? [] : [`${task.attempt} attempts, expected ${least === most ? most : `${least} to ${most}`}`];
}

/** Settles the open questions: what was never answered, and is not there, must not appear later. */
export function closeQuestions(ledger: Ledger, { tasks }: Snapshot): void {
  for (const task of tasks) {
    const { number } = task.payload as { number: number };
    const sent = ledger.unknownEnqueues.get(number);
    if (sent !== undefined) ledger.enqueued(sent, task.id);
  }
  ledger.unknownEnqueues.clear();
}
