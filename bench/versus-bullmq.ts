import { setTimeout as wait } from "node:timers/promises";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
import {
  type Candidate,
  type Measurement,
  perSecond,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  type Trial,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import { bulkOf, PeerQueue } from "./bullmq.ts";
import { collectGarbage, fillNoted, QUEUE } from "./engine.ts";
import { BenchRedis, openScratchClient, perOperation } from "./redis.ts";
import { TARGETS } from "./targets.ts";

const CONCURRENCIES = [1, 50, 200] as const;
type Concurrency = (typeof CONCURRENCIES)[number];
/** The worker runs so long before it is measured. */
const SETTLE_SECONDS = 0.3;
/** More than either side handles a second; when a queue runs out all the same, the trial ends early. */
const DIBS_PER_SECOND_MAX = { 1: 20_000, 50: 80_000, 200: 80_000 } as const;
const PEER_PER_SECOND_MAX = { 1: 12_000, 50: 30_000, 200: 30_000 } as const;
const BULK = 500;
/** A worker that claims for its free slots alone. */
const NOTHING_AHEAD = ", nothing ahead";

/** How much faster does a worker get through a queue than the field's most used one? */
export const versusBullmq: Benchmark = {
  name: "versus-bullmq",
  question:
    "How fast does a worker with a handler that does nothing get through a full queue, against a BullMQ worker on the same " +
    `Redis, at concurrency 1, 50 and 200, with and without an append-only file? And bulk enqueues of ${BULK}? ${PAYLOAD_BYTES}-byte payloads, results kept.`,
  changesOurMind:
    "Less than 2 times BullMQ's tasks a second at concurrency 1, or less than 3 times at 50 and 200: then settling and claiming " +
    "do not travel together, or the worker itself is what stands in the way.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const redis = await BenchRedis.start();
  const appending = await BenchRedis.start({ appendonly: "everysec" });
  try {
    const candidates = [
      ...CONCURRENCIES.flatMap((concurrency) => [
        worker(redis, concurrency),
        worker(redis, concurrency, NOTHING_AHEAD),
        peerWorker(redis, concurrency),
      ]),
      worker(appending, 50, ", AOF"),
      peerWorker(appending, 50, ", AOF"),
      bulk(redis),
      peerBulk(redis),
      bulk(appending, ", AOF"),
      peerBulk(appending, ", AOF"),
    ];
    return findings(await runInterleaved(candidates, options));
  } finally {
    await redis.stop();
    await appending.stop();
  }
}

function findings(series: Awaited<ReturnType<typeof runInterleaved>>): Findings {
  const between = (candidate: string, baseline: string) => ({
    measure: "tasks/s",
    candidate,
    baseline,
    ...ratioOf(seriesNamed(series, candidate), seriesNamed(series, baseline), perSecond),
  });
  const compare = (what: string) => between(`Dibs ${what}`, `BullMQ ${what}`);
  const nothingAhead = CONCURRENCIES.map((concurrency) => {
    const what = `worker × ${concurrency}`;
    return between(`Dibs ${what}${NOTHING_AHEAD}`, `BullMQ ${what}`);
  });
  const [one, fifty, twoHundred] = CONCURRENCIES.map((concurrency) => compare(`worker × ${concurrency}`));
  if (one === undefined || fifty === undefined || twoHundred === undefined)
    throw new Error("Too few comparisons");
  return {
    parameters: { payloadBytes: PAYLOAD_BYTES, settleSeconds: SETTLE_SECONDS, bulk: BULK },
    series,
    comparisons: [
      one,
      fifty,
      twoHundred,
      ...nothingAhead,
      compare("worker × 50, AOF"),
      compare("bulk"),
      compare("bulk, AOF"),
    ],
    targets: [
      judge(TARGETS.worker1, one),
      judge(TARGETS.worker50, fifty),
      judge(TARGETS.worker200, twoHundred),
    ],
    notes: [
      "Client, workers and broker are in one process, Redis in another; a trial has a queue of its own, filled before it. Counted are " +
        "handlers that ran; what was completed is checked against the queue's own count after the worker was closed.",
    ],
  };
}

/** Handlers that ran, and the moment when no task is left for them. */
class Handled {
  count = 0;
  readonly ledger = new DeliveryLedger();
  readonly #all: number;
  #onAll: () => void = () => {};
  readonly allDone = new Promise<void>((resolve) => {
    this.#onAll = resolve;
  });

  /** `all`: the number of handled tasks from which a worker at full concurrency may find too few. */
  constructor(all: number) {
    this.#all = all;
  }

  note(id: string): void {
    this.ledger.claimed(id);
    this.count += 1;
    if (this.count === this.#all) this.#onAll();
  }
}

/** Lets a worker run, measures it for so long, and closes it. */
async function drained(
  redis: BenchRedis,
  { seconds }: Trial,
  handled: Handled,
  start: () => { close(): Promise<void> },
  pending: () => Promise<number>,
): Promise<Measurement> {
  collectGarbage();
  const running = start();
  await Promise.race([wait(SETTLE_SECONDS * 1_000), handled.allDone]);
  const observed = await redis.observe();
  const before = handled.count;
  const startedAt = nowNs();
  await Promise.race([wait(seconds * 1_000), handled.allDone]);
  const operations = handled.count - before;
  const took = (nowNs() - startedAt) / 1e9;
  const reading = await observed();
  await running.close();
  return {
    seconds: took,
    operations,
    errors: 0,
    values: perOperation(reading, operations),
    delivery: handled.ledger.audit(await pending()),
  };
}

function countFor(perSecondMax: number, { seconds }: Trial): number {
  return Math.ceil(perSecondMax * (seconds + SETTLE_SECONDS));
}

function worker(redis: BenchRedis, concurrency: Concurrency, suffix = ""): Candidate {
  return {
    name: `Dibs worker × ${concurrency}${suffix}`,
    async measure(trial) {
      const scratch = await openScratchClient(redis);
      try {
        const count = countFor(DIBS_PER_SECOND_MAX[concurrency], trial);
        const handled = new Handled(count - concurrency);
        await fillNoted(scratch.storage, QUEUE, count, handled.ledger);
        const start = () => {
          const options = { concurrency, ...(suffix === NOTHING_AHEAD && { aheadMs: 0 }) };
          const running = scratch.dibs.work(QUEUE, ({ task }) => handled.note(task.id), options);
          running.on("completed", ({ task }) => handled.ledger.completed(task.id));
          return running;
        };
        return await drained(redis, trial, handled, start, scratch.pending);
      } finally {
        await scratch.close();
        await redis.clear();
      }
    },
  };
}

function peerWorker(redis: BenchRedis, concurrency: Concurrency, suffix = ""): Candidate {
  return {
    name: `BullMQ worker × ${concurrency}${suffix}`,
    async measure(trial) {
      const peer = await PeerQueue.open(redis);
      try {
        const count = countFor(PEER_PER_SECOND_MAX[concurrency], trial);
        const handled = new Handled(count - concurrency);
        await peer.fill(count, handled.ledger);
        const start = () => {
          const running = peer.work((id) => handled.note(id), concurrency);
          running.on("completed", ({ id }) => handled.ledger.completed(id as string));
          return running;
        };
        return await drained(redis, trial, handled, start, () => peer.pending());
      } finally {
        await peer.close();
        await redis.clear();
      }
    },
  };
}

/** Adds bulks one after the other for so long. `add` returns how many were accepted. */
async function added(redis: BenchRedis, { seconds }: Trial, add: (n: number) => Promise<number>) {
  const call = new LatencyHistogram();
  const observed = await redis.observe();
  const startedAt = nowNs();
  const end = startedAt + seconds * 1e9;
  let operations = 0;
  for (let now = startedAt; now < end; now = nowNs()) {
    operations += await add(operations);
    call.record(nowNs() - now);
  }
  const took = (nowNs() - startedAt) / 1e9;
  const values = perOperation(await observed(), operations);
  return { seconds: took, operations, errors: 0, latencies: { call }, values };
}

function bulk(redis: BenchRedis, suffix = ""): Candidate {
  return {
    name: `Dibs bulk${suffix}`,
    async measure(trial) {
      const scratch = await openScratchClient(redis);
      try {
        const measured = await added(redis, trial, async (n) => {
          const payloads = bulkOf(n, BULK).map(({ data }) => data);
          const outcomes = await scratch.dibs.enqueueMany(QUEUE, payloads);
          return outcomes.filter(({ error }) => error === undefined).length;
        });
        expectStored(await scratch.pending(), measured.operations);
        return measured;
      } finally {
        await scratch.close();
        await redis.clear();
      }
    },
  };
}

function peerBulk(redis: BenchRedis, suffix = ""): Candidate {
  return {
    name: `BullMQ bulk${suffix}`,
    async measure(trial) {
      const peer = await PeerQueue.open(redis);
      try {
        const measured = await added(redis, trial, async (n) => {
          return (await peer.queue.addBulk(bulkOf(n, BULK))).length;
        });
        expectStored(await peer.pending(), measured.operations);
        return measured;
      } finally {
        await peer.close();
        await redis.clear();
      }
    },
  };
}

function expectStored(stored: number, acknowledged: number): void {
  if (stored !== acknowledged) throw new Error(`${acknowledged} were acknowledged, ${stored} are there`);
}
