import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Broker } from "../src/broker/broker.ts";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES, payloadPool } from "../src/lab/payload.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import {
  type Candidate,
  perSecond,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  spreadOfSeries,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import type { Storage } from "../src/storage/storage.ts";
import { DibsError } from "../src/task/errors.ts";
import { newTaskId } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";
import {
  collectGarbage,
  type Durability,
  openScratchBroker,
  openScratchEngine,
  pendingIn,
  QUEUE,
} from "./engine.ts";
import { repeatFor } from "./loop.ts";
import { TARGETS } from "./targets.ts";

const CALLERS = 50;
const PAYLOADS = payloadPool();

/** How many tasks a second go through enqueue, claim and complete in one process? */
export const embeddedCycle: Benchmark = {
  name: "embedded-cycle",
  question:
    "How many tasks a second go through enqueue, claim and complete in one process: in batches of 1, 8 and 32, by " +
    `${CALLERS} callers of one task each, and by ${CALLERS} callers in \`power\` mode? ${PAYLOAD_BYTES}-byte payloads, ` +
    "default retention, every delivery audited.",
  changesOurMind:
    `Fewer than 80,000 a second by ${CALLERS} single callers: then merging does not pay for itself. Or a broker at ` +
    "batch 32 below half of the bare engine.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const batches = [1, 8, 32].map(brokerBatch);
  const candidates = [
    ...batches,
    engineBatch(32),
    callers(CALLERS, "process"),
    callers(CALLERS, "power"),
    bareFlush,
  ];
  const series = await runInterleaved(candidates, options);
  const named = (name: string) => seriesNamed(series, name);
  const rate = (name: string) => spreadOfSeries(named(name), perSecond);
  return {
    parameters: { callers: CALLERS, payloadBytes: PAYLOAD_BYTES },
    series,
    comparisons: [
      {
        measure: "tasks/s",
        candidate: "batch 32",
        baseline: "engine, batch 32",
        ...ratioOf(named("batch 32"), named("engine, batch 32"), perSecond),
      },
      {
        measure: "tasks a bare flush",
        candidate: `${CALLERS} callers, power`,
        baseline: bareFlush.name,
        ...ratioOf(named(`${CALLERS} callers, power`), named(bareFlush.name), perSecond),
      },
    ],
    targets: [
      judge(TARGETS.cycleBatch32, rate("batch 32")),
      judge(TARGETS.cycleCallers, rate(`${CALLERS} callers`)),
      judge(TARGETS.cyclePower, rate(`${CALLERS} callers, power`)),
    ],
    notes: [
      "The queue starts empty and is empty at the end. Batches: one caller, three calls a batch. Copying each id for the " +
        "audit is inside the measured time. The loop turns every two milliseconds only, so its delays mean little here.",
      '"bare flush" appends 4 KiB and waits for fdatasync, one after another: the disk of this machine at that moment. ' +
        "Power mode cannot be judged without it.",
    ],
  };
}

/** One caller that moves `size` tasks a call through the broker. */
export function brokerBatch(size: number): Candidate {
  return {
    name: `batch ${size}`,
    async measure({ seconds }) {
      const { storage, broker, close } = await openScratchBroker("process");
      const claim = { queues: [QUEUE], max: size, waitMs: 0 };
      const finished = measured(storage, async (ledger, claims) => {
        const step = async () => {
          const enqueued = await broker.enqueueMany(requests(size));
          const startedAt = nowNs();
          const tasks = await broker.claim(claim);
          claims.record(nowNs() - startedAt);
          const { results } = await broker.settle(
            tasks.map(({ id, lease: { token } }) => ({ outcome: "complete", id, token })),
          );
          for (const result of enqueued) ledger.enqueued(unlessError(result).task.id);
          for (const { id } of tasks) ledger.claimed(id);
          for (const result of results) ledger.completed(unlessError(result).id);
          return tasks.length;
        };
        let operations = 0;
        const took = await repeatFor(seconds, async () => {
          operations += await step();
        });
        return { seconds: took, operations };
      });
      return finished.finally(close);
    },
  };
}

/** The same without a broker: what its rules cost. */
function engineBatch(size: number): Candidate {
  return {
    name: `engine, batch ${size}`,
    async measure({ seconds }) {
      const { storage, close } = await openScratchEngine("process");
      const asks = [{ max: size }];
      const finished = measured(storage, async (ledger, claims) => {
        let operations = 0;
        const step = async () => {
          const news = requests(size).map(({ payload }) => ({ id: newTaskId(QUEUE), payload }));
          await storage.enqueue(QUEUE, news);
          const startedAt = nowNs();
          const { grants } = await storage.claim(QUEUE, asks);
          claims.record(nowNs() - startedAt);
          const tasks = grants[0] ?? [];
          const settlements = tasks.map(
            ({ id, lease: { token } }) => ({ outcome: "complete", id, token }) as const,
          );
          const { outcomes } = await storage.settle(QUEUE, settlements);
          for (const { id } of news) ledger.enqueued(id);
          for (const { id } of tasks) ledger.claimed(id);
          for (const [place, { kind }] of outcomes.entries()) {
            if (kind === "completed") ledger.completed(settlements[place]?.id as string);
          }
          operations += tasks.length;
        };
        const prune = async () => {
          while ((await storage.prune(QUEUE, LIMITS.stepMax)).more);
        };
        return { seconds: await repeatFor(seconds, step, prune), operations };
      });
      return finished.finally(close);
    },
  };
}

/** Callers at once, each with one task in its hands: what merging is for. */
export function callers(count: number, durability: Durability): Candidate {
  const name = count === 1 ? "1 caller" : `${count} callers`;
  return {
    name: durability === "process" ? name : `${name}, ${durability}`,
    async measure({ seconds }) {
      const { storage, broker, close } = await openScratchBroker(durability);
      const finished = measured(storage, async (ledger, claims) => {
        const startedAt = nowNs();
        const end = startedAt + seconds * 1e9;
        const counts = await Promise.all(
          Array.from({ length: count }, () => oneCaller(broker, end, ledger, claims)),
        );
        const operations = counts.reduce((sum, count) => sum + count, 0);
        return { seconds: (nowNs() - startedAt) / 1e9, operations };
      });
      return finished.finally(close);
    },
  };
}

async function oneCaller(broker: Broker, end: number, ledger: DeliveryLedger, claims: LatencyHistogram) {
  const claim = { queues: [QUEUE], max: 1, waitMs: 0 };
  let finished = 0;
  while (nowNs() < end) {
    const { task: added } = await broker.enqueue({ queue: QUEUE, payload: nextPayload() });
    ledger.enqueued(added.id);
    const startedAt = nowNs();
    const [task] = await broker.claim(claim);
    claims.record(nowNs() - startedAt);
    if (task === undefined) throw new Error("A claim found nothing although every caller had just enqueued");
    ledger.claimed(task.id);
    await broker.settleOne({ outcome: "complete", id: task.id, token: task.lease.token });
    ledger.completed(task.id);
    finished += 1;
  }
  return finished;
}

/** The disk alone: what every answer in power mode waits for. */
export const bareFlush: Candidate = {
  name: "bare flush",
  async measure({ seconds }) {
    const folder = await mkdtemp(join(tmpdir(), "dibs-bench-"));
    const file = await open(join(folder, "flushed"), "w");
    const flush = new LatencyHistogram();
    const block = Buffer.alloc(4_096, 0x2a);
    const took = await repeatFor(seconds, async () => {
      const startedAt = nowNs();
      await file.write(block);
      await file.datasync();
      flush.record(nowNs() - startedAt);
    });
    await file.close();
    await rm(folder, { recursive: true });
    return { seconds: took, operations: flush.count, errors: 0, latencies: { flush } };
  },
};

/** Runs `work` under observation and audits it against the engine's own counts. */
async function measured(
  storage: Storage,
  work: (
    ledger: DeliveryLedger,
    claims: LatencyHistogram,
  ) => Promise<{ seconds: number; operations: number }>,
) {
  collectGarbage();
  const ledger = new DeliveryLedger();
  const claim = new LatencyHistogram();
  const observer = ProcessObserver.start();
  const { seconds, operations } = await work(ledger, claim);
  const process = await observer.stop();
  const delivery = ledger.audit(await pendingIn(storage, QUEUE));
  return { seconds, operations, errors: 0, latencies: { claim }, process, delivery };
}

let made = 0;
function nextPayload(): string {
  made = (made + 1) % PAYLOADS.length;
  return PAYLOADS[made] as string;
}

function requests(count: number) {
  return Array.from({ length: count }, () => ({ queue: QUEUE, payload: nextPayload() }));
}

function unlessError<T>(result: T | DibsError): T {
  if (result instanceof DibsError) throw result;
  return result;
}
