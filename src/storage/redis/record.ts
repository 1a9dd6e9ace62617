import type { BackoffPolicy } from "../../task/backoff.ts";
import type { LeaseToken, QueueName, TaskId } from "../../task/ids.ts";
import type {
  ClaimedTask,
  DeadReason,
  EpochMs,
  Failure,
  JsonText,
  NewTask,
  Task,
  TaskState,
} from "../../task/task.ts";

/*
 * How a task stands in the hash of its queue.
 *
 * record, written once: `<priority>,<maxAttempts>,<backoff>,<payload bytes>,<createdAt>\n<extras>\n<payload>`,
 * where extras is "" or JSON with the idempotency key (k) and the tags (t).
 *
 * state, absent until the first move of a task that was ready at once:
 * `<letter>,<priority>,<maxAttempts>,<backoff>,<payload bytes>,<runAt>,<attempt>,<releases>,<has failures>,<fence>`
 * and then by letter
 *   S scheduled `,<order>`           R ready `,<seq>`
 *   L leased    `,<claimedAt>,<leaseMs>,<worker>`, its fence is the whole token `<fence>.<nonce>`
 *   C completed, D dead, X cancelled `,<finishedAt>,<order>,<result bytes>,<reason>`, C with the token as fence
 *
 * failures: JSON {l: lastError, f: [{a: attempt, t: at, w: worker, e: error}]}.
 */

/** What a script returns of one task; "" or null where there is nothing. */
export interface StoredFields {
  readonly record: string;
  readonly state: string | null;
  readonly failures: string | null;
  readonly result?: string | null;
  /** End of the lease, of a leased task. */
  readonly expiresAt?: string | null;
}

const STATE_OF: Readonly<Record<string, TaskState>> = {
  S: "scheduled",
  R: "ready",
  L: "leased",
  C: "completed",
  D: "dead",
  X: "cancelled",
};

export function stateOfLetter(letter: string): TaskState {
  return STATE_OF[letter] as TaskState;
}

/** The record's part that no script reads. */
export function bodyOf(task: NewTask): string {
  const { idempotencyKey, tags, payload } = task;
  if (idempotencyKey === undefined && tags === undefined) return `\n${payload}`;
  return `${JSON.stringify({ k: idempotencyKey, t: tags })}\n${payload}`;
}

/** What the enqueue script reads of a task; see `scripts/enqueue.lua`. */
export function specOf(task: NewTask): string {
  const { priority, runAt, delayMs, maxAttempts, backoff, idempotencyKey } = task;
  const bytes = Buffer.byteLength(task.payload);
  if (
    priority === undefined &&
    runAt === undefined &&
    delayMs === undefined &&
    maxAttempts === undefined &&
    backoff === undefined &&
    idempotencyKey === undefined
  ) {
    return String(bytes);
  }
  const when = runAt !== undefined ? `a${runAt}` : delayMs !== undefined ? `d${delayMs}` : "";
  const { type, baseMs, capMs, jitter } = backoff ?? {};
  return [
    bytes,
    priority ?? "",
    when,
    maxAttempts ?? "",
    type?.charAt(0) ?? "",
    baseMs ?? "",
    capMs ?? "",
    jitter?.charAt(0) ?? "",
    task.payloadHash ?? "",
    idempotencyKey ?? "",
  ].join(",");
}

const TYPES = { f: "fixed", l: "linear", e: "exponential" } as const;
const JITTERS = { n: "none", e: "equal", f: "full" } as const;
const BACKOFF = /^([fle])(\d+):(\d+)([nef])$/;

export function backoffText({ type, baseMs, capMs, jitter }: BackoffPolicy): string {
  return `${type.charAt(0)}${baseMs}:${capMs}${jitter.charAt(0)}`;
}

export function parseBackoff(text: string): BackoffPolicy {
  const [, type, baseMs, capMs, jitter] = BACKOFF.exec(text) as RegExpExecArray;
  return {
    type: TYPES[type as keyof typeof TYPES],
    baseMs: Number(baseMs),
    capMs: Number(capMs),
    jitter: JITTERS[jitter as keyof typeof JITTERS],
  };
}

interface Extras {
  readonly k?: string;
  readonly t?: Readonly<Record<string, string>>;
}

interface StoredFailures {
  readonly l?: string;
  readonly f: readonly {
    readonly a: number;
    readonly t: EpochMs;
    readonly w?: string;
    readonly e: string;
  }[];
}

const ZERO = "0".charCodeAt(0);

/** A task under construction. */
type Core = { -readonly [K in keyof ClaimedTask]: ClaimedTask[K] };
type Finished = { finishedAt?: EpochMs; deadReason?: DeadReason; result?: JsonText };

/** The task as a reader sees it, from its fields as a script lists them. */
export function taskFrom(
  queue: QueueName,
  random: string,
  [record, state, failures, result, expiresAt]: readonly (string | null | undefined)[],
): Task {
  return taskOf(queue, random, {
    record: record as string,
    state: state ?? null,
    failures: failures ?? null,
    result: result ?? null,
    expiresAt: expiresAt ?? null,
  });
}

/** The task as a reader sees it. */
export function taskOf(queue: QueueName, random: string, fields: StoredFields): Task {
  const { state } = fields;
  if (state === null || state === "") return freshTask(queue, random, fields.record);
  const parts = state.split(",");
  const task = coreOf(queue, random, fields, parts) as Omit<Core, "state"> & Finished & { state: TaskState };
  const name = stateOfLetter(parts[0] as string);
  task.state = name;
  if (name === "leased") {
    const lease = leaseOf(parts, state);
    task.lease = { ...lease.shared, expiresAt: Number(fields.expiresAt) } as ClaimedTask["lease"];
  } else if (name === "completed" || name === "dead" || name === "cancelled") {
    task.finishedAt = Number(parts[10]);
    if (name === "dead") task.deadReason = parts[13] === "r" ? "refused" : "attempts";
    if (name === "completed" && typeof fields.result === "string") task.result = fields.result;
  }
  return task as unknown as Task;
}

/** A task that was just leased, with its token. */
export function claimedTaskOf(
  queue: QueueName,
  random: string,
  record: string,
  state: string,
  failures: string,
): ClaimedTask {
  const parts = state.split(",", 13);
  const task = coreOf(queue, random, { record, state, failures }, parts);
  const { shared, token } = leaseOf(parts, state);
  task.state = "leased";
  task.lease = {
    expiresAt: shared.claimedAt + shared.ms,
    ms: shared.ms,
    fence: shared.fence,
    claimedAt: shared.claimedAt,
    ...(shared.worker !== undefined && { worker: shared.worker }),
    token: token as LeaseToken,
  };
  return task;
}

/**
 * A task that was just leased for the first time: all that its state would say follows from its record and the lease.
 * By far the most common of all tasks that are read, so it spares what it can.
 */
export function firstClaimOf(
  queue: QueueName,
  random: string,
  record: string,
  lease: { fence: number; nonce: number; claimedAt: EpochMs; ms: number; worker: string | undefined },
): ClaimedTask {
  const { fence, claimedAt, ms, worker } = lease;
  const token = `${fence}.${lease.nonce}` as LeaseToken;
  const expiresAt = claimedAt + ms;
  const first = record.indexOf("\n");
  const second = record.indexOf("\n", first + 1);
  const createdAt = Number(record.slice(record.lastIndexOf(",", first) + 1, first));
  const task: Core = {
    id: `${queue}~${random}` as TaskId,
    queue,
    priority: record.charCodeAt(0) - ZERO,
    payload: record.slice(second + 1),
    attempt: 1,
    maxAttempts: Number(record.slice(2, record.indexOf(",", 2))),
    createdAt,
    runAt: createdAt,
    failures: NONE,
    state: "leased",
    // Written out: to spread what may be missing costs half a microsecond.
    lease:
      worker === undefined
        ? { expiresAt, ms, fence, claimedAt, token }
        : { expiresAt, ms, fence, claimedAt, worker, token },
  };
  if (second > first + 1) Object.assign(task, keyAndTags(record.slice(first + 1, second)));
  return task;
}

function leaseOf(parts: readonly string[], state: string) {
  const token = parts[9] as string;
  const worker = afterComma(state, 12);
  return {
    token,
    shared: {
      ms: Number(parts[11]),
      fence: Number(token.slice(0, token.indexOf("."))),
      claimedAt: Number(parts[10]),
      ...(worker !== "" && { worker }),
    } as { ms: number; fence: number; claimedAt: number; worker?: string },
  };
}

/** What follows the given comma, commas and all: a worker's label may hold some. */
function afterComma(text: string, count: number): string {
  let at = -1;
  for (let i = 0; i < count; i += 1) at = text.indexOf(",", at + 1);
  return text.slice(at + 1);
}

function freshTask(queue: QueueName, random: string, record: string): Task {
  const { head, extras, payload } = split(record);
  const createdAt = Number(head[4]);
  return {
    id: `${queue}~${random}` as TaskId,
    queue,
    priority: Number(head[0]),
    payload,
    attempt: 0,
    maxAttempts: Number(head[1]),
    createdAt,
    runAt: createdAt,
    ...keyAndTags(extras),
    failures: NONE,
    state: "ready",
  };
}

function coreOf(queue: QueueName, random: string, fields: StoredFields, parts: readonly string[]): Core {
  const { head, extras, payload } = split(fields.record);
  const task: Partial<Core> = {
    id: `${queue}~${random}` as TaskId,
    queue,
    priority: Number(head[0]),
    payload,
    attempt: Number(parts[6]),
    maxAttempts: Number(head[1]),
    createdAt: Number(head[4]),
    runAt: Number(parts[5]),
    failures: NONE,
  };
  if (extras !== "") Object.assign(task, keyAndTags(extras));
  if (fields.failures !== null && fields.failures !== "") Object.assign(task, failuresOf(fields.failures));
  return task as Core;
}

const NONE: readonly Failure[] = Object.freeze([]);

function split(record: string): { head: readonly string[]; extras: string; payload: JsonText } {
  const first = record.indexOf("\n");
  const second = record.indexOf("\n", first + 1);
  return {
    head: record.slice(0, first).split(","),
    extras: record.slice(first + 1, second),
    payload: record.slice(second + 1),
  };
}

function keyAndTags(extras: string): Partial<Pick<ClaimedTask, "idempotencyKey" | "tags">> {
  if (extras === "") return {};
  const { k, t } = JSON.parse(extras) as Extras;
  return { ...(k !== undefined && { idempotencyKey: k }), ...(t !== undefined && { tags: t }) };
}

function failuresOf(text: string): Pick<ClaimedTask, "failures"> & { readonly lastError?: string } {
  const { l, f } = JSON.parse(text) as StoredFailures;
  return {
    ...(l !== undefined && { lastError: l }),
    failures: f.map(({ a, t, w, e }) => ({
      attempt: a,
      at: t,
      ...(w !== undefined && { worker: w }),
      error: e,
    })),
  };
}
