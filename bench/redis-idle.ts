import { setMaxListeners } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import type { Broker } from "../src/broker/broker.ts";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { Child } from "../src/lab/child.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { payloadPool } from "../src/lab/payload.ts";
import {
  type Candidate,
  latencyNs,
  type RunOptions,
  ratioOf,
  runInterleaved,
  type Series,
  seriesNamed,
  spreadOfSeries,
  value,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import { parseQueueName, type QueueName } from "../src/task/ids.ts";
import type { ClaimedTask } from "../src/task/task.ts";
import { fillNoted, QUEUE } from "./engine.ts";
import { BenchRedis, freshPrefix, openScratchRedis } from "./redis.ts";
import type { RedisWorkerDuties } from "./redis-worker-process.ts";
import { TARGETS } from "./targets.ts";

const PARKED = 1_000;
const MANY_QUEUES = 100;
/** Three repetitions of it are the minute that the target speaks of. */
const IDLE_SECONDS = 20;
const WAKE_EVERY_MS = 5;
const HOLD = { calls: 20, count: 10, leaseMs: 1_500 } as const;
const HOUR_MS = 3_600_000;
const PAYLOADS = payloadPool();

/** What does waiting cost, how fast does it end, and how soon is a dead worker's task back? */
export const redisIdle: Benchmark = {
  name: "redis-idle",
  question:
    `How many commands do ${PARKED.toLocaleString("en-US")} parked claims send over a minute of nothing? How long from an enqueue to the answer of a parked ` +
    "claim, in the broker that accepted it and in another? How long after the end of its lease is the task of a worker that was killed claimed again?",
  changesOurMind:
    "More than about one command a second, or a redelivery more than 100 ms after the lease at P99: then something polls, or nobody minds the leases of the dead.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const [redis, other] = [await BenchRedis.start(), await BenchRedis.start()];
  try {
    const wakes = [wake(redis, "same broker"), wake(redis, "other broker"), twoHops(redis)];
    const moving = await runInterleaved([...wakes, recovery(redis)], options);
    await redis.clear();
    const idle = await runInterleaved([idling(redis, other)], {
      ...options,
      seconds: Math.max(IDLE_SECONDS, options.seconds),
      warmupSeconds: Math.min(1, options.warmupSeconds),
    });
    return findings([...moving, ...idle]);
  } finally {
    await redis.stop();
    await other.stop();
  }
}

function findings(series: readonly Series[]): Findings {
  const compare = (candidate: string, baseline: string) => ({
    measure: "wake-up P50",
    candidate,
    baseline,
    ...ratioOf(seriesNamed(series, candidate), seriesNamed(series, baseline), latencyNs("wake", 50)),
  });
  const late = latencyNs("lateness", 99);
  const idle = seriesNamed(series, "idle");
  return {
    parameters: { parked: PARKED, manyQueues: MANY_QUEUES, leaseMs: HOLD.leaseMs },
    series,
    comparisons: [
      compare("wake, other broker", "wake, same broker"),
      compare("wake, other broker", "publish, then a claim of nothing"),
    ],
    targets: [
      judge(TARGETS.idleCommands, spreadOfSeries(idle, value("commandsPerSecond"))),
      judge(
        TARGETS.recoveryP99,
        spreadOfSeries(seriesNamed(series, "killed worker"), (repetition) => late(repetition) / 1e6),
      ),
    ],
    notes: [
      `"commandsPerSecond" counts every command of every connection but the observer's: ${PARKED.toLocaleString("en-US")} claims of one queue, and beside it of ${MANY_QUEUES} queues. ` +
        `"wake": from the call of enqueue to the answer of the longest parked claim, ${PARKED.toLocaleString("en-US")} parked. "lateness": from the end of the dead worker's lease to the next claim of the task, by the clock of Redis, in whole milliseconds.`,
    ],
  };
}

/** Claims that wait for tasks, first come first served; their answers go to one place. */
class ParkedClaims {
  readonly #broker: Broker;
  readonly #away = new AbortController();
  readonly #all = new Set<Promise<void>>();
  onTask: (task: ClaimedTask) => void = () => {};

  constructor(broker: Broker, count: number, queues: readonly QueueName[] = [QUEUE]) {
    this.#broker = broker;
    setMaxListeners(0, this.#away.signal);
    for (let n = 0; n < count; n += 1) this.park(queues[n % queues.length] as QueueName);
  }

  park(queue: QueueName = QUEUE): void {
    const request = { queues: [queue], max: 1, waitMs: HOUR_MS, leaseMs: HOUR_MS };
    const parked = this.#broker.claim(request, this.#away.signal).then((tasks) => {
      this.#all.delete(parked);
      for (const task of tasks) this.onTask(task);
    });
    this.#all.add(parked);
  }

  async leave(): Promise<void> {
    this.#away.abort();
    await Promise.all(this.#all);
  }
}

function idling(redis: BenchRedis, other: BenchRedis): Candidate {
  return {
    name: "idle",
    async measure({ seconds }) {
      const [one, many] = [await openScratchRedis(redis), await openScratchRedis(other)];
      const queues = Array.from({ length: MANY_QUEUES }, (_, n) => parseQueueName(`q${n}`) as QueueName);
      const parked = [new ParkedClaims(one.broker, PARKED), new ParkedClaims(many.broker, PARKED, queues)];
      await wait(1_000);
      const observers = [await redis.observe(), await other.observe()] as const;
      const startedAt = nowNs();
      await wait(seconds * 1_000);
      const took = (nowNs() - startedAt) / 1e9;
      const [ofOne, ofMany] = [await observers[0](), await observers[1]()];
      for (const claims of parked) await claims.leave();
      await one.close();
      await many.close();
      return {
        seconds: took,
        operations: ofOne.commands,
        errors: 0,
        values: {
          commandsPerSecond: ofOne.commands / took,
          [`commandsPerSecond${MANY_QUEUES}Queues`]: ofMany.commands / took,
          serverCpuPercent: ofOne.cpuUs / took / 1e4,
        },
      };
    },
  };
}

/** Enqueues one task at a time; the claim that waits longest gets it, is completed, and parks anew. */
function wake(redis: BenchRedis, whose: "same broker" | "other broker"): Candidate {
  return {
    name: `wake, ${whose}`,
    async measure({ seconds }) {
      const prefix = freshPrefix();
      const waiting = await openScratchRedis(redis, { prefix });
      const asking = whose === "same broker" ? waiting : await openScratchRedis(redis, { prefix });
      const ledger = new DeliveryLedger();
      const latency = new LatencyHistogram();
      const parked = new ParkedClaims(waiting.broker, PARKED);
      try {
        await wait(200);
        const end = nowNs() + seconds * 1e9;
        for (let n = 0; nowNs() < end; n += 1) {
          const answered = new Promise<ClaimedTask>((resolve) => {
            parked.onTask = resolve;
          });
          const startedAt = nowNs();
          const enqueued = asking.broker.enqueue({
            queue: QUEUE,
            payload: PAYLOADS[n % PAYLOADS.length] as string,
          });
          const { id, lease } = await answered;
          latency.record(nowNs() - startedAt);
          ledger.enqueued((await enqueued).task.id);
          ledger.claimed(id);
          await waiting.broker.settleOne({ outcome: "complete", id, token: lease.token });
          ledger.completed(id);
          parked.park();
          await wait(WAKE_EVERY_MS);
        }
        const delivery = ledger.audit(await waiting.pending());
        return { seconds, operations: latency.count, errors: 0, latencies: { wake: latency }, delivery };
      } finally {
        await parked.leave();
        if (asking !== waiting) await asking.close();
        await waiting.close();
      }
    },
  };
}

/** What no wake-up across processes can beat by these means: a message, then a script that does nothing. */
function twoHops(redis: BenchRedis): Candidate {
  return {
    name: "publish, then a claim of nothing",
    async measure({ seconds }) {
      const latency = new LatencyHistogram();
      const [ear, mouth] = [redis.admin.duplicate(), redis.admin.duplicate()];
      await ear.subscribe("floor");
      let heard = () => {};
      ear.on("message", () => heard());
      const end = nowNs() + seconds * 1e9;
      while (nowNs() < end) {
        const message = new Promise<void>((resolve) => {
          heard = resolve;
        });
        const startedAt = nowNs();
        void mouth.publish("floor", "ready");
        await message;
        await mouth.eval("return 1", 0);
        latency.record(nowNs() - startedAt);
        await wait(WAKE_EVERY_MS);
      }
      ear.disconnect();
      mouth.disconnect();
      return { seconds, operations: latency.count, errors: 0, latencies: { wake: latency } };
    },
  };
}

/** A process claims tasks, some every few milliseconds, and is killed; claims that wait here get them after the leases. */
function recovery(redis: BenchRedis): Candidate {
  return {
    name: "killed worker",
    async measure() {
      const prefix = freshPrefix();
      const count = HOLD.calls * HOLD.count;
      const survivor = await openScratchRedis(redis, { prefix });
      const ledger = new DeliveryLedger();
      const lateness = new LatencyHistogram();
      const victim = Child.start<RedisWorkerDuties>(new URL("./redis-worker-process.js", import.meta.url));
      try {
        await fillNoted(survivor.storage, QUEUE, count, ledger);
        const held = await victim.call("hold", { url: redis.url, ...redis.address, prefix, ...HOLD });
        await victim.kill();
        if (held.length !== count) throw new Error(`The victim held ${held.length} of ${count} tasks`);
        const ends = new Map(held.map(({ id, expiresAt }) => [id as string, expiresAt]));
        for (const { id } of held) {
          ledger.claimed(id);
          ledger.returned(id);
        }
        const startedAt = nowNs();
        const tasks = await claimed(survivor.broker, count);
        for (const { id, lease } of tasks) {
          lateness.record((lease.claimedAt - (ends.get(id) as number)) * 1e6);
          ledger.claimed(id);
        }
        const delivery = ledger.audit(await survivor.pending());
        const seconds = (nowNs() - startedAt) / 1e9;
        return { seconds, operations: tasks.length, errors: 0, latencies: { lateness }, delivery };
      } finally {
        await victim.kill();
        await survivor.close();
      }
    },
  };
}

/** Parks as many claims as there are tasks, and gets them all. */
async function claimed(broker: Broker, count: number): Promise<readonly ClaimedTask[]> {
  const request = { queues: [QUEUE], max: 1, waitMs: 30_000, leaseMs: HOUR_MS };
  const answers = await Promise.all(Array.from({ length: count }, () => broker.claim(request)));
  return answers.flat();
}
