import { createHash } from "node:crypto";
import { setImmediate as nextTurn, setTimeout as wait } from "node:timers/promises";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES, payloadOf } from "../src/lab/payload.ts";
import {
  type Candidate,
  type RunOptions,
  runInterleaved,
  seriesNamed,
  spreadOfSeries,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import { cursorOf } from "../src/storage/redis/page.ts";
import { RedisStorage } from "../src/storage/redis/redis-storage.ts";
import type { ClaimReply } from "../src/storage/storage.ts";
import { newTaskId, type TaskId } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";
import type { ClaimedTask, NewTask } from "../src/task/task.ts";
import { QUEUE } from "./engine.ts";
import { BenchRedis, freshPrefix } from "./redis.ts";
import { TARGETS } from "./targets.ts";

const DEPTH = 1_000_000;
const NAME = "1,000,000 pending";
const ROUNDS = 5;
/** What workers call, and what the port would take but the broker asks for one task at a time. */
const NOT_JUDGED = /^(enqueue|claim|settle|heartbeat|get)|1000Ms$/;

/** For how long does one call keep everybody else waiting? */
export const redisLongest: Benchmark = {
  name: "redis-longest",
  question:
    "For how long does Redis serve nobody else while one call of each verb runs, at the largest size that the limits allow, with " +
    `${DEPTH.toLocaleString("en-US")} tasks pending, each with an idempotency key?`,
  changesOurMind:
    "A step of an operator or of a loop above 5 ms: then its bound is too high, or it walks what it should not.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  const storage = await RedisStorage.open({ url: redis.url, prefix: freshPrefix() });
  try {
    await fillKeyed(storage);
    const series = await runInterleaved([verbs(redis, storage)], { ...options, warmupSeconds: 0 });
    const longest = spreadOfSeries(seriesNamed(series, NAME), ({ values = {} }) => {
      const others = Object.entries(values).filter(([verb]) => !NOT_JUDGED.test(verb));
      return Math.max(...others.map(([, ms]) => ms));
    });
    return {
      parameters: { depth: DEPTH, rounds: ROUNDS, payloadBytes: PAYLOAD_BYTES },
      series,
      targets: [judge(TARGETS.longestStep, longest)],
      notes: [
        `Milliseconds inside Redis of the longest of ${ROUNDS} calls a trial, from SLOWLOG: scripts and plain commands alike. Tasks of a call: ` +
          `${LIMITS.batchMax} for what workers call, one for cancel, requeue and forceRelease as the broker calls them (and 1,000 as the port would take them), ` +
          `${LIMITS.stepMax} for steps of loops, purges, requeues of dead tasks and exports, ${LIMITS.listMax} for a listing. No broker runs beside it.`,
      ],
    };
  } finally {
    await storage.close();
    await redis.stop();
  }
}

function keyed(count: number, from: number, more: Partial<NewTask> = {}): NewTask[] {
  return Array.from({ length: count }, (_, place) => {
    const n = from + place;
    const payloadHash = createHash("sha256").update(String(n)).digest("hex");
    return { id: newTaskId(QUEUE), payload: payloadOf(n), idempotencyKey: `key-${n}`, payloadHash, ...more };
  });
}

async function fillKeyed(storage: RedisStorage): Promise<void> {
  for (let n = 0; n < DEPTH; n += LIMITS.batchMax) {
    await storage.enqueue(QUEUE, keyed(LIMITS.batchMax, n));
    await nextTurn();
  }
}

/** Every verb, some rounds of each: tasks move on from round to round as their states allow. */
function verbs(redis: BenchRedis, storage: RedisStorage): Candidate {
  let made = DEPTH;
  const fresh = (count: number, more?: Partial<NewTask>) => {
    const tasks = keyed(count, made, more);
    made += count;
    return tasks;
  };
  return {
    name: NAME,
    async measure() {
      const longest = new LongestCalls(redis);
      await redis.admin.config("SET", "slowlog-log-slower-than", "0");
      const startedAt = nowNs();
      for (let round = 0; round < ROUNDS; round += 1) await oneRound(storage, longest, fresh);
      await redis.admin.config("SET", "slowlog-log-slower-than", "-1");
      const seconds = (nowNs() - startedAt) / 1e9;
      return { seconds, operations: longest.calls, errors: 0, values: longest.values() };
    },
  };
}

/** The longest command of each verb's calls, milliseconds. */
class LongestCalls {
  readonly #redis: BenchRedis;
  readonly #ms = new Map<string, number>();
  calls = 0;

  constructor(redis: BenchRedis) {
    this.#redis = redis;
  }

  async of<Reply>(verb: string, call: () => Promise<Reply>): Promise<Reply> {
    await this.#redis.admin.slowlog("RESET");
    const reply = await call();
    const entries = (await this.#redis.admin.slowlog("GET", 128)) as readonly (readonly [
      number,
      number,
      number,
    ])[];
    const ms = Math.max(0, ...entries.map(([, , us]) => us / 1_000));
    this.#ms.set(verb, Math.max(ms, this.#ms.get(verb) ?? 0));
    this.calls += 1;
    return reply;
  }

  values(): Record<string, number> {
    return Object.fromEntries([...this.#ms].map(([verb, ms]) => [`${verb}Ms`, ms]));
  }
}

async function oneRound(
  storage: RedisStorage,
  longest: LongestCalls,
  fresh: (count: number, more?: Partial<NewTask>) => NewTask[],
): Promise<void> {
  const { batchMax, stepMax, listMax } = LIMITS;
  const hour = 3_600_000;
  const claim = async (max: number, leaseMs: number) =>
    tasksOf(await storage.claim(QUEUE, [{ max, leaseMs }]));
  const asked = [{ max: batchMax, leaseMs: hour }];

  await longest.of("enqueue", () => storage.enqueue(QUEUE, fresh(batchMax)));
  await longest.of("enqueueMixed", () => {
    const mixed = fresh(batchMax).map((task, n) => ({ ...task, priority: n % 10, maxAttempts: 3 }));
    return storage.enqueue(QUEUE, mixed);
  });
  const one = await longest.of("claim", () => claim(batchMax, hour));
  await longest.of("heartbeat", () => storage.heartbeat(QUEUE, one.map(held)));
  const { claim: next } = await longest.of("settleAndClaim", () => {
    const settlements = one.map(
      (task) => ({ outcome: "complete", ...held(task), result: '{"ok":true}' }) as const,
    );
    return storage.settle(QUEUE, settlements, asked);
  });
  const failing = tasksOf(next).map((task) => {
    return { outcome: "nack", ...held(task), error: "It failed", delayMs: 60_000, random: 0 } as const;
  });
  await longest.of("settleNacks", () => storage.settle(QUEUE, failing));
  const refused = (await claim(batchMax, hour)).map(
    (task) => ({ outcome: "refuse", ...held(task) }) as const,
  );
  await longest.of("settleRefusals", () => storage.settle(QUEUE, refused));
  const releasing = (await claim(batchMax, hour)).map(
    (task) => ({ outcome: "release", ...held(task) }) as const,
  );
  await longest.of("settleReleases", () => storage.settle(QUEUE, releasing));

  const taken = await claim(batchMax, hour);
  const leased = taken.map(({ id }) => id);
  await longest.of("forceRelease", () => storage.forceRelease(QUEUE, leased.slice(0, 1)));
  await longest.of("forceRelease1000", () => storage.forceRelease(QUEUE, leased.slice(1)));
  await storage.enqueue(QUEUE, fresh(stepMax, { delayMs: 1 }));
  await claim(stepMax, 1);
  await wait(5);
  await longest.of("promoteDue", () => storage.promoteDue(QUEUE, stepMax));
  await longest.of("reapExpired", () => storage.reapExpired(QUEUE, stepMax));

  const waiting = fresh(batchMax);
  await storage.enqueue(QUEUE, waiting);
  const ids: TaskId[] = waiting.map(({ id }) => id);
  await longest.of("get", () => storage.get(QUEUE, ids));
  await longest.of("cancel", () => storage.cancel(QUEUE, ids.slice(0, 1)));
  await longest.of("cancel1000", () => storage.cancel(QUEUE, ids.slice(1)));
  await longest.of("requeue", () => storage.requeue(QUEUE, ids.slice(0, 1)));
  await longest.of("requeue1000", () => storage.requeue(QUEUE, ids.slice(1)));
  await longest.of("requeueDead", () => storage.requeueDead(QUEUE, stepMax));
  const middle = cursorOf("ready", "0", String(DEPTH / 2));
  await longest.of("listHead", () => storage.list(QUEUE, { state: "ready", limit: listMax }));
  await longest.of("listMiddle", () =>
    storage.list(QUEUE, { state: "ready", limit: listMax, cursor: middle }),
  );
  await longest.of("listScheduled", () => storage.list(QUEUE, { state: "scheduled", limit: listMax }));
  await longest.of("snapshot", () => storage.snapshot(QUEUE));
  await longest.of("nextDueAt", () => storage.nextDueAt(100));
  for (const [verb, cursor] of [
    ["exportTasks", `ready/${middle}`],
    ["exportKeys", `keys/${DEPTH / 2}`],
  ] as const) {
    await longest.of(verb, () => storage.exportTasks(QUEUE, { limit: stepMax, cursor }));
  }

  await longest.of("purgeReady", () => storage.purge(QUEUE, "ready", stepMax));
  await longest.of("purgeDead", () => storage.purge(QUEUE, "dead", stepMax));
  await storage.configure(QUEUE, { config: { retention: { completedMax: 0 } } });
  await longest.of("prune", () => storage.prune(QUEUE, stepMax));
  await longest.of("configure", () =>
    storage.configure(QUEUE, { config: { retention: { completedMax: 10_000 } } }),
  );
}

function held({ id, lease: { token } }: ClaimedTask) {
  return { id, token };
}

function tasksOf({ grants }: ClaimReply): readonly ClaimedTask[] {
  return grants[0] ?? [];
}
