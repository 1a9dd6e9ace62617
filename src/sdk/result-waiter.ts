import { setTimeout as sleep } from "node:timers/promises";
import type { ResultAnswer } from "../protocol/messages.ts";
import { backoffMs } from "../task/backoff.ts";
import { DibsError } from "../task/errors.ts";
import type { Connection } from "./connection.ts";
import { withDeadline } from "./deadline.ts";
import { TaskCancelled, TaskDead, timedOut } from "./errors.ts";
import { checkWhole, refuseUnknown } from "./options.ts";

export interface WaitOptions {
  /** Default: as long as it takes. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** One call waits at most so long, so that a broken connection is noticed. */
const WAIT_MS = 20_000;
/** How long the answer may take beyond the caller's time. */
const ANSWER_MS = 500;
/** A server that restarts is waited for; one that is away for longer is reported. */
const UNREACHABLE_MS = 60_000;
const AGAIN = { type: "exponential", baseMs: 100, capMs: 5_000, jitter: "equal" } as const;

/**
 * Waits until a task is finished and gives its result.
 *
 * @throws {TaskDead} @throws {TaskCancelled} @throws {TaskNotFoundError}
 * @throws {TimeoutError} after `timeoutMs`.
 * @throws {ConnectionLostError} when the server could not be reached for a minute.
 */
export async function waitForResult(
  connection: Connection,
  id: string,
  options: WaitOptions = {},
): Promise<unknown> {
  refuseUnknown("waitForResult", options, ["timeoutMs", "signal"]);
  checkWhole("timeoutMs", options.timeoutMs, 0, Number.MAX_SAFE_INTEGER);
  const { timeoutMs = Number.POSITIVE_INFINITY, signal } = options;
  const endAt = performance.now() + timeoutMs;
  let reachedAt = performance.now();
  for (let failures = 0; ; ) {
    const leftMs = endAt - performance.now();
    if (leftMs <= 0 && failures > 0) throw timedOut(`Task ${id} was not seen to finish`, timeoutMs);
    try {
      const answer = await ask(connection, id, Math.max(0, leftMs), signal);
      failures = 0;
      reachedAt = performance.now();
      if (isOver(answer)) return resultIn(id, answer);
      if (performance.now() >= endAt) throw timedOut(`Task ${id} did not finish`, timeoutMs);
    } catch (error) {
      if (!mayPass(error) || performance.now() - reachedAt > UNREACHABLE_MS) throw error;
      failures += 1;
      const pauseMs = Math.min(
        backoffMs(failures, AGAIN, Math.random()),
        Math.max(0, endAt - performance.now()),
      );
      await sleep(pauseMs, undefined, signal === undefined ? {} : { signal });
    }
  }
}

/** Asks once. The caller's time bounds also an answer that never comes. */
function ask(
  connection: Connection,
  id: string,
  leftMs: number,
  signal: AbortSignal | undefined,
): Promise<ResultAnswer> {
  const waitMs = Math.round(Math.min(WAIT_MS, leftMs));
  if (leftMs > WAIT_MS) return connection.result(id, waitMs, signal);
  return withDeadline((bounded) => connection.result(id, waitMs, bounded()), {
    ms: leftMs + ANSWER_MS,
    what: "A wait for a result",
    late: () => {},
    ...(signal !== undefined && { signal }),
  });
}

function mayPass(error: unknown): boolean {
  return error instanceof DibsError && error.retryable && error.code !== "timeout";
}

function isOver({ state }: ResultAnswer): boolean {
  return state === "completed" || state === "dead" || state === "cancelled";
}

function resultIn(id: string, answer: ResultAnswer): unknown {
  switch (answer.state) {
    case "dead":
      throw new TaskDead(id, answer.lastError);
    case "cancelled":
      throw new TaskCancelled(id);
    default:
      return answer.result;
  }
}
