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
import { spreadOf } from "../src/lab/statistics.ts";
import { judge } from "../src/lab/target.ts";
import type { SnapshotsDuties } from "./embedded-snapshots-process.ts";
import { TARGETS } from "./targets.ts";

/** DIBS_BENCH_DEPTH makes it smaller, for a first look. */
const DEPTH = Number(process.env["DIBS_BENCH_DEPTH"] ?? 1_000_000);
/** As by default. */
const SEGMENT_BYTES = 32 * 1024 * 1024;
/** A segment that never fills: nothing is ever given back. */
const ENDLESS_BYTES = 2 ** 31 - 1;
const WITH = "with snapshots";
const WITHOUT = "without";

/** What do snapshots in the background cost those who claim, and do they keep the disk small enough? */
export const embeddedSnapshots: Benchmark = {
  name: "embedded-snapshots",
  question:
    `With ${DEPTH.toLocaleString("en-US")} tasks pending and half of the load that the engine can bear: how much does ` +
    "writing the oldest segments again raise the P99 of claims, and how much disk does the store take meanwhile?",
  changesOurMind:
    "A rise above 2 ms, or a journal above twice its live data and a segment: then the steps are too long, or begin " +
    "too late.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const snapshotting = start();
  const control = start();
  try {
    const { bytesATask } = await snapshotting.call("fill", { depth: DEPTH, segmentBytes: SEGMENT_BYTES });
    await control.call("fill", { depth: DEPTH, segmentBytes: ENDLESS_BYTES });
    const perSecond = Math.floor((await control.call("saturate", Math.max(options.seconds, 2))) / 2);
    const candidates = [
      candidate(WITH, snapshotting, perSecond, true),
      candidate(WITHOUT, control, perSecond, false),
    ];
    const series = await runInterleaved(candidates, options);
    for (const child of [snapshotting, control]) await child.call("close");
    return {
      parameters: { depth: DEPTH, perSecond, bytesATask, segmentBytes: SEGMENT_BYTES },
      ...judged(series),
    };
  } finally {
    for (const child of [snapshotting, control]) await child.end();
  }
}

function start() {
  return Child.start<SnapshotsDuties>(new URL("./embedded-snapshots-process.js", import.meta.url));
}

function candidate(
  name: string,
  child: Child<SnapshotsDuties>,
  perSecond: number,
  primed: boolean,
): Candidate {
  return {
    name,
    async measure({ seconds }) {
      if (primed) await child.call("prime");
      const { claims, failures, snapshots, diskBytesMax, diskShareMax, ...rest } = await child.call("load", {
        seconds,
        perSecond,
      });
      if (rest.errors > 0) throw new Error(`Calls failed: ${failures.join("; ")}`);
      if (!primed && snapshots > 0) throw new Error("The control was disturbed by a snapshot");
      await child.call("rest");
      return {
        ...rest,
        latencies: { claim: LatencyHistogram.decode(claims) },
        values: { snapshots, diskBytesMax, ...(primed ? { diskShareMax } : {}) },
      };
    },
  };
}

function judged(series: Awaited<ReturnType<typeof runInterleaved>>) {
  const [having, lacking] = [seriesNamed(series, WITH), seriesNamed(series, WITHOUT)];
  const p99 = latencyNs("claim", 99);
  const rises = having.repetitions.map((repetition, place) => {
    return (p99(repetition) - p99(lacking.repetitions[place] ?? repetition)) / 1e6;
  });
  // What must hold of all together: the number of snapshots by its sum, the disk by its worst moment.
  const snapshots = having.repetitions.reduce((sum, { values }) => sum + (values?.["snapshots"] ?? 0), 0);
  const disk = spreadOfSeries(having, value("diskShareMax"));
  return {
    series,
    comparisons: [50, 99].map((percentile) => ({
      measure: `claim P${percentile}`,
      candidate: WITH,
      baseline: WITHOUT,
      ...ratioOf(having, lacking, latencyNs("claim", percentile)),
    })),
    targets: [
      judge(TARGETS.snapshotsP99, spreadOf(rises)),
      judge(TARGETS.snapshotsDone, spreadOf([snapshots])),
      judge(TARGETS.snapshotsDisk, { ...disk, median: disk.max }),
    ],
    notes: [
      `${PAYLOAD_BYTES}-byte payloads. The pending tasks wait below the traffic and are never claimed, so that the ` +
        "oldest segments are live to the last byte and every one of them is written again whole. Before each trial " +
        "bulky tasks come and go until the first segment is removed; the next ones follow in the trial.",
      "Latencies count from the moment at which a claim was meant to leave; each claimed task is completed, replaced " +
        "and purged, so that live data stay as they are. Saturation: one caller in a closed loop on the control.",
      "The control is a process of its own with a segment that never fills, in turn with the other. Disk use is read " +
        "from the folder twenty times a second, without the reserve for a full disk; live data are the bytes a task " +
        "of the freshly filled store, times the tasks that are there.",
    ],
  };
}
