import { Broker } from "../src/broker/broker.ts";
import type { CacheMode } from "../src/broker/task-cache-switch.ts";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import { Reader, type ReadLatencies } from "../src/lab/reader.ts";
import {
  type Candidate,
  latencyNs,
  type Measure,
  perSecond,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  type Trial,
  value,
} from "../src/lab/run.ts";
import { RedisStorage } from "../src/storage/redis/redis-storage.ts";
import type { TaskId } from "../src/task/ids.ts";
import { collectGarbage, fill, QUEUE } from "./engine.ts";
import { BenchRedis, freshPrefix, perOperation } from "./redis.ts";

const READS_A_WRITE = [1, 5, 20] as const;
const MODES: readonly CacheMode[] = ["off", "on", "auto"];
const TTL_MS = 1_000;
const TASKS = 1_000;
const CALLERS = 16;
/** The switch looks once a second, and weighs about five: so long the load runs unmeasured. */
const SETTLE_SECONDS = 3;

/** Does the metadata cache pay, and does it know when? */
export const redisCache: Benchmark = {
  name: "redis-cache",
  question:
    `What does the metadata cache answer, and what does it save, at ${READS_A_WRITE.join(", ")} reads by id for each write, ` +
    `off, on, and left to itself? ${TASKS.toLocaleString("en-US")} tasks read at random by ${CALLERS} callers on one Redis, ` +
    `${PAYLOAD_BYTES}-byte payloads, ${TTL_MS} ms to live.`,
  changesOurMind:
    "Left to itself it is on at 5:1, or off at 20:1; or, on at 20:1, it does not save half of the round trips.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  try {
    const candidates = READS_A_WRITE.flatMap((reads) => MODES.map((mode) => candidate(redis, reads, mode)));
    return findings(await runInterleaved(candidates, options));
  } finally {
    await redis.stop();
  }
}

function findings(series: Awaited<ReturnType<typeof runInterleaved>>): Findings {
  const measures: readonly (readonly [string, Measure])[] = [
    ["calls/s", perSecond],
    ["read mean", ({ latencies }) => latencies?.["read"]?.summary().meanNs ?? Number.NaN],
    ["read P99", latencyNs("read", 99)],
    ["write P50", latencyNs("write", 50)],
    ["round trips a call", value("roundTrips")],
    ["server CPU a call", value("serverCpuUs")],
  ];
  return {
    parameters: {
      tasks: TASKS,
      callers: CALLERS,
      ttlMs: TTL_MS,
      payloadBytes: PAYLOAD_BYTES,
      settleSeconds: SETTLE_SECONDS,
    },
    series,
    comparisons: READS_A_WRITE.flatMap((reads) =>
      MODES.slice(1).flatMap((mode) =>
        measures.map(([measure, by]) => {
          const [one, baseline] = [nameOf(reads, mode), nameOf(reads, "off")];
          const ratio = ratioOf(seriesNamed(series, one), seriesNamed(series, baseline), by);
          return { measure, candidate: one, baseline, ...ratio };
        }),
      ),
    ),
    notes: [
      "A write cancels a task or requeues it, in turn. Each caller writes its own share of the tasks and reads all of them; a read " +
        "of one of its own that is not as it left it ends the run. hits and invalidations are shares of the reads; on is 1 when the " +
        "cache was on at the end of the trial; round trips and server CPU are for each read or write.",
    ],
  };
}

function nameOf(reads: number, mode: CacheMode): string {
  return `${reads}:1 ${mode}`;
}

function candidate(redis: BenchRedis, reads: number, mode: CacheMode): Candidate {
  return {
    name: nameOf(reads, mode),
    async measure({ seconds }: Trial) {
      const storage = await RedisStorage.open({ url: redis.url, prefix: freshPrefix() });
      const broker = await Broker.open(storage, { cache: { mode, ttlMs: TTL_MS } });
      try {
        const ids: TaskId[] = [];
        await fill(storage, QUEUE, TASKS, (id) => ids.push(id as TaskId));
        const callers = Array.from(
          { length: CALLERS },
          (_, n) => new Reader(broker, ids, n, { readsAWrite: reads, callers: CALLERS }),
        );
        await all(callers, SETTLE_SECONDS);
        collectGarbage();
        const [observed, observer] = [await redis.observe(), ProcessObserver.start()];
        const before = await cacheOf(broker);
        const latencies = { read: new LatencyHistogram(), write: new LatencyHistogram() };
        const took = await all(callers, seconds, latencies);
        const after = await cacheOf(broker);
        const process = await observer.stop();
        const operations = latencies.read.count + latencies.write.count;
        const share = (name: string) => ((after[name] ?? 0) - (before[name] ?? 0)) / latencies.read.count;
        return {
          seconds: took,
          operations,
          errors: 0,
          latencies,
          process,
          values: {
            hits: share("hits_total"),
            invalidations: share("invalidations_total"),
            on: after["enabled"] ?? Number.NaN,
            entries: after["entries"] ?? Number.NaN,
            ...perOperation(await observed(), operations),
          },
        };
      } finally {
        await broker.close();
        await redis.clear();
      }
    },
  };
}

async function all(callers: readonly Reader[], seconds: number, latencies?: ReadLatencies): Promise<number> {
  const startedAt = nowNs();
  await Promise.all(callers.map((caller) => caller.go(startedAt + seconds * 1e9, latencies)));
  return (nowNs() - startedAt) / 1e9;
}

async function cacheOf(broker: Broker): Promise<Readonly<Record<string, number>>> {
  const lines = [...(await broker.metrics.render()).matchAll(/^dibs_cache_(\w+) (.+)$/gm)];
  return Object.fromEntries(lines.map(([, name, figure]) => [name, Number(figure)]));
}
