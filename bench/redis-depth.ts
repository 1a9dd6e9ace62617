import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES, payloadPool } from "../src/lab/payload.ts";
import {
  type Candidate,
  latencyNs,
  type Measure,
  type RunOptions,
  ratioOf,
  runInterleaved,
  type Series,
  seriesNamed,
  spreadOfSeries,
  value,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import type { Settlement } from "../src/storage/storage.ts";
import { newTaskId } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";
import { PeerQueue } from "./bullmq.ts";
import { collectGarbage, fill, QUEUE } from "./engine.ts";
import { BenchRedis, openScratchRedis, perOperation, type ScratchRedis } from "./redis.ts";
import { TARGETS } from "./targets.ts";

const DEPTHS = [1_000, 100_000, 1_000_000] as const;
const SHALLOW = DEPTHS[0];
const DEEPEST = DEPTHS[2];
/** BullMQ takes a minute for a million; its bytes a task do not depend on the number. */
const PEER_DEPTH = 100_000;
const PAYLOADS = payloadPool();

/** Does a claim stay fast when a million tasks wait, and what do they cost? */
export const redisDepth: Benchmark = {
  name: "redis-depth",
  question:
    "Does a claim on Redis stay as fast, and cost the server as little, with 1,000,000 tasks pending as with 1,000? What does a pending " +
    `task take in memory beyond its ${PAYLOAD_BYTES}-byte payload, beside BullMQ's?`,
  changesOurMind:
    "A claim or its server time at a million above 1.2 times that at a thousand, or more than 220 bytes a task: then the layout grows.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const servers: BenchRedis[] = [];
  const start = async () => {
    const server = await BenchRedis.start();
    servers.push(server);
    return server;
  };
  try {
    const filled: FilledQueue[] = [];
    for (const depth of DEPTHS) filled.push(await FilledQueue.fill(await start(), depth));
    const peerBytes = await bytesOfPeer(await start());
    const series = await runInterleaved(
      filled.map((queue) => claiming(queue)),
      options,
    );
    for (const queue of filled) await queue.scratch.close();
    return findings(series, filled, peerBytes);
  } finally {
    for (const server of servers) await server.stop();
  }
}

function findings(
  series: readonly Series[],
  filled: readonly FilledQueue[],
  peerBytesATask: number,
): Findings {
  const compare = (measure: string, depth: number, by: Measure) => ({
    measure,
    candidate: nameOf(depth),
    baseline: nameOf(SHALLOW),
    ...ratioOf(seriesNamed(series, nameOf(depth)), seriesNamed(series, nameOf(SHALLOW)), by),
  });
  const p50 = latencyNs("claim", 50);
  const server = value("serverScriptUs");
  const bytes = spreadOfSeries(seriesNamed(series, nameOf(DEEPEST)), value("bytesATask"));
  return {
    parameters: {
      payloadBytes: PAYLOAD_BYTES,
      peerDepth: PEER_DEPTH,
      peerBytesATask: Math.round(peerBytesATask),
      ...Object.fromEntries(
        filled.map(({ depth, fillSeconds }) => [`filled${depth}PerSecond`, Math.round(depth / fillSeconds)]),
      ),
    },
    series,
    comparisons: DEPTHS.slice(1).flatMap((depth) => [
      compare("claim P50", depth, p50),
      compare("server time", depth, server),
    ]),
    targets: [
      judge(TARGETS.redisDepthP50, compare("claim P50", DEEPEST, p50)),
      judge(TARGETS.redisDepthServer, compare("server time", DEEPEST, server)),
      judge(TARGETS.redisBytesATask, bytes),
    ],
    notes: [
      `Each depth has a Redis of its own, filled once and measured in turn; what was claimed is completed, pruned and replaced outside the timed part. Bytes a task: growth of used_memory while the queue was filled, less ${PAYLOAD_BYTES}. ` +
        `BullMQ's: ${Math.round(peerBytesATask)} bytes a task, at ${PEER_DEPTH.toLocaleString("en-US")}.`,
    ],
  };
}

function nameOf(depth: number): string {
  return `${depth.toLocaleString("en-US")} pending`;
}

/** A server with so many tasks in one queue. */
class FilledQueue {
  readonly redis: BenchRedis;
  readonly scratch: ScratchRedis;
  readonly depth: number;
  readonly bytesATask: number;
  readonly fillSeconds: number;

  private constructor(
    redis: BenchRedis,
    scratch: ScratchRedis,
    filled: { depth: number; bytesATask: number; fillSeconds: number },
  ) {
    this.redis = redis;
    this.scratch = scratch;
    this.depth = filled.depth;
    this.bytesATask = filled.bytesATask;
    this.fillSeconds = filled.fillSeconds;
  }

  static async fill(redis: BenchRedis, depth: number): Promise<FilledQueue> {
    const scratch = await openScratchRedis(redis);
    const before = await redis.usedBytes();
    const startedAt = nowNs();
    await fill(scratch.storage, QUEUE, depth);
    const fillSeconds = (nowNs() - startedAt) / 1e9;
    const bytesATask = ((await redis.usedBytes()) - before) / depth - PAYLOAD_BYTES;
    return new FilledQueue(redis, scratch, { depth, bytesATask, fillSeconds });
  }
}

async function bytesOfPeer(redis: BenchRedis): Promise<number> {
  const peer = await PeerQueue.open(redis);
  const before = await redis.usedBytes();
  await peer.fill(PEER_DEPTH);
  const bytes = ((await redis.usedBytes()) - before) / PEER_DEPTH - PAYLOAD_BYTES;
  await peer.close();
  return bytes;
}

/** Claims of one caller are timed for half of a trial; the other half puts back what they took. */
function claiming({ redis, scratch, depth, bytesATask }: FilledQueue): Candidate {
  return {
    name: nameOf(depth),
    async measure({ seconds }) {
      const { storage, broker } = scratch;
      const latency = new LatencyHistogram();
      const ledger = new DeliveryLedger();
      const request = { queues: [QUEUE], max: 1, waitMs: 0, leaseMs: 3_600_000 };
      const reading = { scripts: 0, scriptUs: 0, inner: 0, commands: 0, cpuUs: 0, plain: {} };
      collectGarbage();
      const startedAt = nowNs();
      let inClaims = 0;
      while (inClaims < (seconds * 1e9) / 2) {
        const held: Held[] = [];
        const observed = await redis.observe();
        const beganAt = nowNs();
        // Half of what the shallowest queue has, so that it stays about as deep as it is called.
        while (held.length < SHALLOW / 2) {
          const askedAt = nowNs();
          const [task] = await broker.claim(request);
          latency.record(nowNs() - askedAt);
          if (task === undefined) throw new Error("A claim found nothing in a full queue");
          ledger.enqueued(task.id);
          ledger.claimed(task.id);
          held.push({ id: task.id, token: task.lease.token });
        }
        inClaims += nowNs() - beganAt;
        const part = await observed();
        reading.scripts += part.scripts;
        reading.scriptUs += part.scriptUs;
        reading.inner += part.inner;
        reading.cpuUs += part.cpuUs;
        await putBack(storage, held, ledger);
      }
      // Every claimed task was replaced, so what is pending beyond the depth is what was lost or doubled.
      const delivery = ledger.audit((await scratch.pending()) - depth);
      return {
        seconds: (nowNs() - startedAt) / 1e9,
        operations: latency.count,
        errors: 0,
        latencies: { claim: latency },
        values: { ...perOperation(reading, latency.count), bytesATask },
        delivery,
      };
    },
  };
}

type Held = Pick<Extract<Settlement, { outcome: "complete" }>, "id" | "token">;

async function putBack(
  storage: ScratchRedis["storage"],
  held: readonly Held[],
  ledger: DeliveryLedger,
): Promise<void> {
  const settlements = held.map(({ id, token }) => ({ outcome: "complete", id, token }) as const);
  const { outcomes } = await storage.settle(QUEUE, settlements);
  outcomes.forEach(({ kind }, i) => {
    if (kind === "completed") ledger.completed((held[i] as Held).id);
  });
  const tasks = held.map((_, n) => ({ id: newTaskId(QUEUE), payload: PAYLOADS[n] as string }));
  await storage.enqueue(QUEUE, tasks);
  while ((await storage.purge(QUEUE, "completed", LIMITS.stepMax)).more);
}
