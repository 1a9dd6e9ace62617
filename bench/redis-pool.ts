import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
import {
  type Candidate,
  latencyNs,
  type Measure,
  perSecond,
  type RunOptions,
  ratioOf,
  runInterleaved,
  type Series,
  seriesNamed,
} from "../src/lab/run.ts";
import type { Storage } from "../src/storage/storage.ts";
import { parseQueueName, type QueueName } from "../src/task/ids.ts";
import { claimLoop, Stock } from "./claiming.ts";
import { collectGarbage, fillNoted, pendingIn } from "./engine.ts";
import { BenchRedis, openScratchRedis, perOperation } from "./redis.ts";

const CALLERS = [1, 10, 50, 200] as const;
type Callers = (typeof CALLERS)[number];
const SETTLE_SECONDS = 0.2;
const PER_SECOND_MAX = { 1: 25_000, 10: 80_000, 50: 160_000, 200: 200_000 } as const;

interface Setting {
  readonly connections: number;
  readonly callsInFlight: number;
  /** Asks of one storage call at most. */
  readonly batch: number;
  /** Calls of one queue share a connection, so only several queues can use several connections. */
  readonly queues: number;
}

const DEFAULT: Setting = { connections: 1, callsInFlight: 2, batch: 1_000, queues: 1 };
/** One queue, and four: each figure is varied while the others stay. */
const SETTINGS: readonly Setting[] = [
  DEFAULT,
  { ...DEFAULT, callsInFlight: 1 },
  { ...DEFAULT, callsInFlight: 4 },
  { ...DEFAULT, callsInFlight: 4, batch: 32 },
  { ...DEFAULT, batch: 64 },
  { ...DEFAULT, queues: 4 },
  { ...DEFAULT, queues: 4, connections: 2 },
  { ...DEFAULT, queues: 4, connections: 4 },
];

/** How many connections, calls under way and asks in a call serve best? */
export const redisPool: Benchmark = {
  name: "redis-pool",
  question:
    "How many connections, storage calls under way and asks in one call serve claims best, at 1, 10, 50 and 200 callers, " +
    `on one queue and on four? One Redis without persistence, ${PAYLOAD_BYTES}-byte payloads.`,
  changesOurMind:
    "A setting that is better than the default at several numbers of callers by more than the spread, and loses nothing at one.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  try {
    const candidates = SETTINGS.flatMap((setting) =>
      CALLERS.filter((callers) => callers >= setting.queues).map((callers) =>
        claiming(redis, setting, callers),
      ),
    );
    return findings(await runInterleaved(candidates, options));
  } finally {
    await redis.stop();
  }
}

function findings(series: readonly Series[]): Findings {
  const p99 = latencyNs("claim", 99);
  const comparisons = SETTINGS.flatMap((setting) =>
    CALLERS.flatMap((callers) => {
      const candidate = nameOf(setting, callers);
      const baseline = nameOf(setting.queues === 1 ? DEFAULT : { ...DEFAULT, queues: 4 }, callers);
      if (candidate === baseline || callers < setting.queues) return [];
      const compare = (measure: string, by: Measure) => ({
        measure,
        candidate,
        baseline,
        ...ratioOf(seriesNamed(series, candidate), seriesNamed(series, baseline), by),
      });
      return [compare("claims/s", perSecond), compare("P99", p99)];
    }),
  );
  return {
    parameters: { payloadBytes: PAYLOAD_BYTES, settleSeconds: SETTLE_SECONDS },
    series,
    comparisons,
    notes: [
      "Claims only, through the broker. `in flight` is storage calls of a queue at a time, `batch` the most asks of one call. The calls " +
        "of one queue share a connection, because their order is the queue's order; several connections can only help several queues.",
    ],
  };
}

function nameOf({ connections, callsInFlight, batch, queues }: Setting, callers: number): string {
  const what = `${connections} conn, ${callsInFlight} in flight, batch ${batch}, ${queues} queue`;
  return `${what}${queues === 1 ? "" : "s"} × ${callers}`;
}

function claiming(redis: BenchRedis, setting: Setting, callers: Callers): Candidate {
  const queues = Array.from({ length: setting.queues }, (_, n) => parseQueueName(`bench-${n}`) as QueueName);
  return {
    name: nameOf(setting, callers),
    async measure({ seconds }) {
      const scratch = await openScratchRedis(redis, {
        ...setting,
        around: (storage) => boundedClaims(storage, setting.batch),
      });
      const ledger = new DeliveryLedger();
      const each = Math.ceil((PER_SECOND_MAX[callers] * (seconds + SETTLE_SECONDS)) / queues.length);
      try {
        for (const queue of queues) await fillNoted(scratch.storage, queue, each, ledger);
        const requests = queues.map((queue) => ({ queues: [queue], max: 1, waitMs: 0, leaseMs: 3_600_000 }));
        const stocks = queues.map(() => new Stock(each));
        const loop = {
          callers,
          ledger,
          async claim(caller: number) {
            const [task] = await scratch.broker.claim(
              requests[caller % requests.length] as (typeof requests)[0],
            );
            if (task === undefined) throw new Error("A claim found nothing in a full queue");
            return task.id;
          },
          // A queue that runs dry ends the trial for its callers, which is seldom: all are asked alike.
          stock: { take: (caller: number) => (stocks[caller % stocks.length] as Stock).take() },
        };
        await claimLoop({ ...loop, seconds: SETTLE_SECONDS });
        collectGarbage();
        const observed = await redis.observe();
        const { latency, ...done } = await claimLoop({ ...loop, seconds });
        const values = perOperation(await observed(), done.operations);
        let pending = 0;
        for (const queue of queues) pending += await pendingIn(scratch.storage, queue);
        return { ...done, errors: 0, latencies: { claim: latency }, values, delivery: ledger.audit(pending) };
      } finally {
        await scratch.close();
        await redis.clear();
      }
    },
  };
}

/** The same store, where a claim of more asks than `batch` becomes several calls. */
function boundedClaims(storage: Storage, batch: number): Storage {
  return new Proxy(storage, {
    get(target, name) {
      if (name !== "claim") {
        const found = Reflect.get(target, name, target) as unknown;
        return typeof found === "function" ? (found.bind(target) as unknown) : found;
      }
      return async (...[queue, asks]: Parameters<Storage["claim"]>) => {
        if (asks.length <= batch) return target.claim(queue, asks);
        const parts: Promise<Awaited<ReturnType<Storage["claim"]>>>[] = [];
        for (let at = 0; at < asks.length; at += batch) {
          parts.push(target.claim(queue, asks.slice(at, at + batch)));
        }
        const replies = await Promise.all(parts);
        return {
          grants: replies.flatMap(({ grants }) => grants),
          more: replies.at(-1)?.more === true,
        };
      };
    },
  });
}
