import type { Clock } from "../clock.ts";
import type { Storage } from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { EpochMs } from "../task/task.ts";
import type { Calls } from "./calls.ts";
import type { Logger } from "./logger.ts";
import { Loop } from "./loop.ts";
import { Pace } from "./pace.ts";
import type { Promoter } from "./promoter.ts";
import type { Reaper } from "./reaper.ts";

/** How often the store is asked what comes due: the heir of a broker that died takes over within that. */
const LOOK_MS = 500;

export interface DueTimerOptions {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly promoter: Promoter;
  readonly reaper: Reaper;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Promotes and reaps in the moment when something comes due (I4).
 *
 * One timer for the next due time, which is known from what this broker accepted and leased, and from the
 * store itself at the start, after each work, and every 500 ms. A time that turns out too early (the task
 * was settled, the lease extended) costs one look.
 */
export class DueTimer {
  readonly #options: DueTimerOptions;
  readonly #loop: Loop;
  readonly #dueAt = new Map<QueueName, EpochMs>();
  #lookAt = 0;

  constructor(options: DueTimerOptions) {
    this.#options = options;
    this.#loop = new Loop({ name: "due", round: () => this.#round(), logger: options.logger });
  }

  get trouble(): string | undefined {
    return this.#loop.trouble;
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** Something in the queue comes due at `at`. */
  expect(queue: QueueName, at: EpochMs): void {
    const known = this.#dueAt.get(queue);
    if (known !== undefined && known <= at) return;
    this.#dueAt.set(queue, at);
    this.#loop.wake(Math.min(LOOK_MS, Math.max(0, at - this.#options.clock.now())));
  }

  /** Promotes and reaps all that is due by the clock now, also what only the store knows of. */
  async runOnce(): Promise<void> {
    const pace = new Pace();
    let moved: number;
    do {
      await this.#look();
      moved = await this.#work(this.#takeDue(), pace);
    } while (moved > 0);
  }

  async #round(): Promise<number> {
    const due = this.#takeDue();
    // What this round takes on, and does not finish, only the store still knows.
    if (due.length > 0) this.#lookAt = 0;
    await this.#work(due, new Pace());
    if (performance.now() >= this.#lookAt) await this.#look();
    return Math.min(this.#nextMs(), this.#lookAt - performance.now());
  }

  #takeDue(): QueueName[] {
    const now = this.#options.clock.now();
    const due = [...this.#dueAt].filter(([, at]) => at <= now).map(([queue]) => queue);
    for (const queue of due) this.#dueAt.delete(queue);
    return due;
  }

  /** A step for each queue in turn, so that one with a million due tasks does not hold up the others. */
  async #work(due: readonly QueueName[], pace: Pace): Promise<number> {
    let moved = 0;
    let queues = due;
    while (queues.length > 0) {
      const unfinished: QueueName[] = [];
      for (const queue of queues) {
        const promoted = await this.#options.promoter.runOnce(queue);
        const reaped = await this.#options.reaper.runOnce(queue);
        moved += promoted.latenessMs.length + reaped.reaped.length;
        if (promoted.more || reaped.more) unfinished.push(queue);
        await pace.rest();
        if (this.#loop.isStopped) return moved;
      }
      queues = unfinished;
    }
    return moved;
  }

  async #look(): Promise<void> {
    const { calls, storage } = this.#options;
    const due = await calls.run("nextDueAt", () => storage.nextDueAt(LIMITS.stepMax));
    this.#lookAt = performance.now() + LOOK_MS;
    for (const { queue, at } of due) this.expect(queue, at);
  }

  #nextMs(): number {
    const now = this.#options.clock.now();
    let nextMs = LOOK_MS;
    for (const at of this.#dueAt.values()) nextMs = Math.min(nextMs, at - now);
    return nextMs;
  }
}
