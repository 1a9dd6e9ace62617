import { setTimeout as wait } from "node:timers/promises";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { Child } from "../src/lab/child.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { paceRequests } from "../src/lab/pacing.ts";
import {
  type Candidate,
  latencyNs,
  type Measurement,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  type Trial,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import { RedisLink } from "../src/storage/redis/link/link.ts";
import { collectGarbage } from "./engine.ts";
import { NOOP, NOOP_KEY } from "./noop.ts";
import { BenchRedis, freshPrefix } from "./redis.ts";
import type { RedisWorkerDuties } from "./redis-worker-process.ts";
import { type Heard, machineNs, openListener, type Side } from "./start-listener.ts";
import { TARGETS } from "./targets.ts";

const PER_SECOND = 200;
const CONCURRENCY = 50;
/** So many tasks go through before a trial is measured: all connections stand and all code is warm. */
const WARM_TASKS = 100;
const FLOOR = "floor";
const EMPTY_MS_MAX = 10_000;

/** How long until an idle worker starts on a task? */
export const redisStart: Benchmark = {
  name: "redis-start",
  question:
    `How long from the call of enqueue to the start of the handler, at ${PER_SECOND} tasks a second and an idle worker of concurrency ` +
    `${CONCURRENCY}, against BullMQ on the same Redis: client and worker in one process, and in two?`,
  changesOurMind:
    "More than 0.25 of BullMQ's time in one process, or more than 0.6 across two: then a wake-up takes hops that it need not take.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  try {
    const sides = ["Dibs", "BullMQ"] as const;
    const candidates = [
      ...sides.map((side) => near(redis, side)),
      ...sides.map((side) => across(redis, side)),
      floor(redis),
    ];
    const series = await runInterleaved(candidates, options);
    const compare = (where: string, percentile: number) => ({
      measure: `start P${percentile}`,
      candidate: `Dibs, ${where}`,
      baseline: `BullMQ, ${where}`,
      ...ratioOf(
        seriesNamed(series, `Dibs, ${where}`),
        seriesNamed(series, `BullMQ, ${where}`),
        latencyNs("start", percentile),
      ),
    });
    const nearP50 = compare("one process", 50);
    const acrossP50 = compare("two processes", 50);
    const toFloor = (candidate: string) => ({
      measure: "start P50",
      candidate,
      baseline: FLOOR,
      ...ratioOf(seriesNamed(series, candidate), seriesNamed(series, FLOOR), latencyNs("start", 50)),
    });
    return {
      parameters: { perSecond: PER_SECOND, concurrency: CONCURRENCY },
      series,
      comparisons: [
        nearP50,
        compare("one process", 99),
        acrossP50,
        compare("two processes", 99),
        toFloor("Dibs, one process"),
        toFloor("Dibs, two processes"),
        toFloor("BullMQ, one process"),
      ],
      targets: [judge(TARGETS.startNear, nearP50), judge(TARGETS.startAcross, acrossP50)],
      notes: [
        "`start`: from the call of enqueue to the first line of the handler, by the machine's monotonic clock, which all processes " +
          "share. `floor`: one round trip of a script that does nothing, after the same idleness: no start can take less. `enqueue`: until the enqueue was acknowledged, from when it was meant to leave. Tasks leave at a constant rate, whatever the answers do.",
      ],
    };
  } finally {
    await redis.stop();
  }
}

/** The worker's side of a trial, wherever it is. */
interface Ear {
  heard(): Promise<Heard>;
}

function near(redis: BenchRedis, side: Side): Candidate {
  return {
    name: `${side}, one process`,
    async measure(trial) {
      const options = { prefix: freshPrefix(), concurrency: CONCURRENCY, works: true };
      const listener = await openListener(side, redis, options);
      try {
        return await paced(trial, listener, { heard: async () => listener.heard() });
      } finally {
        await listener.close();
        await redis.clear();
      }
    },
  };
}

function across(redis: BenchRedis, side: Side): Candidate {
  return {
    name: `${side}, two processes`,
    async measure(trial) {
      const prefix = freshPrefix();
      const child = Child.start<RedisWorkerDuties>(new URL("./redis-worker-process.js", import.meta.url));
      const client = await openListener(side, redis, { prefix, concurrency: CONCURRENCY, works: false });
      try {
        await child.call("work", {
          side,
          url: redis.url,
          ...redis.address,
          prefix,
          concurrency: CONCURRENCY,
        });
        return await paced(trial, client, {
          async heard() {
            const { startLatency, ...ids } = await child.call("heard", undefined);
            return { startLatency: LatencyHistogram.decode(startLatency), ...ids };
          },
        });
      } finally {
        await child.call("close", undefined);
        await child.end();
        await client.close();
        await redis.clear();
      }
    },
  };
}

/** What one round trip takes where both processes have slept since the last one. */
function floor(redis: BenchRedis): Candidate {
  return {
    name: FLOOR,
    async measure({ seconds }) {
      const link = await RedisLink.open({ url: redis.url }, [NOOP]);
      const pace = {
        perSecond: PER_SECOND,
        outstandingMax: PER_SECOND,
        send: async () => {
          const from = machineNs();
          await link.run(NOOP, [NOOP_KEY], []);
          start.record(Number(machineNs() - from));
        },
      };
      let start = new LatencyHistogram();
      try {
        await paceRequests({ ...pace, seconds: WARM_TASKS / PER_SECOND });
        start = new LatencyHistogram();
        collectGarbage();
        const { succeeded, failed, ...done } = await paceRequests({ ...pace, seconds });
        return { seconds: done.seconds, operations: succeeded, errors: failed, latencies: { start } };
      } finally {
        await link.close();
      }
    },
  };
}

type Client = Pick<Awaited<ReturnType<typeof openListener>>, "enqueue" | "pending">;

async function paced({ seconds }: Trial, client: Client, ear: Ear): Promise<Measurement> {
  const ledger = new DeliveryLedger();
  const send = async (n: number) => ledger.enqueued(await client.enqueue(n));
  const note = ({ started, completed }: Heard) => {
    for (const id of started) ledger.claimed(id);
    for (const id of completed) ledger.completed(id);
  };
  const pace = { perSecond: PER_SECOND, outstandingMax: PER_SECOND, send };
  await paceRequests({ ...pace, seconds: WARM_TASKS / PER_SECOND });
  await emptied(client);
  note(await ear.heard());
  collectGarbage();
  const { succeeded, failed, latency, lateness, ...done } = await paceRequests({ ...pace, seconds });
  await emptied(client);
  const heard = await ear.heard();
  note(heard);
  return {
    seconds: done.seconds,
    operations: succeeded,
    errors: failed,
    latencies: { start: heard.startLatency, enqueue: latency, lateness },
    delivery: ledger.audit(await client.pending()),
  };
}

/** Waits until everything was completed, and the worker has heard of it. */
async function emptied(client: Client): Promise<void> {
  const end = Date.now() + EMPTY_MS_MAX;
  while ((await client.pending()) > 0) {
    if (Date.now() > end) throw new Error(`The queue was not empty after ${EMPTY_MS_MAX} ms`);
    await wait(10);
  }
  await wait(50);
}
