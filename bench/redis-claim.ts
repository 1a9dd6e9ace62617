import { Redis } from "ioredis";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
import {
  type Candidate,
  latencyNs,
  type Measure,
  type Measurement,
  perSecond,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  type Trial,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import { RedisLink } from "../src/storage/redis/link/link.ts";
import { PeerQueue } from "./bullmq.ts";
import { claimLoop, Stock } from "./claiming.ts";
import { collectGarbage, fillNoted, QUEUE } from "./engine.ts";
import { NOOP, NOOP_KEY } from "./noop.ts";
import { BenchRedis, openScratchRedis, perOperation } from "./redis.ts";
import { TARGETS } from "./targets.ts";

const CALLERS = [1, 50, 200] as const;
/** What is filled before a trial leaves the code of the claims cold; so long they run unmeasured. */
const SETTLE_SECONDS = 0.2;
/** More claims a second than anybody here makes. When they run out all the same, the trial ends early. */
const DIBS_PER_SECOND_MAX = { 1: 25_000, 50: 160_000, 200: 200_000 } as const;
const PEER_PER_SECOND_MAX = { 1: 15_000, 50: 40_000, 200: 40_000 } as const;
type Callers = (typeof CALLERS)[number];
const HOUR_MS = 3_600_000;

/** How near is a claim to the floor of what the wire allows, and to the peer? */
export const redisClaim: Benchmark = {
  name: "redis-claim",
  question:
    "How near is a claim through the broker to a script that does nothing, over the same connection, and how far from " +
    `BullMQ's getNext…, at 1, 50 and 200 callers? One Redis without persistence, ${PAYLOAD_BYTES}-byte payloads, results kept.`,
  changesOurMind:
    "A claim above 1.45 times the no-op at one caller, or fewer than 5 times BullMQ's claims a second at 50 or 200: then " +
    "the script does work that belongs elsewhere, or merging does not happen.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  try {
    const candidates = CALLERS.flatMap((callers) => [
      noop(redis, callers),
      broker(redis, callers),
      peer(redis, callers),
    ]);
    const series = await runInterleaved([ioredisNoop(redis), engine(redis), ...candidates], options);
    return findings(series);
  } finally {
    await redis.stop();
  }
}

function findings(series: Awaited<ReturnType<typeof runInterleaved>>): Findings {
  const compare = (measure: string, candidate: string, baseline: string, by: Measure) => ({
    measure,
    candidate,
    baseline,
    ...ratioOf(seriesNamed(series, candidate), seriesNamed(series, baseline), by),
  });
  const p50 = latencyNs("claim", 50);
  const p99 = latencyNs("claim", 99);
  const toNoop = compare("P50", "broker × 1", "no-op × 1", p50);
  const toPeer = compare("P50", "broker × 1", "BullMQ × 1", p50);
  const many = ([50, 200] as const).flatMap((callers) => [
    compare("claims/s", `broker × ${callers}`, `BullMQ × ${callers}`, perSecond),
    compare("P99", `broker × ${callers}`, `BullMQ × ${callers}`, p99),
  ]);
  return {
    parameters: { payloadBytes: PAYLOAD_BYTES, settleSeconds: SETTLE_SECONDS },
    series,
    comparisons: [
      toNoop,
      toPeer,
      ...many,
      compare("P50", "engine × 1", "no-op × 1", p50),
      compare("P50", "no-op ioredis × 1", "no-op × 1", p50),
      compare("P99", "broker × 1", "no-op × 1", p99),
      compare("claims/s", "broker × 50", "no-op × 50", perSecond),
      compare("claims/s", "broker × 200", "no-op × 200", perSecond),
    ],
    targets: [
      judge(TARGETS.redisClaimNoop, toNoop),
      judge(TARGETS.redisClaimPeer, toPeer),
      ...many.map((ratio) => {
        const target = ratio.measure === "P99" ? TARGETS.redisClaimsP99 : TARGETS.redisClaims;
        return judge(
          { ...target, what: `${target.what}, ${ratio.candidate.slice("broker × ".length)} callers` },
          ratio,
        );
      }),
    ],
    notes: [
      "Nothing is completed; a trial has a store of its own, filled before it, and ends early when that is empty. The no-op is " +
        "`return 1` through the engine's own link; `no-op ioredis` the same through ioredis. server…Us, roundTrips and redisCalls " +
        "are for each claim, from INFO before and after: the loops of the broker are in them.",
    ],
  };
}

/** Measures claims of `callers` on what was opened, and audits them. */
async function timed(
  redis: BenchRedis,
  { seconds }: Trial,
  load: { callers: number; count: number; claim(caller: number): Promise<string> },
  audited?: { ledger: DeliveryLedger; pending(): Promise<number> },
): Promise<Measurement> {
  const { callers, claim } = load;
  const stock = new Stock(load.count);
  const loop = { callers, claim, stock, ...(audited !== undefined && { ledger: audited.ledger }) };
  await claimLoop({ ...loop, seconds: SETTLE_SECONDS });
  collectGarbage();
  const observed = await redis.observe();
  const { latency, ...done } = await claimLoop({ ...loop, seconds });
  const reading = await observed();
  const delivery = audited?.ledger.audit(await audited.pending());
  return {
    ...done,
    errors: 0,
    latencies: { claim: latency },
    values: perOperation(reading, done.operations),
    ...(delivery !== undefined && { delivery }),
  };
}

function noop(redis: BenchRedis, callers: Callers): Candidate {
  return {
    name: `no-op × ${callers}`,
    async measure(trial) {
      const link = await RedisLink.open({ url: redis.url }, [NOOP]);
      const keys = [NOOP_KEY];
      const claim = async () => {
        await link.run(NOOP, keys, []);
        return "";
      };
      try {
        return await timed(redis, trial, { callers, count: Number.POSITIVE_INFINITY, claim });
      } finally {
        await link.close();
      }
    },
  };
}

function ioredisNoop(redis: BenchRedis): Candidate {
  return {
    name: "no-op ioredis × 1",
    async measure(trial) {
      const client = new Redis(redis.address);
      await client.script("LOAD", NOOP.source);
      const claim = async () => {
        await client.evalsha(NOOP.sha, 1, NOOP_KEY);
        return "";
      };
      try {
        return await timed(redis, trial, { callers: 1, count: Number.POSITIVE_INFINITY, claim });
      } finally {
        client.disconnect();
      }
    },
  };
}

/** The engine without the broker: what the rules above it cost. */
function engine(redis: BenchRedis): Candidate {
  return {
    name: "engine × 1",
    measure: (trial) =>
      measured(redis, trial, 1, ({ storage }) => {
        const asks = [{ max: 1, leaseMs: HOUR_MS }];
        return async () => {
          const { grants } = await storage.claim(QUEUE, asks);
          return idOf(grants[0]?.[0]);
        };
      }),
  };
}

function broker(redis: BenchRedis, callers: Callers): Candidate {
  const request = { queues: [QUEUE], max: 1, waitMs: 0, leaseMs: HOUR_MS };
  return {
    name: `broker × ${callers}`,
    measure: (trial) =>
      measured(
        redis,
        trial,
        callers,
        (scratch) => async () => idOf((await scratch.broker.claim(request))[0]),
      ),
  };
}

async function measured(
  redis: BenchRedis,
  trial: Trial,
  callers: Callers,
  claimer: (scratch: Awaited<ReturnType<typeof openScratchRedis>>) => () => Promise<string>,
): Promise<Measurement> {
  const scratch = await openScratchRedis(redis);
  const ledger = new DeliveryLedger();
  try {
    const count = Math.ceil(DIBS_PER_SECOND_MAX[callers] * (trial.seconds + SETTLE_SECONDS));
    await fillNoted(scratch.storage, QUEUE, count, ledger);
    const load = { callers, count, claim: claimer(scratch) };
    return await timed(redis, trial, load, { ledger, pending: scratch.pending });
  } finally {
    await scratch.close();
    await redis.clear();
  }
}

function idOf(task: { readonly id: string } | undefined): string {
  if (task === undefined) throw new Error("A claim found nothing in a full queue");
  return task.id;
}

function peer(redis: BenchRedis, callers: Callers): Candidate {
  return {
    name: `BullMQ × ${callers}`,
    async measure(trial) {
      const opened = await PeerQueue.open(redis);
      const ledger = new DeliveryLedger();
      try {
        const count = Math.ceil(PEER_PER_SECOND_MAX[callers] * (trial.seconds + SETTLE_SECONDS));
        await opened.fill(count, ledger);
        const next = await opened.openClaimer();
        const tokens = Array.from({ length: callers }, (_, caller) => `caller-${caller}`);
        const claim = (caller: number) => next(tokens[caller] as string);
        return await timed(
          redis,
          trial,
          { callers, count, claim },
          { ledger, pending: () => opened.pending() },
        );
      } finally {
        await opened.close();
        await redis.clear();
      }
    },
  };
}
