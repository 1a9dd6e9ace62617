import { setMaxListeners } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import type { ClaimedTaskMessage } from "../../protocol/messages.ts";
import { LIMITS } from "../../task/limits.ts";
import { nowNs } from "../nano-clock.ts";
import { LEASE_MS } from "./bench-queue.ts";
import { completionOf } from "./held-tasks.ts";
import type { IsOver } from "./stopwatch.ts";
import type { BenchTurn } from "./workload.ts";

/** Between two wakes, so that whoever was woken waits again, as an idle worker does. */
const REST_MS = 5;

/**
 * How soon an idle worker has its task: `concurrency` claims wait at an empty queue, one task is enqueued, and timed
 * is from the beginning of the enqueue to the answer of the claim that it woke.
 */
export async function wakeWorkload(turn: BenchTurn): Promise<void> {
  const { place, connection, settings, stopwatch } = turn;
  const enqueuer = settings.across ? await place.another() : connection;
  await stopwatch.time(async (isOver) => {
    const sleepers = new Sleepers(turn);
    try {
      await wakeOneByOne({ ...turn, connection: enqueuer }, sleepers, isOver);
    } finally {
      await sleepers.end();
    }
  });
}

async function wakeOneByOne(turn: BenchTurn, sleepers: Sleepers, isOver: IsOver): Promise<void> {
  const { connection, queue, settings, tally } = turn;
  while (!isOver()) {
    await wait(REST_MS);
    const woken = sleepers.next();
    const startedAt = nowNs();
    try {
      const { id } = await connection.enqueue(queue.nextItem());
      tally.took("enqueue", nowNs() - startedAt, 0);
      queue.enqueued(id);
      const wokenAt = await withinMs(woken, settings.timeoutMs);
      tally.took("wake", wokenAt - startedAt, 1);
    } catch (error) {
      await tally.failed(error, startedAt);
    }
  }
}

/** Claims that wait, each again as soon as it has completed what it was woken for. */
class Sleepers {
  readonly #turn: BenchTurn;
  readonly #end = new AbortController();
  readonly #loops: Promise<unknown>;
  #woken: ((at: number) => void) | undefined;
  #failed: ((error: unknown) => void) | undefined;

  constructor(turn: BenchTurn) {
    this.#turn = turn;
    // Each of them listens to it.
    setMaxListeners(turn.settings.concurrency + 1, this.#end.signal);
    this.#loops = Promise.all(Array.from({ length: turn.settings.concurrency }, () => this.#loop()));
  }

  /** When the next of them has a task. */
  next(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#woken = resolve;
      this.#failed = reject;
    });
  }

  async end(): Promise<void> {
    this.#end.abort();
    await this.#loops;
  }

  async #loop(): Promise<void> {
    const { connection, queue, tally } = this.#turn;
    while (!this.#end.signal.aborted) {
      const startedAt = nowNs();
      try {
        const tasks = await this.#claim();
        if (tasks.length === 0) continue;
        this.#woken?.(nowNs());
        queue.claimed(tasks);
        const { results } = await connection.settle(tasks.map(completionOf));
        const failed = queue.allCompleted(results);
        if (failed !== undefined) throw new Error(failed);
      } catch (error) {
        if (this.#end.signal.aborted) return;
        await tally.failed(error, startedAt).catch((given) => this.#failed?.(given));
      }
    }
  }

  #claim(): Promise<ClaimedTaskMessage[]> {
    const { connection, queue } = this.#turn;
    const body = { queues: [queue.name], max: 1, waitMs: LIMITS.waitMsMax, leaseMs: LEASE_MS };
    return connection.claim(body, this.#end.signal);
  }
}

async function withinMs<T>(promise: Promise<T>, ms: number): Promise<T> {
  const given = new AbortController();
  try {
    const late = wait(ms, undefined, { signal: given.signal }).then(() => {
      throw new Error(`Nobody was woken within ${ms} ms`);
    });
    late.catch(() => {});
    return await Promise.race([promise, late]);
  } finally {
    given.abort();
  }
}
