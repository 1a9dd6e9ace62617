import type { ClaimBody, ClaimedTaskMessage } from "../protocol/messages.ts";
import { backoffMs } from "../task/backoff.ts";
import { LIMITS } from "../task/limits.ts";
import type { Connection } from "./connection.ts";
import { withDeadline } from "./deadline.ts";
import type { Slots } from "./slots.ts";
import type { WorkerTimings } from "./worker-options.ts";

export interface ClaimerActions {
  /** Tasks of a claim; none when the queues had none. */
  claimed(tasks: readonly ClaimedTaskMessage[]): void;
  /** What a claim brings that was given up: it must be handed back. */
  late(tasks: readonly ClaimedTaskMessage[]): void;
  failed(error: Error, failures: number, againInMs: number): void;
  recovered(awayMs: number, failures: number): void;
}

/**
 * Keeps one claim waiting at the server while a handler has nothing to do: at most one, for all free slots. When it brings
 * tasks, and whenever a slot becomes free without a claim of its own, it asks anew; there is no timer
 * between a task that ends and the next one.
 *
 * It never stops by itself. A claim that fails is made again after a growing pause, for ever; one that does not
 * come back is given up and made again, because a connection can die without a word.
 */
export class Claimer {
  readonly #connection: Connection;
  readonly #claim: ClaimBody;
  readonly #slots: Slots;
  readonly #timings: WorkerTimings;
  readonly #actions: ClaimerActions;
  readonly #stopping = new AbortController();
  #parked: Promise<void> | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  #failingSince = 0;
  /** Empty answers that came before their time. */
  #early = 0;
  /** The first claim, and the first after a failure, do not wait: they tell at once how things are. */
  #isProbing = true;

  constructor(
    connection: Connection,
    claim: ClaimBody,
    slots: Slots,
    timings: WorkerTimings,
    actions: ClaimerActions,
  ) {
    this.#connection = connection;
    this.#claim = claim;
    this.#slots = slots;
    this.#timings = timings;
    this.#actions = actions;
  }

  /** Claims for the free slots, unless a claim is under way already. */
  pump(): void {
    if (this.#parked !== undefined || this.#pause !== undefined || this.#stopping.signal.aborted) return;
    const asked = this.#slots.promise();
    if (asked > 0) this.#parked = this.#claimFor(asked);
  }

  /** Withdraws the waiting claim. What it brings in this instant still comes through `claimed`. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("The worker closes"));
    clearTimeout(this.#pause);
    this.#pause = undefined;
    await this.#parked;
  }

  async #claimFor(asked: number): Promise<void> {
    const waitMs = this.#isProbing ? 0 : this.#timings.waitMs;
    const startedAt = performance.now();
    let tasks: readonly ClaimedTaskMessage[] = [];
    try {
      tasks = await withDeadline(
        (signal) => this.#connection.claim({ ...this.#claim, max: asked, waitMs }, signal()),
        {
          ms: waitMs + this.#timings.claimMarginMs,
          what: "A claim",
          signal: this.#stopping.signal,
          late: this.#actions.late,
        },
      );
      this.#succeeded(tasks.length, performance.now() - startedAt, waitMs);
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#failed(error as Error);
    }
    this.#parked = undefined;
    this.#slots.takeBack(asked);
    if (this.#failures === 0 || tasks.length > 0) this.#actions.claimed(tasks);
    this.pump();
  }

  #succeeded(count: number, tookMs: number, waitMs: number): void {
    this.#isProbing = false;
    if (this.#failures > 0) {
      this.#actions.recovered(Math.round(performance.now() - this.#failingSince), this.#failures);
      this.#failures = 0;
    }
    // A server that drains answers its waiting claims at once: without a pause this would be a busy loop.
    if (count > 0 || tookMs >= waitMs / 2) this.#early = 0;
    else {
      this.#early += 1;
      this.#restFor(this.#backoffMs(this.#early));
    }
  }

  #failed(error: Error): void {
    if (this.#failures === 0) this.#failingSince = performance.now();
    this.#failures += 1;
    this.#isProbing = true;
    const againInMs = this.#backoffMs(this.#failures);
    this.#restFor(againInMs);
    this.#actions.failed(error, this.#failures, againInMs);
  }

  #backoffMs(attempt: number): number {
    return backoffMs(Math.min(attempt, LIMITS.maxAttemptsMax), this.#timings.reconnect, Math.random());
  }

  /** The timer keeps the process alive: a worker that waits for its server has not ended. */
  #restFor(ms: number): void {
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.pump();
    }, ms);
  }
}
