import type { Clock } from "../clock.ts";
import type { Storage } from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { EpochMs } from "../task/task.ts";
import type { Calls } from "./calls.ts";
import { FirstFailure } from "./first-failure.ts";
import type { Logger } from "./logger.ts";
import { Loop } from "./loop.ts";
import { Pace } from "./pace.ts";
import type { Promoter } from "./promoter.ts";
import type { Reaper } from "./reaper.ts";

/**
 * How often the store is asked what comes due. So a broker knows the end of a lease of two seconds or more before
 * it comes, whoever granted it; of what comes due sooner, by another process, the engine tells. A message that
 * is lost costs as much, and only when the process that should act on it is gone too. More often would be most
 * of what an idle system sends.
 */
const LOOK_MS = 1_900;
/** When nothing could be moved of what seemed due: another broker was first, or this clock is a little early. */
const AGAIN_MS = 10;

export interface DueTimerOptions {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly promoter: Promoter;
  readonly reaper: Reaper;
  readonly logger: Logger;
}

/**
 * Promotes and reaps in the moment when something comes due (I4).
 *
 * One timer for the next due time, which is known from what this broker accepted and leased, and from the
 * store itself. When it comes the store is looked at first: a task that was settled, or moved by another
 * broker on the same store, costs that look and no more.
 */
export class DueTimer {
  readonly #options: DueTimerOptions;
  readonly #clock: Clock;
  readonly #loop: Loop;
  readonly #dueAt = new Map<QueueName, EpochMs>();
  /** What was expected since each look that is under way began, and may be missing in its reply. */
  readonly #sinceLooks = new Set<Map<QueueName, EpochMs>>();

  constructor(options: DueTimerOptions) {
    this.#options = options;
    this.#clock = options.storage.clock;
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
    if (this.#sinceLooks.size > 0) for (const since of this.#sinceLooks) noteEarliest(since, queue, at);
    if (noteEarliest(this.#dueAt, queue, at)) this.#loop.wake(Math.min(LOOK_MS, this.#msUntil(at)));
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
    await this.#look();
    const due = this.#takeDue();
    if (due.length === 0) return this.#nextMs();
    const moved = await this.#work(due, new Pace());
    return moved > 0 ? 0 : AGAIN_MS;
  }

  #takeDue(): QueueName[] {
    const now = this.#clock.now();
    const due = [...this.#dueAt].filter(([, at]) => at <= now).map(([queue]) => queue);
    for (const queue of due) this.#dueAt.delete(queue);
    return due;
  }

  /** A step for each queue in turn, so that one with a million due tasks does not hold up the others. */
  async #work(due: readonly QueueName[], pace: Pace): Promise<number> {
    const failures = new FirstFailure();
    let moved = 0;
    let queues = due;
    while (queues.length > 0) {
      const unfinished: QueueName[] = [];
      for (const queue of queues) {
        await failures.attempt(async () => {
          const promoted = await this.#options.promoter.runOnce(queue);
          const reaped = await this.#options.reaper.runOnce(queue);
          moved += promoted.latenessMs.length + reaped.reaped.length;
          if (promoted.more || reaped.more) unfinished.push(queue);
        });
        await pace.rest();
        if (this.#loop.isStopped) return moved;
      }
      queues = unfinished;
    }
    failures.throwIfAny();
    return moved;
  }

  /** What the store says takes the place of what was known: most lease ends are settled before they come. */
  async #look(): Promise<void> {
    const { calls, storage } = this.#options;
    const since = new Map<QueueName, EpochMs>();
    this.#sinceLooks.add(since);
    try {
      const due = await calls.run("nextDueAt", () => storage.nextDueAt(LIMITS.stepMax));
      if (due.length < LIMITS.stepMax) this.#dueAt.clear();
      for (const { queue, at } of due) this.#dueAt.set(queue, at);
      for (const [queue, at] of since) noteEarliest(this.#dueAt, queue, at);
    } finally {
      this.#sinceLooks.delete(since);
    }
  }

  #nextMs(): number {
    let nextMs = LOOK_MS;
    for (const at of this.#dueAt.values()) nextMs = Math.min(nextMs, this.#msUntil(at));
    return nextMs;
  }

  #msUntil(at: EpochMs): number {
    return Math.max(0, at - this.#clock.now());
  }
}

/** Notes a due time when it is the earliest known of its queue; false when it is not. */
function noteEarliest(dueAt: Map<QueueName, EpochMs>, queue: QueueName, at: EpochMs): boolean {
  const known = dueAt.get(queue);
  if (known !== undefined && known <= at) return false;
  dueAt.set(queue, at);
  return true;
}
