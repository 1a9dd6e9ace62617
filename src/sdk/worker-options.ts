import { hostname } from "node:os";
import type { BackoffPolicy } from "../task/backoff.ts";
import { InvalidRequestError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import { checkWhole, refuseUnknown } from "./options.ts";
import type { TaskHandler } from "./task-handler.ts";

export interface WorkerOptions {
  /**
   * Tasks at a time, 1 to 100,000. Default 10. Claims ask for the free slots. Too small leaves the worker
   * waiting for other systems; too large makes handlers wait for each other while their leases run.
   */
  readonly concurrency?: number;
  /**
   * Lease asked for, 1,000 to 43,200,000 ms. Default: the queue's. It is renewed at a third of it, so it bounds
   * how long the tasks of a dead worker wait, not how long a handler may take.
   */
  readonly leaseMs?: number;
  /** Limit for one attempt. Default none. Then `signal` aborts with `timeout` and the attempt has failed. */
  readonly timeoutMs?: number;
  /** Label shown with the lease, at most 100 characters. Default `host:pid`. */
  readonly worker?: string;
  /**
   * How long `close()` waits for running handlers before it aborts them with `shutdown` and hands their tasks
   * back. Default 30,000 ms; 0 does so at once.
   */
  readonly drainMs?: number;
  /**
   * How much work may be claimed ahead, 0 to 1,000 ms of it, at most 100 tasks. Default 1. Only where handlers take
   * less than half a millisecond in the mean, and tasks have attempts to spare; who waits longer than 20 ms for its
   * turn is handed back. 0 claims for free slots alone.
   */
  readonly aheadMs?: number;
}

export interface WorkerSettings {
  readonly concurrency: number;
  readonly leaseMs?: number;
  readonly timeoutMs: number;
  readonly worker: string;
  readonly drainMs: number;
  readonly aheadMs: number;
  readonly queues: string[];
}

const OPTIONS = ["concurrency", "leaseMs", "timeoutMs", "worker", "drainMs", "aheadMs"];
const CONCURRENCY_MAX = 100_000;
const AHEAD_MS_MAX = 1_000;
/** The longest time that a timer of Node can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** @throws {InvalidRequestError} for what a worker cannot do. */
export function workerSettings(
  handlers: readonly TaskHandler[],
  options: WorkerOptions = {},
): WorkerSettings {
  refuseUnknown("A worker", options, OPTIONS);
  checkWhole("concurrency", options.concurrency, 1, CONCURRENCY_MAX);
  checkWhole("leaseMs", options.leaseMs, LIMITS.leaseMsMin, LIMITS.leaseMsMax);
  checkWhole("timeoutMs", options.timeoutMs, 1, TIMER_MS_MAX);
  checkWhole("drainMs", options.drainMs, 0, TIMER_MS_MAX);
  checkWhole("aheadMs", options.aheadMs, 0, AHEAD_MS_MAX);
  const worker = options.worker ?? `${hostname()}:${process.pid}`.slice(-LIMITS.workerLengthMax);
  if (typeof worker !== "string") {
    throw new InvalidRequestError(`Expected worker to be a text, got ${String(worker)}`, {
      details: { field: "worker", value: worker },
    });
  }
  checkWhole("the length of worker", worker.length, 0, LIMITS.workerLengthMax);
  return {
    concurrency: options.concurrency ?? 10,
    ...(options.leaseMs !== undefined && { leaseMs: options.leaseMs }),
    timeoutMs: options.timeoutMs ?? Number.POSITIVE_INFINITY,
    worker,
    drainMs: options.drainMs ?? 30_000,
    aheadMs: options.aheadMs ?? 1,
    queues: distinctQueues(handlers),
  };
}

function distinctQueues(handlers: readonly TaskHandler[]): string[] {
  for (const handler of handlers) checkHandler(handler);
  const queues = handlers.map(({ definition }) => definition.queue);
  if (queues.length === 0) throw new InvalidRequestError("A worker needs at least one handler, got none");
  if (queues.length > LIMITS.claimQueuesMax) {
    throw new InvalidRequestError(
      `A worker serves at most ${LIMITS.claimQueuesMax} queues, got ${queues.length}: start several workers`,
      { details: { field: "handlers", maximum: LIMITS.claimQueuesMax, value: queues.length } },
    );
  }
  const twice = queues.find((queue, index) => queues.indexOf(queue) !== index);
  if (twice !== undefined) throw new InvalidRequestError(`A worker has two handlers for the queue ${twice}`);
  return queues;
}

/** Refused at once: a worker that finds out with the first task turns a queue into dead letters. */
function checkHandler(handler: Partial<TaskHandler> | undefined): void {
  if (typeof handler?.definition?.queue !== "string") {
    throw new InvalidRequestError(
      "Expected each handler to be made by `definition.handler(…)`, got something without a definition",
      { details: { field: "handlers" } },
    );
  }
  const { handle, definition } = handler;
  if (typeof handle === "function" || handle instanceof URL) return;
  const hint =
    typeof handle === "string" ? `; a module is named by new URL("${handle}", import.meta.url)` : "";
  throw new InvalidRequestError(
    `Expected the handler of queue ${definition.queue} to be a function or a URL, got ${String(handle)}${hint}`,
    { details: { field: "handler", queue: definition.queue } },
  );
}

/** What no user needs to set, and tests of bad days make short. */
export interface WorkerTimings {
  /** How long a parked claim waits at the server before it is sent anew. */
  readonly waitMs: number;
  /** A claim that is not back so long after its `waitMs` is given up and sent anew. */
  readonly claimMarginMs: number;
  /** A settle that is not back after so long, or after a third of its shortest lease, is sent anew. */
  readonly settleMs: number;
  /** Wait before the next claim after failures. */
  readonly reconnect: BackoffPolicy;
  /** Wait before outcomes that could not be sent are sent again. */
  readonly resettle: BackoffPolicy;
  /** How long an aborted handler may take to end before its attempt is ended without it. */
  readonly graceMs: number;
  /** An aborted handler that still runs after so long is reported: its slot stays taken. */
  readonly stuckMs: number;
}

export const TIMINGS: WorkerTimings = {
  waitMs: 20_000,
  claimMarginMs: 15_000,
  settleMs: 15_000,
  reconnect: { type: "exponential", baseMs: 100, capMs: 10_000, jitter: "equal" },
  resettle: { type: "exponential", baseMs: 50, capMs: 2_000, jitter: "equal" },
  graceMs: 1_000,
  stuckMs: 10_000,
};
