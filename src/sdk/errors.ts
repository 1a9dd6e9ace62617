import type { StandardSchemaV1 } from "@standard-schema/spec";
import { InvalidRequestError, TimeoutError, WrongStateError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import { checkWhole } from "./options.ts";

/**
 * Errors that only a client meets, and what a handler throws to say more than "this attempt failed".
 * Those of the first kind are `DibsError`s and keep the codes of the HTTP contract.
 */

/** The task that was waited for ended in the dead letters. Code `wrong_state`, `details.state` `dead`. */
export class TaskDead extends WrongStateError {
  readonly taskId: string;
  /** Why the last attempt failed. */
  readonly lastError: string;

  constructor(taskId: string, lastError = "") {
    const why = lastError === "" ? "" : `: ${firstLine(lastError)}`;
    super(`Task ${taskId} is dead${why}`, { details: { id: taskId, state: "dead", lastError } });
    this.taskId = taskId;
    this.lastError = lastError;
  }
}

/** The task that was waited for was cancelled. Code `wrong_state`, `details.state` `cancelled`. */
export class TaskCancelled extends WrongStateError {
  readonly taskId: string;

  constructor(taskId: string) {
    super(`Task ${taskId} was cancelled`, { details: { id: taskId, state: "cancelled" } });
    this.taskId = taskId;
  }
}

/** The payload does not fit the schema of its definition. Code `invalid_request`. */
export class InvalidPayload extends InvalidRequestError {
  readonly queue: string;
  readonly issues: readonly StandardSchemaV1.Issue[];

  constructor(queue: string, issues: readonly StandardSchemaV1.Issue[]) {
    const lines = issues.map(issueText);
    super(`The payload does not fit the definition of queue ${queue}: ${lines.join("; ")}`, {
      details: { queue, issues: lines },
    });
    this.queue = queue;
    this.issues = issues;
  }
}

/** One complaint of a schema as `path: message`. */
export function issueText(issue: StandardSchemaV1.Issue): string {
  const path = (issue.path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}

// Symbols of the registry, because a handler may load a second copy of the package (another version, or a
// bundle), whose classes fail `instanceof` here.
const REFUSE = Symbol.for("dibs.refuse");
const RETRY_LATER = Symbol.for("dibs.retry-later");

/** Thrown by a handler: a retry is useless, the task goes to the dead letters now. */
export class Refuse extends Error {
  readonly [REFUSE] = true;

  constructor(why: string, options?: ErrorOptions) {
    super(why, options);
    this.name = "Refuse";
  }

  /** True for a `Refuse` of any copy of this package. */
  static is(error: unknown): error is Refuse {
    return typeof error === "object" && error !== null && REFUSE in error;
  }
}

/** Thrown by a handler: this attempt failed, the next one is due in `delayMs` instead of after the backoff. */
export class RetryLater extends Error {
  readonly [RETRY_LATER] = true;
  readonly delayMs: number;

  /** @throws {InvalidRequestError} unless `delayMs` is a whole number of milliseconds, 0 to ten years. */
  constructor(delayMs: number, why = `Asked to be tried again in ${delayMs} ms`, options?: ErrorOptions) {
    super(why, options);
    checkWhole("delayMs", delayMs, 0, LIMITS.delayMsMax);
    this.name = "RetryLater";
    this.delayMs = delayMs;
  }

  /** True for a `RetryLater` of any copy of this package. */
  static is(error: unknown): error is RetryLater {
    return typeof error === "object" && error !== null && RETRY_LATER in error;
  }
}

/**
 * Why a handler's `signal` is aborted.
 * `lease-lost`: another worker may have the task now. `cancelled`: somebody cancelled it. `timeout`: the
 * attempt took longer than `timeoutMs`. `shutdown`: the worker closes and has waited `drainMs`.
 */
export type AbortCode = "lease-lost" | "cancelled" | "timeout" | "shutdown";

/** The `reason` of a handler's `signal`. */
export class AttemptAborted extends Error {
  readonly code: AbortCode;

  constructor(code: AbortCode, message: string) {
    super(message);
    this.name = "AttemptAborted";
    this.code = code;
  }
}

/** The time given by the caller of the client is over. Code `timeout`. */
export function timedOut(what: string, timeoutMs: number): TimeoutError {
  return new TimeoutError(`${what} within ${timeoutMs} ms`, { details: { timeoutMs } });
}
