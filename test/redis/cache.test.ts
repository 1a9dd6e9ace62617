import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { Broker } from "../../src/broker/broker.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import type { QueueName, TaskId } from "../../src/task/ids.ts";
import { Random } from "../crash/random.ts";
import { freshPrefix, redisUrl } from "./servers/redis-url.ts";

/* Longer with DIBS_TEST_CACHE_SECONDS; the chances come again with DIBS_TEST_CACHE_SEED. */
const { DIBS_TEST_CACHE_SECONDS, DIBS_TEST_CACHE_SEED } = process.env;
const SECONDS = Number(DIBS_TEST_CACHE_SECONDS ?? 3);
const SEED = Number(DIBS_TEST_CACHE_SEED ?? (Date.now() ^ process.pid) >>> 0);

const QUEUE = "emails" as QueueName;
const TTL_MS = 200;

/** Brokers on one store, each with a connection and a cache of its own, as two processes would have them. */
async function twoBrokers(ttlMs: number): Promise<[Broker, Broker]> {
  const options = { url: await redisUrl(), prefix: freshPrefix() };
  const open = async () => {
    const broker = await Broker.open(await RedisStorage.open(options), { cache: { mode: "on", ttlMs } });
    onTestFinished(() => broker.close());
    return broker;
  };
  return [await open(), await open()];
}

async function cacheOf(broker: Broker): Promise<Readonly<Record<string, number>>> {
  const text = await broker.metrics.render();
  const lines = [...text.matchAll(/^dibs_cache_(\w+) (.+)$/gm)];
  return Object.fromEntries(lines.map(([, name, value]) => [name, Number(value)]));
}

describe("two brokers with a cache on one store", () => {
  it("each see their own writes at once", async () => {
    const [here, there] = await twoBrokers(60_000);
    const { task } = await here.enqueue({ queue: QUEUE, payload: "{}" });
    for (const broker of [here, there]) await broker.get(task.id);

    await there.cancel(task.id);
    expect(await there.get(task.id)).toMatchObject({ state: "cancelled" });
    expect(await here.get(task.id)).toMatchObject({ state: "ready" });
    await here.requeue(task.id);

    expect(await here.get(task.id)).toMatchObject({ state: "ready" });
    expect(await there.get(task.id)).toMatchObject({ state: "cancelled" });
  });

  it("hear of the end that they wait for, whatever they have kept, and do not forget it", async () => {
    const [here, there] = await twoBrokers(60_000);
    const { task } = await here.enqueue({ queue: QUEUE, payload: "{}" });
    await here.get(task.id);
    const waiting = here.result(task.id, 30_000);

    const [claimed] = await there.claim({ queues: [QUEUE], max: 1, waitMs: 10_000 });
    await there.settleOne({ outcome: "complete", id: task.id, token: claimed!.lease.token, result: "42" });

    expect(await waiting).toMatchObject({ state: "completed", result: "42" });
    expect(await here.get(task.id)).toMatchObject({ state: "completed", result: "42" });
  });

  it(`see each other's writes within the time to live, and their own at once, under load (DIBS_TEST_CACHE_SEED=${SEED})`, async () => {
    const brokers = await twoBrokers(TTL_MS);
    const race = new Race(new Random(SEED));

    await Promise.all(
      brokers.flatMap((broker) => [race.write(broker), race.read(broker), race.read(broker)]),
    );

    expect(race.faults).toEqual([]);
    expect(race.written).toBeGreaterThan(50);
    for (const broker of brokers) expect((await cacheOf(broker))["hits_total"]).toBeGreaterThan(race.written);
    // Otherwise there was nothing to bound.
    expect(race.behind).toBeGreaterThan(0);
  });
});

/**
 * Writers that claim tasks and give them up at once, and readers that look at them. `attempt` only grows, so every
 * read can be held against what was answered before it began: here at any time, elsewhere longer than the TTL ago.
 */
class Race {
  readonly faults: string[] = [];
  written = 0;
  /** Reads that did not see yet what was answered to another broker. */
  behind = 0;
  readonly #random: Random;
  readonly #until = performance.now() + SECONDS * 1_000;
  readonly #ids: TaskId[] = [];
  /** What was answered: the attempt, by which broker and when; in order. */
  readonly #answered = new Map<TaskId, { attempt: number; broker: Broker; at: number }[]>();

  constructor(random: Random) {
    this.#random = random;
  }

  async write(broker: Broker): Promise<void> {
    while (performance.now() < this.#until) {
      const { task } = await broker.enqueue({ queue: QUEUE, payload: "{}", maxAttempts: 100 });
      this.#answered.set(task.id, []);
      this.#ids.push(task.id);
      for (let n = 0; n < 30 && performance.now() < this.#until; n += 1) await this.#attempt(broker);
    }
  }

  async #attempt(broker: Broker): Promise<void> {
    const [claimed] = await broker.claim({ queues: [QUEUE], max: 1, waitMs: 0 });
    if (claimed === undefined) return;
    const { id, attempt, lease } = claimed;
    this.#answered.get(id)?.push({ attempt, broker, at: performance.now() });
    this.written += 1;
    await pause(this.#random.below(20));
    await broker.settleOne({ outcome: "nack", id, token: lease.token, delayMs: 0 });
  }

  async read(broker: Broker): Promise<void> {
    while (performance.now() < this.#until) {
      await nextTurn();
      const { length } = this.#ids;
      // The youngest, most often: they change.
      if (length > 0)
        await this.#look(broker, this.#ids[length - 1 - this.#random.below(Math.min(length, 4))]!);
    }
  }

  async #look(broker: Broker, id: TaskId): Promise<void> {
    const beganAt = performance.now();
    const known = this.#answered.get(id) ?? [];
    const own = known.findLast((each) => each.broker === broker)?.attempt ?? 0;
    const old = known.findLast((each) => each.at + TTL_MS <= beganAt)?.attempt ?? 0;
    const last = known.at(-1)?.attempt ?? 0;
    const { attempt } = await broker.get(id);
    if (attempt < own) this.faults.push(`${id}: own attempt ${own}, read ${attempt}`);
    if (attempt < old) this.faults.push(`${id}: attempt ${old} was longer ago than the TTL, read ${attempt}`);
    if (attempt < last) this.behind += 1;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
