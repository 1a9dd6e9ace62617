import { DibsError, InvalidRequestError, TaskNotFoundError } from "../task/errors.ts";
import { type LeaseToken, parseTaskId, type QueueName, type TaskId } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { EpochMs, JsonText, NewTask, TaskState } from "../task/task.ts";
import { parseIsoTime } from "./iso-time.ts";
import {
  type ClaimBody,
  type CompleteBody,
  DEFAULT_LIST_LIMIT,
  type EnqueueBatchBody,
  type EnqueueBody,
  type HeartbeatBody,
  type HeartbeatsBody,
  type NackBody,
  type OutcomeBody,
  type SettleBody,
} from "./messages.ts";
import { nestsDeeperThan } from "./source.ts";
import { type Checked, invalid } from "./validate.ts";

/**
 * From bodies that passed their schema to what the broker is asked, for both doors: defaults are filled in,
 * times parsed, and what no schema can say is checked. Each payload or result comes as a value or, from the
 * network, as the text it was sent as; the text wins.
 */
export type EnqueueAsk = Omit<NewTask, "id" | "payloadHash"> & { readonly queue: QueueName };

export interface ClaimAsk {
  readonly queues: readonly QueueName[];
  readonly max: number;
  readonly leaseMs?: number;
  readonly waitMs: number;
  readonly worker?: string;
}

export type SettleAsk =
  | Held<{ readonly outcome: "complete"; readonly result?: JsonText }>
  | Held<{ readonly outcome: "nack"; readonly error?: string; readonly delayMs?: number }>
  | Held<{ readonly outcome: "refuse"; readonly error?: string }>
  | Held<{ readonly outcome: "release" }>;
export type HeartbeatAsk = Held<{ readonly leaseMs?: number }>;
type Held<T> = T & { readonly id: TaskId; readonly token: LeaseToken };

export interface ListAsk {
  readonly state: TaskState;
  readonly cursor?: string;
  readonly limit: number;
}

export function enqueueAsk(body: EnqueueBody, payload?: JsonText, path = ""): EnqueueAsk {
  const { queue, payload: value, runAt, ...rest } = body;
  if (runAt !== undefined && rest.delayMs !== undefined) {
    throw new InvalidRequestError(`Expected \`${path}delayMs\` or \`${path}runAt\`, got both`, {
      details: { field: `${path}runAt`, bound: "without delayMs", value: runAt },
    });
  }
  return {
    ...rest,
    queue: queue as QueueName,
    payload: jsonText(payload, value ?? null, `${path}payload`),
    ...(runAt === undefined ? {} : { runAt: instant(runAt, `${path}runAt`) }),
  };
}

export function enqueueAsks(
  body: EnqueueBatchBody,
  payloads?: readonly (JsonText | undefined)[],
): EnqueueAsk[] {
  return body.tasks.map((task, index) => enqueueAsk(task, payloads?.[index], `tasks[${index}].`));
}

export function claimAsk(body: ClaimBody): ClaimAsk {
  const { queues, max = 1, waitMs = 0, leaseMs, worker } = body;
  // A queue named twice is one queue: a claim must not park in it twice.
  const distinct = (queues.length === 1 ? queues : [...new Set(queues)]) as QueueName[];
  // Field by field: rest and spread cost 3 µs on every claim.
  const ask: { -readonly [K in keyof ClaimAsk]: ClaimAsk[K] } = { queues: distinct, max, waitMs };
  if (leaseMs !== undefined) ask.leaseMs = leaseMs;
  if (worker !== undefined) ask.worker = worker;
  return ask;
}

export function completeAsk(id: TaskId, body: CompleteBody, result?: JsonText): SettleAsk {
  return settleAsk(id, { ...body, outcome: "complete" }, result, "");
}

export function nackAsk(id: TaskId, body: NackBody): SettleAsk {
  return settleAsk(id, { ...body, outcome: "nack" }, undefined, "");
}

export function releaseAsk(id: TaskId, leaseToken: string): SettleAsk {
  return { outcome: "release", id, token: leaseToken as LeaseToken };
}

/** One ask for each outcome; the error itself where the id cannot be that of a task. */
export function settleAsks(
  body: SettleBody,
  results?: readonly (JsonText | undefined)[],
): (SettleAsk | DibsError)[] {
  return body.outcomes.map((item, index) => {
    refuseStrayFields(item, index);
    const id = parseTaskId(item.id);
    return id === undefined
      ? noSuchTask(item.id)
      : settleAsk(id, item, results?.[index], `outcomes[${index}].`);
  });
}

export function heartbeatAsk(id: TaskId, body: HeartbeatBody): HeartbeatAsk {
  const token = body.leaseToken as LeaseToken;
  return body.leaseMs === undefined ? { id, token } : { id, token, leaseMs: body.leaseMs };
}

export function heartbeatAsks(body: HeartbeatsBody): (HeartbeatAsk | DibsError)[] {
  return body.leases.map((lease) => {
    const id = parseTaskId(lease.id);
    return id === undefined ? noSuchTask(lease.id) : heartbeatAsk(id, lease);
  });
}

export function listAsk(query: Checked<"ListQuery">): ListAsk {
  return { ...query, limit: query.limit ?? DEFAULT_LIST_LIMIT };
}

/**
 * The id of a task.
 *
 * @throws {TaskNotFoundError} for a text that no task can have as its id; ids are opaque to callers.
 */
export function taskIdOf(text: string): TaskId {
  const id = parseTaskId(text);
  if (id === undefined) throw noSuchTask(text);
  return id;
}

/**
 * Calls for the asks that are not errors already, and answers for all in their order.
 */
export async function eachInPlace<Ask extends object, Answer>(
  asks: readonly (Ask | DibsError)[],
  call: (asks: readonly Ask[]) => Promise<readonly (Answer | DibsError)[]>,
): Promise<(Answer | DibsError)[]> {
  const sound = asks.filter((ask): ask is Ask => !(ask instanceof DibsError));
  const answers = (await call(sound)).values();
  return asks.map((ask) => (ask instanceof DibsError ? ask : (answers.next().value as Answer | DibsError)));
}

function settleAsk(
  id: TaskId,
  item: Omit<OutcomeBody, "id">,
  result: JsonText | undefined,
  path: string,
): SettleAsk {
  const held = { id, token: item.leaseToken as LeaseToken };
  if (item.outcome === "release") return { outcome: "release", ...held };
  if (item.outcome === "complete") {
    if (result === undefined && item.result === undefined) return { outcome: "complete", ...held };
    return { outcome: "complete", ...held, result: jsonText(result, item.result, `${path}result`) };
  }
  const error = item.error === undefined ? {} : { error: errorText(item.error, `${path}error`) };
  if (item.retry === false) return { outcome: "refuse", ...held, ...error };
  return {
    outcome: "nack",
    ...held,
    ...error,
    ...(item.delayMs === undefined ? {} : { delayMs: item.delayMs }),
  };
}

const FIELDS_OF_OUTCOME = {
  complete: ["result"],
  nack: ["error", "delayMs", "retry"],
  release: [],
} as const satisfies Record<OutcomeBody["outcome"], readonly (keyof OutcomeBody)[]>;

function refuseStrayFields(item: OutcomeBody, index: number): void {
  const known: readonly string[] = FIELDS_OF_OUTCOME[item.outcome];
  for (const field of ["result", "error", "delayMs", "retry"] as const) {
    if (item[field] === undefined || known.includes(field)) continue;
    const path = `outcomes[${index}].${field}`;
    throw new InvalidRequestError(`Unknown field \`${path}\` for the outcome ${item.outcome}`, {
      details: { field: path, bound: known },
    });
  }
}

function instant(value: number | string, field: string): EpochMs {
  if (typeof value === "number") return value;
  const at = parseIsoTime(value);
  if (at === undefined) {
    throw invalid(field, "to be ISO 8601 with a zone, as in 2026-01-31T08:00:00Z", "ISO 8601", value);
  }
  if (at < 0) throw invalid(field, "to be 1970-01-01T00:00:00Z or later", 0, value);
  if (at > LIMITS.runAtMax) throw invalid(field, "to be before the year 10000", LIMITS.runAtMax, value);
  return at;
}

function errorText(value: string, field: string): string {
  const text = value.toWellFormed();
  const bytes = Buffer.byteLength(text);
  if (bytes <= LIMITS.errorBytesMax) return text;
  const expected = `to be ${LIMITS.errorBytesMax} bytes of UTF-8 or less`;
  throw new InvalidRequestError(`Expected \`${field}\` ${expected}, got ${bytes} bytes`, {
    details: { field, bound: LIMITS.errorBytesMax, value: bytes },
  });
}

function jsonText(text: JsonText | undefined, value: unknown, field: string): JsonText {
  const json = text ?? written(value, field);
  if (!nestsDeeperThan(json, LIMITS.jsonDepthMax)) return json;
  throw tooDeep(field);
}

function written(value: unknown, field: string): JsonText {
  try {
    const json: string | undefined = JSON.stringify(value);
    if (json !== undefined) return json;
  } catch (cause) {
    if (cause instanceof RangeError) throw tooDeep(field);
    throw new InvalidRequestError(`Expected \`${field}\` to be JSON: ${(cause as Error).message}`, {
      details: { field, bound: "JSON" },
      cause,
    });
  }
  throw invalid(field, "to be JSON", "JSON", typeof value);
}

/** The error of arrays and objects inside each other beyond the limit. */
export function tooDeep(field: string): InvalidRequestError {
  return new InvalidRequestError(
    `Expected \`${field}\` to nest arrays and objects at most ${LIMITS.jsonDepthMax} deep`,
    { details: { field, bound: LIMITS.jsonDepthMax } },
  );
}

function noSuchTask(id: string): TaskNotFoundError {
  const shown = id.length <= LIMITS.idLengthMax ? id : `${id.slice(0, LIMITS.idLengthMax)}…`;
  return new TaskNotFoundError(`Task ${shown} does not exist`, { details: { id: shown } });
}
