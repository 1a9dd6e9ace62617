import type { Storage } from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { Calls } from "./calls.ts";
import { FirstFailure } from "./first-failure.ts";
import type { Logger } from "./logger.ts";
import { Loop } from "./loop.ts";
import { Pace } from "./pace.ts";

/** A queue is pruned a second after a task of it finished, or at once after so many did. */
const PRUNE_AFTER = LIMITS.stepMax;
const PRUNE_AFTER_MS = 1_000;
/**
 * All queues are looked at in turn, each once in about so long: age alone removes tasks too. Not more often,
 * because an idle store is left in peace.
 */
const TOUR_MS = 60_000;
/** Of many queues so many a second, though the tour then takes longer. */
const TOUR_SHARE_MAX = 50;

export interface PrunerOptions {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly logger: Logger;
}

/**
 * Removes what retention no longer keeps, as fast as tasks finish: memory and disk stop growing under
 * endless load.
 */
export class Pruner {
  readonly #options: PrunerOptions;
  readonly #loop: Loop;
  /** Queues with tasks that finished since they were pruned last, and how many. */
  readonly #finished = new Map<QueueName, number>();
  #tour: QueueName[] = [];
  #tourBeganAt = Number.NEGATIVE_INFINITY;
  #tourLength = 0;

  constructor(options: PrunerOptions) {
    this.#options = options;
    this.#loop = new Loop({ name: "prune", round: () => this.#round(), logger: options.logger });
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

  noteFinished(queue: QueueName, count: number): void {
    const before = this.#finished.get(queue) ?? 0;
    this.#finished.set(queue, before + count);
    if (before < PRUNE_AFTER && before + count >= PRUNE_AFTER) this.#loop.wake(0);
  }

  /** Sees to a queue soon, whatever finished: its retention changed. */
  hurry(queue: QueueName): void {
    this.noteFinished(queue, PRUNE_AFTER);
  }

  /** Prunes all queues until nothing is left to prune; answers how many tasks went. */
  async runOnce(): Promise<number> {
    const { calls, storage } = this.#options;
    const pace = new Pace();
    let pruned = 0;
    for (const queue of await calls.run("queues", () => storage.queues())) {
      pruned += await this.#prune(queue, pace);
    }
    return pruned;
  }

  async #round(): Promise<number> {
    const pace = new Pace();
    const failures = new FirstFailure();
    for (const queue of [...this.#finished.keys(), ...(await this.#nextOfTour())]) {
      await failures.attempt(() => this.#pruneNoted(queue, pace));
      if (this.#loop.isStopped) break;
    }
    failures.throwIfAny();
    return PRUNE_AFTER_MS;
  }

  async #pruneNoted(queue: QueueName, pace: Pace): Promise<void> {
    const count = this.#finished.get(queue);
    this.#finished.delete(queue);
    try {
      await this.#prune(queue, pace);
    } catch (error) {
      if (count !== undefined) this.noteFinished(queue, count);
      throw error;
    }
  }

  async #prune(queue: QueueName, pace: Pace): Promise<number> {
    const { calls, storage } = this.#options;
    let pruned = 0;
    for (let more = true; more && !this.#loop.isStopped; ) {
      const reply = await calls.run("prune", () => storage.prune(queue, LIMITS.stepMax));
      pruned += reply.pruned;
      more = reply.more;
      await pace.rest();
    }
    return pruned;
  }

  /** The share of the tour that falls on one round, so that many queues are not pruned all at once. */
  async #nextOfTour(): Promise<readonly QueueName[]> {
    const { calls, storage } = this.#options;
    const now = performance.now();
    if (this.#tour.length === 0 && now - this.#tourBeganAt >= TOUR_MS) {
      this.#tourBeganAt = now;
      this.#tour = await calls.run("queues", () => storage.queues());
      this.#tourLength = this.#tour.length;
    }
    const share = Math.ceil((this.#tourLength * PRUNE_AFTER_MS) / TOUR_MS);
    return this.#tour.splice(0, Math.min(share, TOUR_SHARE_MAX));
  }
}
