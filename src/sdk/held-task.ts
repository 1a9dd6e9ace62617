import type { ClaimedTaskMessage } from "../protocol/messages.ts";
import { type AbortCode, AttemptAborted } from "./errors.ts";
import type { TaskHandler } from "./task-handler.ts";

/**
 * The claim as the engine sees it. `open`: leased, nothing sent. `settling`: an outcome waits or travels.
 * `ended`: settled or lost.
 */
export type ClaimStage = "open" | "settling" | "ended";

/** Part of the lease after which an unconfirmed one counts as lost: the rest is for clocks and the network. */
const TRUSTED_PART = 0.9;
/** Part of the lease after which it is renewed. */
const RENEWED_PART = 1 / 3;

/**
 * One task in the hands of a worker: its lease counted on the worker's own clock, its signal, its progress.
 * Two things end apart: the claim, and the handler, which may go on after its claim was lost. Instants are of
 * `performance.now()`: a wall clock that is moved must not end or stretch a lease.
 */
export class HeldTask {
  readonly task: ClaimedTaskMessage;
  readonly handler: TaskHandler;
  readonly receivedAt: number;
  stage: ClaimStage = "open";
  /** Its handler was called; before that there is no end of it that could get lost. */
  hasBegun = false;
  isRunning = false;
  /** A heartbeat for it is under way. */
  isBeating = false;
  /** From the start of its handler to its end, in milliseconds. */
  ranMs = 0;
  /** What its handler threw. */
  error: unknown;
  isReportedStuck = false;
  #startedAt = 0;
  #timeoutAt = Number.POSITIVE_INFINITY;
  #beatAt: number;
  #trustedUntil: number;
  #leaseEndsAt: number;
  #aborted: AttemptAborted | undefined;
  #abortedAt = Number.POSITIVE_INFINITY;
  #controller: AbortController | undefined;

  constructor(task: ClaimedTaskMessage, handler: TaskHandler, receivedAt: number) {
    this.task = task;
    this.handler = handler;
    this.receivedAt = receivedAt;
    const { ms } = task.lease;
    this.#beatAt = receivedAt + ms * RENEWED_PART;
    this.#trustedUntil = receivedAt + ms * TRUSTED_PART;
    this.#leaseEndsAt = receivedAt + ms;
  }

  /** Its handler starts, and may run so long. */
  start(now: number, timeoutMs: number): void {
    this.hasBegun = true;
    this.isRunning = true;
    this.#startedAt = now;
    this.#timeoutAt = now + timeoutMs;
  }

  /** Its handler has ended. */
  end(now: number): void {
    this.isRunning = false;
    this.ranMs = now - this.#startedAt;
  }

  /** When its attempt is over by the clock. */
  get timeoutAt(): number {
    return this.#timeoutAt;
  }

  /** When the next heartbeat is due. */
  get beatAt(): number {
    return this.#beatAt;
  }

  /** After this the lease counts as lost unless it was renewed. */
  get trustedUntil(): number {
    return this.#trustedUntil;
  }

  /** After this the engine surely refuses what is sent. */
  get leaseEndsAt(): number {
    return this.#leaseEndsAt;
  }

  get abortedAt(): number {
    return this.#abortedAt;
  }

  get aborted(): AttemptAborted | undefined {
    return this.#aborted;
  }

  /** Made when it is asked for: most handlers are short and never look. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  /** The engine renewed the lease to `ms` from when the heartbeat was sent. */
  renewed(sentAt: number, ms: number): void {
    this.#beatAt = sentAt + ms * RENEWED_PART;
    this.#trustedUntil = sentAt + ms * TRUSTED_PART;
    this.#leaseEndsAt = sentAt + ms;
  }

  /** The heartbeat failed: the next one is due at `at`. */
  beatAgainAt(at: number): void {
    this.#beatAt = at;
  }

  /** Aborts the signal, once; the first reason stays. */
  abort(code: AbortCode, message: string, now: number): AttemptAborted {
    if (this.#aborted === undefined) {
      this.#aborted = new AttemptAborted(code, message);
      this.#abortedAt = now;
      this.#controller?.abort(this.#aborted);
    }
    return this.#aborted;
  }
}
