import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { clockCostNs, nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES, payloadPool } from "../src/lab/payload.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import {
  type Candidate,
  latencyNs,
  type Measure,
  type Measurement,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  spreadOfSeries,
  type Trial,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import type { Settlement } from "../src/storage/storage.ts";
import { newTaskId } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";
import type { ClaimedTask } from "../src/task/task.ts";
import {
  collectGarbage,
  fillNoted,
  openScratchBroker,
  openScratchEngine,
  pendingIn,
  QUEUE,
} from "./engine.ts";
import { repeatFor } from "./loop.ts";
import { TARGETS } from "./targets.ts";

const DEPTH = 100_000;
const PAYLOADS = payloadPool();
/** About what the journal writes for one claim. */
const BARE_RECORD = Buffer.alloc(96, 0x2a);

/** How long does one caller wait for an embedded claim, in its own process? */
export const embeddedClaim: Benchmark = {
  name: "embedded-claim",
  question:
    "How long does one caller wait for an embedded enqueue, claim and complete in its own process, one at a time, " +
    `durability \`process\`, ${PAYLOAD_BYTES}-byte payloads, ${DEPTH.toLocaleString("en-US")} pending?`,
  changesOurMind:
    "A claim above 12 µs at P50, or a broker that more than doubles the engine's claim: then one of them does work " +
    "in the claim path that belongs elsewhere.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const series = await runInterleaved([bareAppend, engine, broker], options);
  const through = (name: string) => seriesNamed(series, name);
  const us =
    (measure: Measure): Measure =>
    (repetition) =>
      measure(repetition) / 1_000;
  const claimP50 = latencyNs("claim", 50);
  const compare = (candidate: string, baseline: string) => ({
    measure: "claim P50",
    candidate,
    baseline,
    ...ratioOf(through(candidate), through(baseline), claimP50),
  });
  return {
    parameters: {
      depth: DEPTH,
      payloadBytes: PAYLOAD_BYTES,
      durability: "process",
      clockCostNs: clockCostNs(),
    },
    series,
    comparisons: [
      compare("broker", "engine"),
      compare("engine", "bare append"),
      compare("broker", "bare append"),
    ],
    targets: [
      judge(TARGETS.claimP50, spreadOfSeries(through("broker"), us(claimP50))),
      judge(TARGETS.claimP99, spreadOfSeries(through("broker"), us(latencyNs("claim", 99)))),
    ],
    notes: [
      "One caller enqueues, claims the head and completes it, so the depth stays; each call is timed by itself and its " +
        `time holds one reading of the clock. "bare append" writes ${BARE_RECORD.length} bytes to a file with writeSync: ` +
        "the floor for any claim that survives kill -9.",
    ],
  };
}

/** One write of the system, without an engine: what no journal can beat. */
const bareAppend: Candidate = {
  name: "bare append",
  async measure({ seconds }) {
    const folder = await mkdtemp(join(tmpdir(), "dibs-bench-"));
    const file = openSync(join(folder, "appended"), "w");
    const claim = new LatencyHistogram();
    const took = await repeatFor(seconds, async () => {
      const startedAt = nowNs();
      writeSync(file, BARE_RECORD);
      claim.record(nowNs() - startedAt);
    });
    fsyncSync(file);
    closeSync(file);
    await rm(folder, { recursive: true });
    return { seconds: took, operations: claim.count, errors: 0, latencies: { claim } };
  },
};

/** One caller's view of an engine or a broker. */
interface Calls {
  enqueue(payload: string): Promise<string>;
  claim(): Promise<ClaimedTask | undefined>;
  complete(task: ClaimedTask): Promise<void>;
  /** What the broker's loops would do; not timed. */
  prune?(): Promise<void>;
}

const engine: Candidate = {
  name: "engine",
  async measure(trial) {
    const { storage, close } = await openScratchEngine("process");
    const asks = [{ max: 1 }];
    const calls: Calls = {
      async enqueue(payload) {
        const id = newTaskId(QUEUE);
        const [outcome] = await storage.enqueue(QUEUE, [{ id, payload }]);
        if (outcome?.kind !== "enqueued") throw new Error(`An enqueue was answered "${outcome?.kind}"`);
        return id;
      },
      async claim() {
        const { grants } = await storage.claim(QUEUE, asks);
        return grants[0]?.[0];
      },
      async complete({ id, lease: { token } }) {
        const settlement: Settlement = { outcome: "complete", id, token };
        const { outcomes } = await storage.settle(QUEUE, [settlement]);
        if (outcomes[0]?.kind !== "completed")
          throw new Error(`A complete was answered "${outcomes[0]?.kind}"`);
      },
      async prune() {
        while ((await storage.prune(QUEUE, LIMITS.stepMax)).more);
      },
    };
    try {
      return await timeCalls(trial, storage, calls);
    } finally {
      await close();
    }
  },
};

const broker: Candidate = {
  name: "broker",
  async measure(trial) {
    const { storage, broker: brokered, close } = await openScratchBroker("process");
    const request = { queues: [QUEUE], max: 1, waitMs: 0 };
    const calls: Calls = {
      async enqueue(payload) {
        return (await brokered.enqueue({ queue: QUEUE, payload })).task.id;
      },
      async claim() {
        return (await brokered.claim(request))[0];
      },
      async complete({ id, lease: { token } }) {
        await brokered.settleOne({ outcome: "complete", id, token });
      },
    };
    try {
      return await timeCalls(trial, storage, calls);
    } finally {
      await close();
    }
  },
};

async function timeCalls(
  { seconds }: Trial,
  storage: Parameters<typeof fillNoted>[0],
  calls: Calls,
): Promise<Measurement> {
  const ledger = new DeliveryLedger();
  const latencies = {
    enqueue: new LatencyHistogram(),
    claim: new LatencyHistogram(),
    complete: new LatencyHistogram(),
  };
  await fillNoted(storage, QUEUE, DEPTH, ledger);
  collectGarbage();
  const observer = ProcessObserver.start();
  let n = 0;
  const step = async () => {
    const payload = PAYLOADS[n % PAYLOADS.length] as string;
    n += 1;
    const startedAt = nowNs();
    const id = await calls.enqueue(payload);
    const enqueuedAt = nowNs();
    const task = await calls.claim();
    const claimedAt = nowNs();
    if (task === undefined) throw new Error("A claim found nothing in a full queue");
    const completingAt = nowNs();
    await calls.complete(task);
    const completedAt = nowNs();
    latencies.enqueue.record(enqueuedAt - startedAt);
    latencies.claim.record(claimedAt - enqueuedAt);
    latencies.complete.record(completedAt - completingAt);
    ledger.enqueued(id);
    ledger.claimed(task.id);
    ledger.completed(task.id);
  };
  const took = await repeatFor(seconds, step, calls.prune);
  const process = await observer.stop();
  const delivery = ledger.audit(await pendingIn(storage, QUEUE));
  return { seconds: took, operations: n, errors: 0, latencies, process, delivery };
}
