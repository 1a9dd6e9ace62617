import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { Child } from "../src/lab/child.ts";
import {
  type Candidate,
  type RunOptions,
  runInterleaved,
  seriesNamed,
  spreadOfSeries,
  value,
} from "../src/lab/run.ts";
import { judge } from "../src/lab/target.ts";
import type { Kept, MemoryDuties } from "./memory-process.ts";
import { TARGETS } from "./targets.ts";

/** A Map doubles at a power of two: a key is dearest just above one, and cheapest just below. */
const JUST_GROWN = 135_000;
const NEARLY_FULL = 260_000;
const QUEUES = 5_000;

const FILLS: readonly { readonly kept: Kept; readonly count: number }[] = [
  { kept: "tasks", count: NEARLY_FULL },
  { kept: "keyed tasks", count: JUST_GROWN },
  { kept: "keyed tasks", count: NEARLY_FULL },
  { kept: "keys", count: JUST_GROWN },
  { kept: "keys", count: NEARLY_FULL },
  { kept: "queues", count: QUEUES },
];

/** Is what the engine counts of its memory what it takes? */
export const embeddedMemory: Benchmark = {
  name: "embedded-memory",
  question:
    "What do a task, a remembered idempotency key (of a task that is there, and of one that is gone) and a queue take of " +
    "memory, and does the engine count as much for them as they take?",
  changesOurMind:
    "More than is counted: then the bound on memory comes after the end of the heap. Less than half of it: then it " +
    "refuses tasks for which there is room.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const series = await runInterleaved(FILLS.map(filling), { ...options, warmupSeconds: 0 });
  return {
    parameters: { keyCharacters: 36 },
    series,
    comparisons: [],
    targets: FILLS.map((fill) =>
      judge(TARGETS.memoryCounted, spreadOfSeries(seriesNamed(series, nameOf(fill)), value("takenShare"))),
    ),
    notes: [
      "Each fill in a process of its own, after a collection, with the cache of recent payloads switched off. The " +
        "targets stand in the order of the fills: bytes taken, on the heap and outside it, by what is counted.",
    ],
  };
}

function nameOf({ kept, count }: (typeof FILLS)[number]): string {
  return `${count.toLocaleString("en-US")} ${kept}`;
}

function filling(fill: (typeof FILLS)[number]): Candidate {
  return {
    name: nameOf(fill),
    async measure() {
      const child = Child.start<MemoryDuties>(new URL("./memory-process.js", import.meta.url));
      const startedAt = performance.now();
      try {
        const { heap, outside, counted } = await child.call("fill", fill);
        return {
          seconds: (performance.now() - startedAt) / 1_000,
          operations: fill.count,
          errors: 0,
          values: {
            heapBytesEach: heap,
            outsideBytesEach: outside,
            countedBytesEach: counted,
            takenShare: (heap + outside) / counted,
          },
        };
      } finally {
        await child.end();
      }
    },
  };
}
