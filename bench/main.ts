import { parseArgs } from "node:util";
import { type Benchmark, runBenchmark } from "../src/lab/benchmark.ts";
import { markdownOf } from "../src/lab/markdown.ts";
import { writeReport } from "../src/lab/report.ts";
import type { RunOptions } from "../src/lab/run.ts";
import { embeddedClaim } from "./embedded-claim.ts";
import { embeddedCycle } from "./embedded-cycle.ts";
import { embeddedDepth } from "./embedded-depth.ts";
import { embeddedMemory } from "./embedded-memory.ts";
import { embeddedPeers } from "./embedded-peers.ts";
import { embeddedSnapshots } from "./embedded-snapshots.ts";
import { httpClaim } from "./http-claim.ts";
import { httpOpenLoop } from "./http-open-loop.ts";
import { loadCrossCheck } from "./load-cross-check.ts";
import { redisCache } from "./redis-cache.ts";
import { redisClaim } from "./redis-claim.ts";
import { redisDepth } from "./redis-depth.ts";
import { redisHttpClaim, redisHttpOpenLoop } from "./redis-http.ts";
import { redisIdle } from "./redis-idle.ts";
import { redisLayouts } from "./redis-layouts.ts";
import { redisLongest } from "./redis-longest.ts";
import { redisPool } from "./redis-pool.ts";
import { redisStart } from "./redis-start.ts";
import { redisTracking } from "./redis-tracking.ts";
import { soak } from "./soak.ts";
import { versusBullmq } from "./versus-bullmq.ts";

const BENCHMARKS: readonly Benchmark[] = [
  embeddedClaim,
  embeddedCycle,
  embeddedDepth,
  embeddedMemory,
  embeddedPeers,
  embeddedSnapshots,
  httpClaim,
  httpOpenLoop,
  loadCrossCheck,
  redisCache,
  redisClaim,
  redisDepth,
  redisHttpClaim,
  redisHttpOpenLoop,
  redisIdle,
  redisLayouts,
  redisLongest,
  redisPool,
  redisStart,
  redisTracking,
  soak,
  versusBullmq,
];

const USAGE = `npm run bench -- [names] [options]

  names          ${BENCHMARKS.map(({ name }) => name).join(", ")}; default all
  --repeats n    measured trials of each candidate, 3 or more (5)
  --seconds s    length of a trial (2)
  --warmup s     length of the warm-up of each candidate (1)
  --json         print the report as JSON instead of Markdown
  --no-save      do not write bench/results/<date>-<name>.{json,md}
  --out folder   write there instead
  --note text    what a reader must know of this run, e.g. a raised priority; kept in the report
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    repeats: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    warmup: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    save: { type: "boolean", default: true },
    out: { type: "string", default: "bench/results" },
    note: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const say = (text: string) => process.stderr.write(`${text}\n`);

function chosen(): readonly Benchmark[] {
  if (positionals.length === 0) return BENCHMARKS;
  return positionals.map((name) => {
    const found = BENCHMARKS.find((benchmark) => benchmark.name === name);
    if (found === undefined) throw new Error(`There is no benchmark "${name}"\n\n${USAGE}`);
    return found;
  });
}

async function answer(benchmark: Benchmark): Promise<void> {
  const options: RunOptions = {
    repeats: Number(values.repeats),
    seconds: Number(values.seconds),
    warmupSeconds: Number(values.warmup),
    onTrial: (candidate, { repetition }) => {
      say(`${benchmark.name}: ${candidate}, ${repetition === 0 ? "warm-up" : `repetition ${repetition}`}`);
    },
  };
  const report = await runBenchmark(benchmark, options);
  if (values.note !== undefined) report.notes.push(values.note);
  const markdown = markdownOf(report);
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${markdown}\n`);
  if (values.save) say(`Kept as ${await writeReport(values.out, report, markdown)}.{json,md}`);
}

if (values.help) process.stdout.write(USAGE);
else for (const benchmark of chosen()) await answer(benchmark);
