import { rm } from "node:fs/promises";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { Child } from "../src/lab/child.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
import {
  type Candidate,
  latencyNs,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
  spreadOfSeries,
  value,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import type { DepthDuties } from "./depth-process.ts";
import { TARGETS } from "./targets.ts";

const DEPTHS = [1_000, 100_000, 1_000_000] as const;
const DEEPEST = 1_000_000;

/** Does the claim stay fast when a million tasks wait, and what do they cost? */
export const embeddedDepth: Benchmark = {
  name: "embedded-depth",
  question:
    "Does an embedded claim stay as fast with 1,000,000 tasks pending as with 1,000? What does a pending task cost in " +
    "memory, how long does the engine pause while they come in, and how long does it take to start with them?",
  changesOurMind:
    "A claim at a million above 1.2 times that at a thousand, more than 150 bytes a task, a pause above 20 ms or a " +
    "start above 4 s: then the order or the recovery needs another structure.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const claims = await claimSeries(options);
  const fills = await runInterleaved([filling], { ...options, warmupSeconds: 0 });
  const p50 = latencyNs("claim", 50);
  const at = (depth: number) => seriesNamed(claims, nameOf(depth));
  const compare = (depth: number) => ({
    measure: "claim P50",
    candidate: nameOf(depth),
    baseline: nameOf(1_000),
    ...ratioOf(at(depth), at(1_000), p50),
  });
  const filled = seriesNamed(fills, filling.name);
  return {
    parameters: { payloadBytes: PAYLOAD_BYTES, durability: "process" },
    series: [...claims, ...fills],
    comparisons: DEPTHS.slice(1).map(compare),
    targets: [
      judge(TARGETS.depthP50, compare(DEEPEST)),
      judge(TARGETS.heapATask, spreadOfSeries(filled, value("bytesATask"))),
      judge(
        TARGETS.fillPause,
        spreadOfSeries(filled, ({ process }) => process?.gcPauseMaxMs ?? Number.NaN),
      ),
      judge(TARGETS.restart, spreadOfSeries(filled, value("firstClaimAfterStopS"))),
      judge(TARGETS.restart, spreadOfSeries(filled, value("firstClaimAfterKillS"))),
    ],
    notes: [
      "Each depth has an engine and a process of its own, filled once and measured in turn; every claimed task is " +
        "completed and replaced outside the timed part. Bytes a task: growth of heap and typed arrays after a collection, " +
        "with the cache of recent payloads switched off. Starts are in a fresh process, from the call of open to the first claimed " +
        "task, after a clean stop and after SIGKILL (in that order in the targets); files are in the system's cache.",
    ],
  };
}

function nameOf(depth: number): string {
  return `${depth.toLocaleString("en-US")} pending`;
}

async function claimSeries(options: RunOptions) {
  const children = DEPTHS.map((depth) => ({
    depth,
    child: Child.start<DepthDuties>(new URL("./depth-process.js", import.meta.url)),
  }));
  try {
    for (const { depth, child } of children) await child.call("fill", { depth, cached: true });
    const series = await runInterleaved(
      children.map(({ depth, child }) => claiming(depth, child)),
      options,
    );
    for (const { child } of children) await child.call("close");
    return series;
  } finally {
    for (const { child } of children) await child.end();
  }
}

function claiming(depth: number, child: Child<DepthDuties>): Candidate {
  return {
    name: nameOf(depth),
    async measure(trial) {
      const { seconds, operations, claims, delivery } = await child.call("claim", trial.seconds);
      return {
        seconds,
        operations,
        errors: 0,
        latencies: { claim: LatencyHistogram.decode(claims) },
        delivery,
      };
    },
  };
}

/** Fills a million in a fresh process, kills it, and starts twice: after the kill, and after a clean stop. */
const filling: Candidate = {
  name: "filling a million",
  async measure() {
    const bytes = await bytesUncached();
    const filler = Child.start<DepthDuties>(new URL("./depth-process.js", import.meta.url));
    const { folder, seconds, process } = await filler.call("fill", { depth: DEEPEST, cached: true });
    await filler.kill();
    const afterKill = await restart(folder);
    const afterStop = await restart(folder);
    await rm(folder, { recursive: true });
    return {
      seconds,
      operations: DEEPEST,
      errors: 0,
      values: {
        bytesATask: bytes / DEEPEST,
        openAfterKillS: afterKill.openS,
        firstClaimAfterKillS: afterKill.firstClaimS,
        openAfterStopS: afterStop.openS,
        firstClaimAfterStopS: afterStop.firstClaimS,
      },
      process,
    };
  },
};

/** What a million tasks add to the memory of a process that keeps no payloads. */
async function bytesUncached(): Promise<number> {
  const child = Child.start<DepthDuties>(new URL("./depth-process.js", import.meta.url));
  try {
    const { bytes } = await child.call("fill", { depth: DEEPEST, cached: false });
    await child.call("close");
    return bytes;
  } finally {
    await child.end();
  }
}

/** In a process of its own, as a real restart is: nothing is compiled yet. */
async function restart(folder: string) {
  const child = Child.start<DepthDuties>(new URL("./depth-process.js", import.meta.url));
  try {
    const started = await child.call("restart", folder);
    if (started.pending !== DEEPEST)
      throw new Error(`After the restart ${started.pending} tasks are pending`);
    return started;
  } finally {
    await child.end();
  }
}
