import type { QueueSnapshot, StateCounts } from "../../task/queue.ts";
import { TASK_STATES } from "../../task/task.ts";
import { type Finding, graded, judged, shown } from "./finding.ts";

/** A lease that runs. */
export interface RunningLease {
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  readonly ms: number;
}

/** What the doctor knows of one queue, whichever place it is in. */
export interface QueueFacts
  extends Pick<QueueSnapshot, "queue" | "paused" | "counts" | "enqueued" | "pruned"> {
  readonly oldestReadyAt?: number;
  readonly config?: Pick<QueueSnapshot["config"], "maxDepth" | "retention">;
  /** Those that end soonest, at most {@link LEASES_MAX}. */
  readonly leases: readonly RunningLease[];
  /** Tasks counted again, one by one; absent where only the sums can be checked. */
  readonly records?: number;
}

export interface QueuesFacts {
  /** The time of the place itself, epoch milliseconds. */
  readonly now: number;
  readonly queues: readonly QueueFacts[];
  /** Queues there are; more than were looked at, when there are very many. */
  readonly total: number;
  /** False for a folder that nobody has open: leases that have ended there wait for nobody. */
  readonly isServed: boolean;
}

/** So many queues are looked at one by one. */
export const QUEUES_MAX = 1_000;
/** So many leases of a queue are looked at. */
export const LEASES_MAX = 50;
/** A worker moves the end of a lease at a third of it: with less than this part left, a heartbeat is missing. */
const NEAR_END_PART = 1 / 6;
/** Brokers take an ended lease back at once, and see those of another's within two seconds. */
const REAP_S = { yellow: 3, red: 15 } as const;
const OLDEST_S = { yellow: 60, red: 600 } as const;

/** The lines of all queues together; each names the queue that is worst off. */
export function queueFindings(where: string, facts: QueuesFacts): Finding[] {
  const { queues, total } = facts;
  if (total === 0)
    return [
      { check: "queues", where, colour: "green", figure: "no queue has been made yet", bound: "any number" },
    ];
  return [
    queuesFinding(where, facts),
    leasesFinding(where, facts),
    oldestFinding(where, facts),
    deadFinding(where, queues),
    countsFinding(where, facts),
  ];
}

function queuesFinding(where: string, { queues, total }: QueuesFacts): Finding {
  const paused = queues.filter((queue) => queue.paused);
  const fullness = (queue: QueueFacts) => {
    const { scheduled, ready, leased } = queue.counts;
    return (scheduled + ready + leased) / (queue.config?.maxDepth ?? Number.POSITIVE_INFINITY);
  };
  const fullest = mostOf(queues, fullness);
  const full = fullest === undefined ? 0 : fullness(fullest);
  const seen =
    total > queues.length ? `${count(total)} queues, ${count(queues.length)} looked at` : count(total);
  const troubles = [
    ...(paused.length > 0 ? [`paused: ${namesOf(paused)}`] : []),
    ...(full >= 0.9 ? [`${(fullest as QueueFacts).queue} is ${Math.floor(full * 100)} % full`] : []),
  ];
  return judged(full >= 1 ? "red" : troubles.length > 0 ? "yellow" : "green", {
    check: "queues",
    where,
    figure: [seen, ...troubles].join("; "),
    bound: "none paused, none over 90 % of its maxDepth",
    advice:
      "A paused queue hands out nothing until `dibs queues resume`; a full one refuses enqueues: more workers, or a larger --max-depth",
  });
}

function leasesFinding(where: string, { now, queues, isServed }: QueuesFacts): Finding {
  const held = queues.reduce((sum, { counts }) => sum + counts.leased, 0);
  const ended = queues.flatMap(({ leases }) => leases.filter(({ expiresAt }) => expiresAt <= now));
  const isNear = ({ expiresAt, ms }: RunningLease) => expiresAt > now && expiresAt - now < ms * NEAR_END_PART;
  const near = queues.filter(({ leases }) => leases.some(isNear));
  const nearCount = near.reduce((sum, { leases }) => sum + leases.filter(isNear).length, 0);
  const lateS = ended.reduce((most, { expiresAt }) => Math.max(most, (now - expiresAt) / 1_000), 0);
  const isLate = isServed && lateS > REAP_S.yellow;
  const figure = `${count(held)} held, ${count(nearCount)} about to end${
    ended.length === 0 ? "" : `, ${count(ended.length)} ended up to ${shown(lateS, "s")} ago`
  }${near.length === 0 ? "" : ` (${namesOf(near)})`}`;
  return judged(isServed && lateS > REAP_S.red ? "red" : isLate || nearCount > 0 ? "yellow" : "green", {
    check: "leases",
    where,
    figure,
    bound: `none in its last sixth, none ended for ${REAP_S.yellow} s (red ${REAP_S.red} s)`,
    advice: isLate
      ? "Nobody takes ended leases back: is any server, or worker with --store, running on this store?"
      : "A worker does not move its leases in time: it is gone, its event loop is blocked, or its lease is too short for its tasks",
    value: nearCount,
    unit: "tasks",
  });
}

/** Where nobody serves, nobody can claim: that is said, and no alarm. */
function oldestFinding(where: string, { now, queues, isServed }: QueuesFacts): Finding {
  const ageS = ({ paused, oldestReadyAt }: QueueFacts) =>
    paused || oldestReadyAt === undefined ? 0 : Math.max(0, (now - oldestReadyAt) / 1_000);
  const oldest = mostOf(queues, ageS);
  const value = oldest === undefined ? 0 : ageS(oldest);
  return graded({
    check: "oldest ready",
    where,
    value,
    unit: "s",
    yellow: OLDEST_S.yellow,
    red: isServed ? OLDEST_S.red : Number.POSITIVE_INFINITY,
    figure: value === 0 ? "nothing waits" : `${shown(value, "s")} in ${oldest?.queue}`,
    advice: isServed
      ? "Tasks come faster than they are done, or nobody claims this queue: more workers, or start one"
      : "Nobody has the folder open, so nobody can claim: `dibs serve` it",
  });
}

/** At `deadMax` the oldest dead letters are removed: from nine tenths of it on, some will be lost soon. */
function deadFinding(where: string, queues: readonly QueueFacts[]): Finding {
  const dead = queues.reduce((sum, { counts }) => sum + counts.dead, 0);
  const worst = mostOf(queues, ({ counts }) => counts.dead);
  const isNearBound = queues.some(
    ({ counts, config }) => config !== undefined && counts.dead >= 0.9 * config.retention.deadMax,
  );
  return judged(isNearBound ? "red" : dead > 0 ? "yellow" : "green", {
    check: "dead letters",
    where,
    figure: dead === 0 ? "none" : `${count(dead)}, most in ${worst?.queue}`,
    bound: "none, red near a queue's deadMax",
    advice: `See why: \`dibs dead list ${worst?.queue}\`; bring them back with \`dibs dead requeue ${worst?.queue}\``,
    value: dead,
    unit: "tasks",
  });
}

/** I1, and every task in exactly one place. */
function countsFinding(where: string, { queues }: QueuesFacts): Finding {
  const wrong = queues.flatMap(differencesOf);
  const tasks = queues.reduce((sum, { counts }) => sum + sumOf(counts), 0);
  const isRecounted = queues.every(({ records }) => records !== undefined);
  const how = isRecounted ? "as counted one by one" : "the sums add up";
  return judged(wrong.length === 0 ? "green" : "red", {
    check: "counts",
    where,
    figure: wrong.length === 0 ? `${shown(tasks, "tasks")}, ${how}` : wrong.slice(0, 3).join("; "),
    bound: "enqueued = all states + removed",
    advice:
      "A part of the store was lost or written by somebody else: was this server restored, or failed over? Please report it with the output of `dibs doctor --json`; `dibs move` into a new place counts anew",
  });
}

function differencesOf({ queue, counts, enqueued, pruned, records }: QueueFacts): string[] {
  const differences: string[] = [];
  const tasks = sumOf(counts);
  if (tasks + pruned !== enqueued)
    differences.push(
      `${queue} has taken ${count(enqueued)}, and states and removed sum to ${count(tasks + pruned)}`,
    );
  if (records !== undefined && records !== tasks)
    differences.push(`${queue} has ${count(tasks)} in its states, and ${count(records)} records`);
  return differences;
}

function sumOf(counts: StateCounts): number {
  return TASK_STATES.reduce((sum, state) => sum + counts[state], 0);
}

function mostOf(queues: readonly QueueFacts[], value: (queue: QueueFacts) => number): QueueFacts | undefined {
  return queues.reduce<QueueFacts | undefined>(
    (most, queue) => (most === undefined || value(queue) > value(most) ? queue : most),
    undefined,
  );
}

function namesOf(queues: readonly QueueFacts[]): string {
  const names = queues.slice(0, 3).map(({ queue }) => queue);
  return names.join(", ") + (queues.length > 3 ? ` and ${queues.length - 3} more` : "");
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
