import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES, payloadOf } from "../src/lab/payload.ts";
import {
  type Candidate,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  value,
} from "../src/lab/run.ts";
import { RedisLink } from "../src/storage/redis/link/link.ts";
import type { LeaseToken, TaskId } from "../src/task/ids.ts";
import { newTaskId, randomPartOf } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";
import { collectGarbage, QUEUE } from "./engine.ts";
import { BenchRedis, openScratchRedis } from "./redis.ts";
import { BASE, type Layout } from "./redis-layouts/layout.ts";
import { GROUP_LEASE, LISTS_ONE_HASH, ZSET_ONE_HASH } from "./redis-layouts/one-hash.ts";
import { PAIRS } from "./redis-layouts/pairs.ts";
import { STREAMS } from "./redis-layouts/streams.ts";

const LAYOUTS = [LISTS_ONE_HASH, ZSET_ONE_HASH, PAIRS, GROUP_LEASE, STREAMS];
const ENGINE = "the engine";
interface Load {
  readonly callers: number;
  readonly batch: number;
  readonly perSecondMax: number;
}
const LOADS: readonly Load[] = [
  { callers: 1, batch: 1, perSecondMax: 30_000 },
  { callers: 50, batch: 1, perSecondMax: 120_000 },
  { callers: 1, batch: 32, perSecondMax: 250_000 },
];
const FILL = 500;
const LEASE_MS = 3_600_000;
const RESULT = '{"ok":true}';

/** How should tasks lie in Redis? */
export const redisLayouts: Benchmark = {
  name: "redis-layouts",
  question:
    "What do claims, completions and enqueues cost the server in each way to lay tasks out in Redis, with attempts, tokens, results and " +
    `finished tasks kept, and what does a pending task take beyond its ${PAYLOAD_BYTES}-byte payload?`,
  changesOurMind:
    "A layout that keeps the whole contract and costs a quarter less for claim and completion together.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  try {
    for (const layout of LAYOUTS) await checkLayout(redis, layout);
    const opens = [
      { name: ENGINE, open: () => openEngine(redis) },
      ...LAYOUTS.map((layout) => ({ name: layout.name, open: () => openLayout(redis, layout) })),
    ];
    const candidates = LOADS.flatMap((load) => opens.map(({ name, open }) => cycle(redis, name, load, open)));
    const series = await runInterleaved(candidates, options);
    const baseline = LISTS_ONE_HASH.name;
    const compare = (measure: string, name: string, load: Load) => ({
      measure,
      candidate: nameOf(name, load),
      baseline: nameOf(baseline, load),
      ...ratioOf(
        seriesNamed(series, nameOf(name, load)),
        seriesNamed(series, nameOf(baseline, load)),
        value(measure),
      ),
    });
    return {
      parameters: { payloadBytes: PAYLOAD_BYTES, fillBatch: FILL, leaseMs: LEASE_MS },
      series,
      comparisons: LOADS.flatMap((load) =>
        opens
          .filter(({ name }) => name !== baseline)
          .flatMap(({ name }) => [compare("claimUs", name, load), compare("completeUs", name, load)]),
      ),
      notes: [
        "…Us: microseconds inside the script for each task, from INFO; claims and completions in calls of the batch, by so many callers, unmerged; " +
          `enqueues in calls of ${FILL}. A third of the tasks has each of three priorities. The engine passes the contract suite (and its short path for a queue of one priority is not taken here); the others are ` +
          "prototypes that pass a check of order, tokens and counters, and lack:",
        ...LAYOUTS.map(({ name, lacks }) => `${name}: ${lacks}.`),
      ],
    };
  } finally {
    await redis.stop();
  }
}

function nameOf(name: string, { callers, batch }: Load): string {
  return `${name}, c ${callers} b ${batch}`;
}

interface Held {
  readonly id: string;
  readonly token: string;
}

/** A queue in some layout. */
interface Store {
  enqueue(ids: readonly string[], from: number): Promise<void>;
  claim(count: number): Promise<readonly Held[]>;
  complete(held: readonly Held[]): Promise<number>;
  /** Ready and leased, by the queue's own count. */
  pending(): Promise<number>;
  close(): Promise<void>;
}

async function openEngine(redis: BenchRedis): Promise<Store> {
  const { storage, pending, close } = await openScratchRedis(redis);
  return {
    async enqueue(ids, from) {
      const tasks = ids.map((id, n) => ({
        id: id as TaskId,
        payload: payloadOf(from + n),
        priority: (from + n) % 3,
      }));
      await storage.enqueue(QUEUE, tasks);
    },
    async claim(max) {
      const { grants } = await storage.claim(QUEUE, [{ max, leaseMs: LEASE_MS }]);
      return (grants[0] ?? []).map(({ id, lease: { token } }) => ({ id, token }));
    },
    async complete(held) {
      const settlements = held.map(
        ({ id, token }) =>
          ({ outcome: "complete", id: id as TaskId, token: token as LeaseToken, result: RESULT }) as const,
      );
      const { outcomes } = await storage.settle(QUEUE, settlements);
      return outcomes.filter(({ kind }) => kind === "completed").length;
    },
    pending,
    close,
  };
}

async function openLayout(redis: BenchRedis, layout: Layout): Promise<Store> {
  const { enqueue, claim, complete, prepare = [] } = layout;
  const link = await RedisLink.open({ url: redis.url }, [enqueue, claim, complete]);
  for (const [name, ...args] of prepare) await redis.admin.call(name, ...args);
  const keys = [BASE];
  return {
    async enqueue(ids, from) {
      const args = ids.flatMap((id, n) => [randomPartOf(id as TaskId), (from + n) % 3, payloadOf(from + n)]);
      await link.run(enqueue, keys, args);
    },
    async claim(count) {
      const reply = (await link.run(claim, keys, [count, LEASE_MS, "abc", "w"])) as readonly string[];
      const held: Held[] = [];
      for (let at = 0; at < reply.length; at += 3) {
        held.push({ id: `${QUEUE}~${reply[at]}`, token: reply[at + 2] as string });
      }
      return held;
    },
    async complete(held) {
      const args = held.flatMap(({ id, token }) => [randomPartOf(id as TaskId), token, RESULT]);
      return (await link.run(complete, keys, args)) as number;
    },
    async pending() {
      const [ready, leased] = await redis.admin.hmget(`${BASE}:meta`, "ready", "leased");
      return Number(ready) + Number(leased);
    },
    close: () => link.close(),
  };
}

/** A prototype whose figures count must at least order by priority, refuse a stale token and count right. */
async function checkLayout(redis: BenchRedis, layout: Layout): Promise<void> {
  const store = await openLayout(redis, layout);
  const ids = Array.from({ length: 6 }, () => newTaskId(QUEUE));
  await store.enqueue(ids, 0);
  const held = [...(await store.claim(4)), ...(await store.claim(4))];
  const wanted = [2, 5, 1, 4, 0, 3].map((place) => ids[place]);
  const stale = await store.complete(held.map(({ id, token }) => ({ id, token: `${token}0` })));
  const first = await store.complete(held.slice(0, 5));
  const again = await store.complete(held.slice(0, 5));
  const facts = {
    order: held.map(({ id }) => id).join(),
    stale,
    first,
    again,
    pending: await store.pending(),
  };
  const expected = { order: wanted.join(), stale: 0, first: 5, again: 0, pending: 1 };
  await store.close();
  await redis.clear();
  if (JSON.stringify(facts) !== JSON.stringify(expected)) {
    throw new Error(
      `${layout.name} is no queue: ${JSON.stringify(facts)} instead of ${JSON.stringify(expected)}`,
    );
  }
}

/** Fills a queue, claims from it for half of the time, and completes what was claimed. */
function cycle(redis: BenchRedis, name: string, load: Load, open: () => Promise<Store>): Candidate {
  const { callers, batch } = load;
  return {
    name: nameOf(name, load),
    async measure({ seconds }) {
      const store = await open();
      const ledger = new DeliveryLedger();
      try {
        const count = Math.ceil((load.perSecondMax * seconds) / 2);
        const emptyBytes = await redis.usedBytes();
        const filling = await observedWhile(redis, () => fillStore(store, count, ledger));
        const bytesATask = ((await redis.usedBytes()) - emptyBytes) / count - PAYLOAD_BYTES;
        collectGarbage();
        const held: Held[] = [];
        const latency = new LatencyHistogram();
        const end = nowNs() + (seconds * 1e9) / 2;
        const claiming = await observedWhile(redis, () =>
          together(callers, async () => {
            while (nowNs() < end && held.length <= count - callers * batch) {
              const askedAt = nowNs();
              const claimed = await store.claim(batch);
              latency.record(nowNs() - askedAt);
              held.push(...claimed);
            }
          }),
        );
        for (const { id } of held) ledger.claimed(id);
        let at = 0;
        const completing = await observedWhile(redis, () =>
          together(callers, async () => {
            while (at < held.length) {
              const some = held.slice(at, at + batch);
              at += some.length;
              const done = await store.complete(some);
              if (done !== some.length) throw new Error(`${done} of ${some.length} were completed`);
              for (const { id } of some) ledger.completed(id);
            }
          }),
        );
        return {
          seconds: claiming.seconds,
          operations: held.length,
          errors: 0,
          latencies: { claim: latency },
          values: {
            claimUs: claiming.us / held.length,
            completeUs: completing.us / held.length,
            completesPerSecond: held.length / completing.seconds,
            enqueueUs: filling.us / count,
            bytesATask,
          },
          delivery: ledger.audit(await store.pending()),
        };
      } finally {
        await store.close();
        await redis.clear();
      }
    },
  };
}

async function fillStore(store: Store, count: number, ledger: DeliveryLedger): Promise<void> {
  for (let n = 0; n < count; n += FILL) {
    const ids = Array.from({ length: Math.min(FILL, count - n, LIMITS.batchMax) }, () => newTaskId(QUEUE));
    await store.enqueue(ids, n);
    for (const id of ids) ledger.enqueued(id);
  }
}

async function together(callers: number, call: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: callers }, call));
}

async function observedWhile(redis: BenchRedis, work: () => Promise<void>) {
  const observed = await redis.observe();
  const startedAt = nowNs();
  await work();
  const seconds = (nowNs() - startedAt) / 1e9;
  return { seconds, us: (await observed()).scriptUs };
}
