import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { aTask, completed, nacked, QUEUE, refused, released } from "../../src/storage/contract/builders.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import type { Settlement } from "../../src/storage/storage.ts";
import type { TaskId } from "../../src/task/ids.ts";
import { TASK_STATES } from "../../src/task/task.ts";
import { Random } from "../crash/random.ts";
import { freshPrefix, redisUrl } from "./servers/redis-url.ts";

const STEPS = 400;
const ID_LENGTH = 16;
/** What a seed finds, it finds again, but for what the clock has a part in. */
const SEED = Number(process.env["DIBS_FAULT_SEED"] ?? Date.now() % 1_000_000);

let storage: RedisStorage;
let client: Redis;
const prefix = freshPrefix();
const base = `${prefix}:{${QUEUE}}`;

beforeAll(async () => {
  const url = await redisUrl();
  client = new Redis(url);
  storage = await RedisStorage.open({ url, prefix });
});

afterAll(async () => {
  await storage.close();
  client.disconnect();
});

/** What the keys hold, counted; and what the queue's own counters say. */
async function counted(): Promise<{ held: object; said: object }> {
  const meta = await client.hgetall(`${base}:meta`);
  const number = (name: string) => Number(meta[name] ?? 0);
  const lines = await Promise.all([...Array(10).keys()].map((at) => client.llen(`${base}:ready:${at}`)));
  const sets = TASK_STATES.filter((state) => state !== "ready");
  const keyOf = (state: string) => `${base}:${state === "leased" ? "leases" : state}`;
  const sizes = await Promise.all(sets.map((state) => client.zcard(keyOf(state))));
  const tasks = await client.hgetall(`${base}:tasks`);
  const records = Object.keys(tasks).filter((field) => field.length === ID_LENGTH).length;
  const all = sets.reduce((sum, state) => sum + number(state), number("ready"));
  return {
    held: { lines: sumOf(lines), records, bytes: finishedBytes(tasks), ...pairs(sets, sizes) },
    said: {
      lines: number("ready") + number("tombs"),
      records: all,
      bytes: number("bytes"),
      ...pairs(sets, sets.map(number)),
    },
  };
}

/** Payloads and results of what is finished, as its states tell their lengths. */
function finishedBytes(tasks: Readonly<Record<string, string>>): number {
  const results = Object.entries(tasks).filter(
    ([field]) => field.length === ID_LENGTH + 1 && field.endsWith("r"),
  );
  const ended = Object.entries(tasks).filter(([, value]) => /^[CDX],\d,/.test(value));
  const payloads = ended.map(([, state]) => Number(/^.,\d,\d+,[^,]*,(\d+),/.exec(state)?.[1]));
  return sumOf(payloads) + sumOf(results.map(([, result]) => Buffer.byteLength(result)));
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}

function pairs(names: readonly string[], values: readonly number[]): object {
  return Object.fromEntries(names.map((name, at) => [name, values[at]]));
}

/** One thing after the other that workers, operators and loops do, by chance, on few tasks. */
class Life {
  readonly #random = new Random(SEED);
  readonly #ids: TaskId[] = [];

  async step(): Promise<void> {
    await this.#random.pick<() => Promise<unknown>>([
      [6, () => () => this.#enqueue()],
      [8, () => () => this.#work()],
      [5, () => () => storage.cancel(QUEUE, this.#some())],
      [2, () => () => storage.requeue(QUEUE, this.#some())],
      [1, () => () => storage.requeueDead(QUEUE, 3)],
      [1, () => () => storage.prune(QUEUE, 5)],
      [1, () => () => storage.forceRelease(QUEUE, this.#some())],
      [1, () => () => storage.promoteDue(QUEUE, 5)],
      [
        1,
        () => () =>
          storage.purge(QUEUE, this.#random.of(["ready", "scheduled", "completed", "dead", "cancelled"]), 3),
      ],
    ])();
  }

  #enqueue(): Promise<unknown> {
    const delay = this.#random.chance(0.2) ? { delayMs: this.#random.of([1, 60_000]) } : {};
    const made = Array.from({ length: 1 + this.#random.below(6) }, () =>
      aTask({ priority: this.#random.of([0, 0, 4, 9]), ...delay }),
    );
    this.#ids.push(...made.map(({ id }) => id));
    return storage.enqueue(QUEUE, made);
  }

  async #work(): Promise<void> {
    const { grants } = await storage.claim(QUEUE, [{ max: 1 + this.#random.below(5), bytesMax: 12 }]);
    const endings = (grants[0] ?? []).flatMap((task) =>
      this.#random.of<() => Settlement[]>([
        () => [completed(task, "1")],
        () => [nacked(task, { delayMs: this.#random.of([0, 1, 60_000]) })],
        () => [refused(task)],
        () => [released(task)],
        () => [],
      ])(),
    );
    await storage.settle(QUEUE, endings, this.#random.chance(0.5) ? [{ max: 2 }] : []);
  }

  #some(): TaskId[] {
    return this.#random.shuffled(this.#ids.slice(-30)).slice(0, 1 + this.#random.below(8));
  }
}

describe("the keys of a queue", () => {
  it("hold what its counters say, tombstones included, after every step", async () => {
    const life = new Life();
    for (let step = 1; step <= STEPS; step += 1) {
      await life.step();
      const { held, said } = await counted();
      expect(held, `step ${step}, seed ${SEED}`).toEqual(said);
    }

    await storage.purge(QUEUE, "ready", 500);
    while ((await storage.claim(QUEUE, [{ max: 1_000 }])).more);
    expect(await counted()).toMatchObject({ held: { lines: 0 }, said: { lines: 0 } });
  });
});
