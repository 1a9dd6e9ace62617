import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { Broker } from "../src/broker/broker.ts";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
import {
  type Candidate,
  type Measurement,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  type Trial,
  value,
} from "../src/lab/run.ts";
import { Keys } from "../src/storage/redis/keys.ts";
import { RedisStorage } from "../src/storage/redis/redis-storage.ts";
import { randomPartOf, type TaskId } from "../src/task/ids.ts";
import { fill, QUEUE } from "./engine.ts";
import { BenchRedis, freshPrefix, perOperation } from "./redis.ts";

const READS_PER_SECOND = 5_000;
const READS_A_WRITE = 20;
const HOT_TASKS = [20, 200, 1_000] as const;
const READERS = [4, 16] as const;
const TTL_MS = 1_000;
type Means = "tracking" | "time to live";

/** Would Redis's own tracking of keys serve a cache of tasks better than a short time to live? */
export const redisTracking: Benchmark = {
  name: "redis-tracking",
  question:
    `A process reads tasks of one queue ${READS_PER_SECOND.toLocaleString("en-US")} times a second, another writes one for each ${READS_A_WRITE} reads. ` +
    "How much does a cache answer that Redis's CLIENT TRACKING empties, which knows the queue's hash and not its tasks, and how much " +
    "one whose entries live a second? And what does a tracked write cost the server?",
  changesOurMind:
    "Tracking answers more than half of what the time to live does with 200 tasks in use, at a cost to the server that is lost " +
    "in the write: then a cache that is never a second old is worth its connection.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  try {
    const series = await runInterleaved(
      [
        ...HOT_TASKS.flatMap((hot) => [cached(redis, hot, "time to live"), cached(redis, hot, "tracking")]),
        ...READERS.flatMap((readers) => [watched(redis, readers, false), watched(redis, readers, true)]),
      ],
      options,
    );
    const compare = (measure: string, candidate: string, baseline: string, named: string) => ({
      measure,
      candidate,
      baseline,
      ...ratioOf(seriesNamed(series, candidate), seriesNamed(series, baseline), value(named)),
    });
    return {
      parameters: { readsPerSecond: READS_PER_SECOND, ttlMs: TTL_MS, payloadBytes: PAYLOAD_BYTES },
      series,
      comparisons: [
        ...HOT_TASKS.map((hot) =>
          compare("hits", cachedName(hot, "tracking"), cachedName(hot, "time to live"), "hits"),
        ),
        ...READERS.map((readers) =>
          compare(
            "server CPU a write",
            watchedName(readers, true),
            watchedName(readers, false),
            "serverCpuUs",
          ),
        ),
      ],
      notes: [
        "hits is a share of the reads; dropped is how many entries a message of Redis emptied, for each write. In the second part each " +
          "reader reads the same task before each write, so that each must be told; serverCpuUs is for such a round. The writer is the " +
          "engine with its scripts; the readers read the hash as its script does, without the script.",
      ],
    };
  } finally {
    await redis.stop();
  }
}

/** A store with tasks, and what writes and reads it. */
class Stage {
  readonly ids: TaskId[] = [];
  readonly broker: Broker;
  readonly #redis: BenchRedis;
  readonly #hash: string;
  readonly #connections: Redis[] = [];
  readonly #cancelled = new Set<TaskId>();

  private constructor(redis: BenchRedis, broker: Broker, prefix: string) {
    this.#redis = redis;
    this.broker = broker;
    this.#hash = `${new Keys(prefix, false).of(QUEUE)[0]}:tasks`;
  }

  static async open(redis: BenchRedis, tasks: number): Promise<Stage> {
    const prefix = freshPrefix();
    const storage = await RedisStorage.open({ url: redis.url, prefix });
    const stage = new Stage(redis, await Broker.open(storage), prefix);
    await fill(storage, QUEUE, tasks, (id) => stage.ids.push(id as TaskId));
    return stage;
  }

  connect(): Redis {
    // With RESP3, its default, this client drops the messages of tracking.
    const connection = new Redis({ ...this.#redis.address, protocol: 2 });
    this.#connections.push(connection);
    return connection;
  }

  /** A connection whose reads are tracked; `onChange` hears when one of them is no longer true. */
  async tracked(onChange: () => void): Promise<Redis> {
    const [reader, ear] = [this.connect(), this.connect()];
    const id = (await ear.client("ID")) as number;
    ear.on("message", onChange);
    await ear.subscribe("__redis__:invalidate");
    await reader.call("CLIENT", "TRACKING", "ON", "REDIRECT", id);
    return reader;
  }

  async read(reader: Redis, id: TaskId): Promise<void> {
    const part = randomPartOf(id);
    const [record] = await reader.hmget(this.#hash, part, `${part}s`, `${part}e`, `${part}r`);
    if (record === null || record === undefined) throw new Error(`Task ${id} is not in ${this.#hash}`);
  }

  /** Cancels a task, or requeues it, in turn. */
  async write(id: TaskId): Promise<void> {
    const isCancelled = this.#cancelled.delete(id);
    if (!isCancelled) this.#cancelled.add(id);
    await (isCancelled ? this.broker.requeue(id) : this.broker.cancel(id));
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.disconnect();
    await this.broker.close();
    await this.#redis.clear();
  }
}

function cachedName(hot: number, means: Means): string {
  return `${hot} tasks, ${means}`;
}

function cached(redis: BenchRedis, hot: number, means: Means): Candidate {
  return {
    name: cachedName(hot, means),
    async measure(trial) {
      const stage = await Stage.open(redis, hot);
      try {
        return await readAndWrite(redis, stage, means, trial);
      } finally {
        await stage.close();
      }
    },
  };
}

/** Reads at a fixed rate, whatever the answers do, and writes one task for each twenty reads. */
async function readAndWrite(
  redis: BenchRedis,
  stage: Stage,
  means: Means,
  { seconds }: Trial,
): Promise<Measurement> {
  const kept = new Map<TaskId, number>();
  const count = { reads: 0, hits: 0, writes: 0, messages: 0, dropped: 0 };
  const empty = () => {
    count.messages += 1;
    count.dropped += kept.size;
    kept.clear();
  };
  const reader = means === "tracking" ? await stage.tracked(empty) : stage.connect();
  const [ids, writing] = [new Set(stage.ids), [] as Promise<void>[]];
  const read = async (id: TaskId, now: number) => {
    count.reads += 1;
    if ((kept.get(id) ?? 0) > now) count.hits += 1;
    else {
      await stage.read(reader, id);
      kept.set(id, means === "tracking" ? Number.POSITIVE_INFINITY : now + TTL_MS);
    }
  };
  const write = async () => {
    // One call for a task at a time: the next write is another task's.
    const id = [...ids][Math.floor(Math.random() * ids.size)];
    if (id === undefined) return;
    ids.delete(id);
    count.writes += 1;
    await stage.write(id);
    ids.add(id);
  };
  const observed = await redis.observe();
  const startedAt = performance.now();
  for (let now = startedAt; now < startedAt + seconds * 1_000; now = performance.now()) {
    const due = Math.floor(((now - startedAt) * READS_PER_SECOND) / 1_000);
    while (count.reads < due) {
      writing.push(read(stage.ids[Math.floor(Math.random() * stage.ids.length)] as TaskId, now));
      if (count.reads % READS_A_WRITE === 0) writing.push(write());
    }
    await pause(1);
  }
  await Promise.all(writing);
  const took = (performance.now() - startedAt) / 1_000;
  return {
    seconds: took,
    operations: count.reads + count.writes,
    errors: 0,
    values: {
      hits: count.hits / count.reads,
      messagesAWrite: count.messages / count.writes,
      droppedAWrite: count.dropped / count.writes,
      serverCpuUs: perOperation(await observed(), count.reads + count.writes)["serverCpuUs"] as number,
    },
  };
}

function watchedName(readers: number, isTracked: boolean): string {
  return `${readers} readers, ${isTracked ? "tracked" : "plain"}`;
}

/** All read a task, then it is written, and so on: with tracking, each write tells each reader. */
function watched(redis: BenchRedis, readers: number, isTracked: boolean): Candidate {
  return {
    name: watchedName(readers, isTracked),
    async measure({ seconds }) {
      const stage = await Stage.open(redis, 1);
      try {
        let messages = 0;
        const open = () => (isTracked ? stage.tracked(() => (messages += 1)) : stage.connect());
        const all = await Promise.all(Array.from({ length: readers }, open));
        const [id] = stage.ids as [TaskId];
        const write = new LatencyHistogram();
        const observed = await redis.observe();
        const startedAt = nowNs();
        for (let now = startedAt; now < startedAt + seconds * 1e9; now = nowNs()) {
          await Promise.all(all.map((reader) => stage.read(reader, id)));
          const writtenAt = nowNs();
          await stage.write(id);
          write.record(nowNs() - writtenAt);
        }
        return {
          seconds: (nowNs() - startedAt) / 1e9,
          operations: write.count,
          errors: 0,
          latencies: { write },
          values: {
            messagesAWrite: messages / write.count,
            serverCpuUs: perOperation(await observed(), write.count)["serverCpuUs"] as number,
          },
        };
      } finally {
        await stage.close();
      }
    },
  };
}
