import type { QueueMessage, TaskMessage } from "../../protocol/messages.ts";
import type { Outage } from "./outages.ts";
import type { Digest } from "./own-pass.ts";
import { LEASE_MS } from "./workers.ts";

/**
 * Judges a run of the demo. It believes nobody alone: what the store says of each task, what the server counted,
 * what the workers reported and what the files hold must all tell one story.
 */
export interface Evidence {
  /** By path: what its result may be. Two where the file changed during the run. */
  readonly files: ReadonlyMap<string, readonly Digest[]>;
  /** The id that each file's enqueue was answered with, in the order of the enqueues. */
  readonly enqueued: readonly { readonly path: string; readonly id: string }[];
  /** Every task of the queue, whatever its state, as listed after the run. */
  readonly tasks: readonly TaskMessage[];
  readonly queue: Pick<QueueMessage, "counts" | "enqueued">;
  /** Each completion that a worker was acknowledged, as that worker reported it. */
  readonly reported: readonly { readonly id: string; readonly worker: string }[];
  /** What the server counted for this queue. */
  readonly counted: { readonly claimed: number; readonly completed: number; readonly expired: number };
  /** The label of the worker that was killed; undefined when none was. */
  readonly killed: string | undefined;
  /**
   * When the store was away. What it did then and could not answer is nobody's to count: a claim whose tasks come
   * back when their lease ends, a lease that was not renewed in time, a completion. No task may be lost for it.
   */
  readonly outages: readonly Outage[];
}

export interface Redelivery {
  readonly id: string;
  readonly path: string;
  readonly attempt: number;
  readonly at: number;
  readonly worker: string | undefined;
  readonly error: string;
}

export interface Check {
  readonly name: string;
  readonly ok: boolean;
}

export interface Audit {
  readonly verdict: "passed" | "failed" | "not judged";
  readonly files: number;
  readonly completed: number;
  readonly claims: number;
  readonly redeliveries: readonly Redelivery[];
  /** How often the store was away. */
  readonly outages: number;
  /** Files that changed more than once during the run, so that no result can be called right or wrong. */
  readonly unjudged: readonly string[];
  readonly checks: readonly Check[];
  /** One sentence for each fault, at most a hundred. */
  readonly faults: readonly string[];
}

const FAULTS_MAX = 100;
/** How far the clock of the store and ours may be apart, and how late a lease's end is seen after an outage. */
const SLACK_MS = 5_000;

type Result = (Digest & { readonly worker: string }) | undefined;

export function audit(evidence: Evidence): Audit {
  const byId = new Map(evidence.tasks.map((task) => [task.id, task]));
  const redeliveries = evidence.tasks.flatMap(redeliveriesOf);
  const results = resultsOf(evidence);
  const parts: readonly [name: string, faults: readonly string[]][] = [
    ["every file has exactly one task", eachFileOnce(evidence)],
    ["every task is completed", allCompleted(evidence)],
    ["every result is that of the demo's own pass", results.faults],
    ["no task was completed twice", noneTwice(evidence)],
    ["every completion is reported by the worker that did it", reportsFit(evidence, byId)],
    ["claims = files + redeliveries", claimsFit(evidence, redeliveries)],
    [
      `every redelivery is of a task that the killed worker held${evidence.outages.length === 0 ? "" : ", or of a lease while the store was away"}`,
      redeliveries.flatMap(unexplained(evidence)),
    ],
  ];
  const faults = parts.flatMap(([, found]) => found);
  const judged = results.unjudged.length === 0 && redeliveries.length > 0;
  return {
    verdict: faults.length > 0 ? "failed" : judged ? "passed" : "not judged",
    files: evidence.files.size,
    completed: evidence.queue.counts.completed,
    claims: evidence.counted.claimed,
    redeliveries,
    outages: evidence.outages.length,
    unjudged: results.unjudged,
    checks: parts.map(([name, found]) => ({ name, ok: found.length === 0 })),
    faults: faults.slice(0, FAULTS_MAX),
  };
}

function eachFileOnce({ files, enqueued, tasks }: Evidence): string[] {
  const idOf = new Map(enqueued.map(({ path, id }) => [path, id]));
  const listed = new Map<string, number>();
  const faults: string[] = [];
  for (const task of tasks) {
    const path = pathOf(task);
    listed.set(path, (listed.get(path) ?? 0) + 1);
    if (idOf.get(path) !== task.id) faults.push(`Task ${task.id} of ${path} was never enqueued`);
  }
  for (const path of files.keys()) {
    const times = listed.get(path) ?? 0;
    if (times !== 1) faults.push(`${path} has ${times} tasks`);
  }
  return faults;
}

function allCompleted({ files, tasks, queue }: Evidence): string[] {
  const faults = tasks
    .filter((task) => task.state !== "completed")
    .map((task) => `Task ${task.id} of ${pathOf(task)} is ${task.state}`);
  const { completed } = queue.counts;
  if (completed !== files.size)
    faults.push(`The queue counts ${completed} completed tasks of ${files.size} files`);
  if (queue.enqueued !== files.size)
    faults.push(`The queue counts ${queue.enqueued} enqueues of ${files.size} files`);
  return faults;
}

function resultsOf({ files, tasks }: Evidence): { faults: string[]; unjudged: string[] } {
  const faults: string[] = [];
  const unjudged: string[] = [];
  for (const task of tasks) {
    const path = pathOf(task);
    const allowed = files.get(path) ?? [];
    if (allowed.some((digest) => isSame(digest, task.result as Result))) continue;
    if (allowed.length > 1) unjudged.push(path);
    else
      faults.push(
        `${path}: the worker found ${JSON.stringify(task.result)}, the file is ${JSON.stringify(allowed[0])}`,
      );
  }
  return { faults, unjudged };
}

function isSame(digest: Digest, result: Result): boolean {
  if (result === undefined || result === null) return false;
  if ("error" in digest) return "error" in result && result.error === digest.error;
  return "sha256" in result && result.sha256 === digest.sha256 && result.size === digest.size;
}

function noneTwice({ files, reported, counted, outages }: Evidence): string[] {
  const seen = new Set<string>();
  const faults: string[] = [];
  for (const { id, worker } of reported) {
    if (seen.has(id)) faults.push(`Task ${id} was completed again, by ${worker}`);
    seen.add(id);
  }
  if (!isCount(counted.completed, files.size, outages))
    faults.push(`The server counted ${counted.completed} completions of ${files.size} tasks`);
  return faults;
}

/** A worker killed between the answer and its report leaves a completion that only its result tells of. */
function reportsFit(
  { tasks, reported, killed, outages }: Evidence,
  byId: ReadonlyMap<string, TaskMessage>,
): string[] {
  const reporter = new Map(reported.map(({ id, worker }) => [id, worker]));
  const faults = reported
    .filter(({ id }) => !byId.has(id))
    .map(({ id, worker }) => `${worker} reported the completion of ${id}, which is no task of the queue`);
  for (const task of tasks) {
    const worker = (task.result as Result)?.worker;
    const by = reporter.get(task.id);
    const isUnheard = worker === killed || wasAway(outages, task.finishedAt);
    if (by === worker || (by === undefined && worker !== undefined && isUnheard)) continue;
    faults.push(
      `Task ${task.id} has the result of ${worker}, its completion was reported by ${by ?? "nobody"}`,
    );
  }
  return faults;
}

function claimsFit(
  { files, tasks, counted, outages }: Evidence,
  redeliveries: readonly Redelivery[],
): string[] {
  const expected = files.size + redeliveries.length;
  const attempts = tasks.reduce((sum, task) => sum + task.attempt, 0);
  const faults: string[] = [];
  if (attempts !== expected) faults.push(`The tasks count ${attempts} attempts, expected ${expected}`);
  if (!isCount(counted.claimed, expected, outages))
    faults.push(`The server counted ${counted.claimed} claims, expected ${expected}`);
  if (!isCount(counted.expired, redeliveries.length, outages))
    faults.push(
      `The server counted ${counted.expired} expired leases, the tasks tell of ${redeliveries.length}`,
    );
  return faults;
}

/** The server counts what was answered: all of it, unless the store was away. */
function isCount(counted: number, done: number, outages: readonly Outage[]): boolean {
  return outages.length === 0 ? counted === done : counted <= done;
}

/** Whether the store was away within the lease before `at`, or at it. */
function wasAway(outages: readonly Outage[], at: number | undefined): boolean {
  return (
    at !== undefined && outages.some(({ from, to }) => at > from - SLACK_MS && at < to + LEASE_MS + SLACK_MS)
  );
}

function unexplained({ killed, outages }: Evidence): (redelivery: Redelivery) => string[] {
  const isExplained = ({ at, worker, error }: Redelivery) =>
    /lease.*expired/i.test(error) && ((killed !== undefined && worker === killed) || wasAway(outages, at));
  return (redelivery) => {
    const { id, attempt, worker, error } = redelivery;
    return isExplained(redelivery)
      ? []
      : [`Attempt ${attempt} of ${id} by ${worker ?? "an unnamed worker"} failed: ${error}`];
  };
}

function redeliveriesOf(task: TaskMessage): Redelivery[] {
  return (task.failures ?? []).map(({ attempt, at, worker, error }) => ({
    id: task.id,
    path: pathOf(task),
    attempt,
    at,
    worker,
    error,
  }));
}

function pathOf(task: TaskMessage): string {
  return String((task.payload as { path?: unknown } | null)?.path);
}
