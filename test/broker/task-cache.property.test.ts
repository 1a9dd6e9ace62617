import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, it } from "vitest";
import { Broker } from "../../src/broker/broker.ts";
import { ManualClock } from "../../src/clock.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { DibsError, TaskNotFoundError } from "../../src/task/errors.ts";
import type { QueueName, TaskId } from "../../src/task/ids.ts";
import type { ClaimedTask } from "../../src/task/task.ts";
import { Random } from "../crash/random.ts";
import { DelayedStorage, looks } from "./delayed-storage.ts";

/* Longer with DIBS_TEST_CACHE_RUNS; a failure names the seed of its run, which DIBS_TEST_CACHE_SEED plays again. */
const { DIBS_TEST_CACHE_RUNS, DIBS_TEST_CACHE_SEED } = process.env;
const RUNS = DIBS_TEST_CACHE_SEED === undefined ? Number(DIBS_TEST_CACHE_RUNS ?? 60) : 1;
const SEED = Number(DIBS_TEST_CACHE_SEED ?? (Date.now() ^ process.pid) >>> 0);

const QUEUE = "emails" as QueueName;
const TASKS = 5;
const WRITERS = 3;
const READERS = 4;
const STEPS = 40;
const LEASE_MS = 1_000;

/** Writers, readers and what passes by itself, all at once, on a broker whose store is some turns away. */
class Scene {
  readonly broker: Broker;
  readonly #far: DelayedStorage;
  readonly #clock: ManualClock;
  readonly #random: Random;
  readonly #held: ClaimedTask[] = [];
  /** Reads, and how they were answered. */
  readonly stale: string[] = [];
  reads = 0;

  constructor(broker: Broker, far: DelayedStorage, clock: ManualClock, random: Random) {
    this.broker = broker;
    this.#far = far;
    this.#clock = clock;
    this.#random = random;
  }

  async play(): Promise<void> {
    for (let n = 0; n < TASKS; n += 1) await this.#enqueue();
    await Promise.all([
      ...Array.from({ length: WRITERS }, () => this.#steps(() => this.#write())),
      ...Array.from({ length: READERS }, () => this.#steps(() => this.#read())),
    ]);
  }

  async #steps(step: () => Promise<unknown>): Promise<void> {
    for (let n = 0; n < STEPS; n += 1) {
      for (let turns = this.#random.below(3); turns > 0; turns -= 1) await nextTurn();
      await step();
    }
  }

  async #read(): Promise<void> {
    const id = this.#any();
    // What was answered in this turn has been heard by all in the next one.
    await nextTurn();
    const known = this.#far.answered(id);
    const seen = looks(await this.broker.get(id).catch(notFound));
    this.reads += 1;
    const right = this.#far.looksSince(known, id);
    if (!right.includes(seen)) this.stale.push(`${seen} was answered, right was\n${right.join("\n")}`);
  }

  async #write(): Promise<void> {
    const writes = [
      () => this.#enqueue(),
      () => this.#claim(),
      () => this.#claim(),
      () => this.#settle(),
      () => this.#settle(),
      () => this.#settle(),
      () => this.#heartbeat(),
      () => this.broker.cancel(this.#any()),
      () => this.broker.requeue(this.#any()),
      () => this.broker.forceRelease(this.#any()),
      () => this.broker.requeueDead(QUEUE, 10),
      () => this.broker.purge(QUEUE, this.#random.of(["completed", "dead", "cancelled", "scheduled"])),
      () => this.#pass(this.#random.of([50, LEASE_MS])),
      () => this.#pass(20_000),
    ];
    await this.#random
      .of(writes)()
      .catch((error: unknown) => {
        // Too late, or in another state by now: the next write will be another one.
        if (!(error instanceof DibsError) || error.code === "storage_unavailable") throw error;
      });
  }

  async #enqueue(): Promise<void> {
    const { task } = await this.broker.enqueue({
      queue: QUEUE,
      payload: "{}",
      delayMs: this.#random.of([0, 0, 50]),
      maxAttempts: this.#random.of([1, 2]),
    });
    this.#far.ids.push(task.id);
  }

  async #claim(): Promise<void> {
    const ask = { queues: [QUEUE], max: this.#random.of([1, 2]), waitMs: 0, leaseMs: LEASE_MS };
    this.#held.push(...(await this.broker.claim(ask)));
  }

  async #settle(): Promise<void> {
    const held = this.#held.splice(this.#random.below(this.#held.length + 1), 1);
    for (const { id, lease } of held) {
      const token = lease.token;
      await this.#random.of([
        () => this.broker.settleOne({ outcome: "complete", id, token, result: "42" }),
        () => this.broker.settleOne({ outcome: "nack", id, token, delayMs: 0 }),
        () => this.broker.settle([{ outcome: "nack", id, token, delayMs: 50 }]),
        () => this.broker.settle([{ outcome: "release", id, token }], { queues: [QUEUE], max: 1, waitMs: 0 }),
      ])();
    }
  }

  async #heartbeat(): Promise<void> {
    const held = this.#random.of(this.#held);
    if (held !== undefined) await this.broker.heartbeat([{ id: held.id, token: held.lease.token }]);
  }

  async #pass(ms: number): Promise<void> {
    this.#clock.advance(ms);
    await this.broker.runDue();
    await this.broker.prune();
  }

  #any(): TaskId {
    // The youngest, most often: those are still there.
    const { ids } = this.#far;
    return ids[Math.max(0, ids.length - 1 - this.#random.below(TASKS))] as TaskId;
  }
}

function notFound(error: unknown): undefined {
  if (!(error instanceof TaskNotFoundError)) throw error;
}

async function play(seed: number): Promise<{ scene: Scene; metrics: string }> {
  const random = new Random(seed);
  const clock = new ManualClock();
  const far = new DelayedStorage(await EmbeddedStorage.open({ clock }), QUEUE, random);
  const broker = await Broker.open(far.storage, {
    random: () => random.next(),
    callsInFlight: 2,
    cache: { mode: "on", ttlMs: 3_600_000 },
  });
  await broker.configure(QUEUE, { retention: { completedMs: 15_000, deadMs: 15_000 } });
  const scene = new Scene(broker, far, clock, random);
  try {
    await scene.play();
    return { scene, metrics: await broker.metrics.render() };
  } finally {
    await broker.close();
  }
}

it(`A read never shows a task as it was before an answered write, however they cross (DIBS_TEST_CACHE_SEED=${SEED})`, async () => {
  let hits = 0;
  let reads = 0;
  for (let run = 0; run < RUNS; run += 1) {
    const { scene, metrics } = await play(SEED + run);
    expect(scene.stale, `DIBS_TEST_CACHE_SEED=${SEED + run}`).toEqual([]);
    hits += Number(/^dibs_cache_hits_total (\d+)$/m.exec(metrics)?.[1]);
    reads += scene.reads;
  }

  expect(reads).toBe(RUNS * READERS * STEPS);
  // Without answers from the cache this would prove nothing.
  expect(hits).toBeGreaterThan(reads / 10);
}, 120_000);
