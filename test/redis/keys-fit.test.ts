import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  aTask,
  completed,
  nacked,
  QUEUE,
  refused,
  released,
  tasks,
} from "../../src/storage/contract/builders.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { OffsetClock } from "../../src/storage/redis/server-clock.ts";
import type { Settlement } from "../../src/storage/storage.ts";
import type { TaskId } from "../../src/task/ids.ts";
import { type ClaimedTask, TASK_STATES, type TaskState } from "../../src/task/task.ts";
import { Random } from "../crash/random.ts";
import { freshPrefix, redisUrl } from "./servers/redis-url.ts";

const STEPS = 400;
const ID_LENGTH = 16;
/** What a seed finds, it finds again, but for what the clock has a part in. */
const SEED = Number(process.env["DIBS_FAULT_SEED"] ?? Date.now() % 1_000_000);

const DAY_MS = 24 * 3_600_000;

let storage: RedisStorage;
let client: Redis;
const clockOffset = new OffsetClock();
const prefix = freshPrefix();
const base = `${prefix}:{${QUEUE}}`;

beforeAll(async () => {
  const url = await redisUrl();
  client = new Redis(url);
  storage = await RedisStorage.open({ url, prefix, clockOffset });
});

afterAll(async () => {
  await storage.close();
  client.disconnect();
});

/** What the keys hold, counted; and what the tasks themselves and the queue's own numbers say. */
async function counted(): Promise<{ held: object; said: object }> {
  const meta = await client.hgetall(`${base}:meta`);
  const number = (name: string) => Number(meta[name] ?? 0);
  const lines = await Promise.all([...Array(10).keys()].map((at) => client.llen(`${base}:ready:${at}`)));
  const sets = TASK_STATES.filter((state) => state !== "ready");
  const keyOf = (state: string) => `${base}:${state === "leased" ? "leases" : state}`;
  const sizes = await Promise.all(sets.map((state) => client.zcard(keyOf(state))));
  const stored = await client.hgetall(`${base}:tasks`);
  const ordered = sets
    .filter((state) => state !== "leased")
    .map((state) => client.zrange(keyOf(state), 0, "-1"));
  const places = (await Promise.all(ordered)).flat().map((member) => Number(member.slice(0, -ID_LENGTH)));
  const states = statesIn(stored);
  const many = (state: TaskState) => states.filter((each) => each === state).length;
  return {
    held: {
      lines: sumOf(lines),
      bytes: finishedBytes(stored),
      places: new Set(places).size,
      isNextPlaceFree: Math.max(0, ...places) <= number("order"),
      ...pairs(sets, sizes),
    },
    said: {
      places: places.length,
      isNextPlaceFree: true,
      lines: many("ready") + number("tombs"),
      bytes: number("bytes"),
      ...pairs(sets, sets.map(many)),
    },
  };
}

/** The state of each task, as its own field says; ready without one. */
function statesIn(tasks: Readonly<Record<string, string>>): TaskState[] {
  const ids = Object.keys(tasks).filter((field) => field.length === ID_LENGTH);
  return ids.map((id) => TASK_STATES["SRLCDX".indexOf((tasks[`${id}s`] ?? "R").charAt(0))] as TaskState);
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
  it("hold what its tasks and its own numbers say, tombstones included, after every step", async () => {
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

  it("give each of several tasks that end one by one a place of its own", async () => {
    await storage.enqueue(QUEUE, tasks(3));
    for (let n = 0; n < 3; n += 1) {
      const { grants } = await storage.claim(QUEUE, [{ max: 1 }]);
      await storage.settle(QUEUE, [completed(grants[0]?.[0] as ClaimedTask, "1")]);
    }

    const { held, said } = await counted();
    expect(held).toEqual(said);
  });

  it("keep a cancelled task when the ready ones around it are purged", async () => {
    const made = tasks(3);
    await storage.enqueue(QUEUE, made);
    await storage.cancel(
      QUEUE,
      made.slice(0, 1).map(({ id }) => id),
    );

    await storage.purge(QUEUE, "ready", 500);

    const { held, said } = await counted();
    expect(held).toEqual(said);
    expect(held).toMatchObject({ lines: 0 });
  });

  it("hold no tombstone of a queue that nobody claims from, once it was pruned", async () => {
    const made = tasks(5);
    await storage.enqueue(QUEUE, made);
    await storage.cancel(
      QUEUE,
      made.slice(0, 4).map(({ id }) => id),
    );
    expect(await client.llen(`${base}:ready:0`)).toBe(5);

    await storage.prune(QUEUE, 500);

    expect(await client.llen(`${base}:ready:0`)).toBe(1);
    const { held, said } = await counted();
    expect(held).toEqual(said);
  });

  it("hold no idempotency key beyond its day, once they were pruned", async () => {
    await storage.enqueue(QUEUE, [aTask({ idempotencyKey: "a" }), aTask({ idempotencyKey: "b" })]);
    clockOffset.advance(DAY_MS / 2);
    await storage.enqueue(QUEUE, [aTask({ idempotencyKey: "c" })]);
    clockOffset.advance(DAY_MS / 2 + 1);

    await storage.prune(QUEUE, 500);

    expect(await client.hkeys(`${base}:keys`)).toEqual(["c"]);
    expect(await client.llen(`${base}:keyorder`)).toBe(1);
  });
});
