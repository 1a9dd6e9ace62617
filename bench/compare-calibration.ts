import { existsSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { RunFigures } from "../src/lab/compare/figures.ts";
import { type Judgement, judge } from "../src/lab/compare/judge.ts";
import { DEFAULT_PAIRS, measurePairs, type PairedRuns, type PairSettings } from "../src/lab/compare/pairs.ts";
import { readEnvironment } from "../src/lab/environment.ts";
import { figure, table } from "../src/lab/markdown.ts";
import { medianOf } from "../src/lab/statistics.ts";
import { type BuildFiles, slowedBuild } from "./slowed-build.ts";

// How often does `dibs compare` cry wolf, and does it see what is there? Compares this build with itself, and with a
// copy whose claims are slower, many times and for real, with the settings that the command has by itself.
const USAGE = `node scripts/setup.mjs --bench && node build/bench/compare-calibration.js [options]

  --comparisons n   of the build with itself (200)
  --tries n         with a slower copy (40)
  --slower percent  how much slower its claims are, of their P50 (20)
  --out folder      (bench/results)
  --resume file     go on with a run that was interrupted: its .jsonl
  --document file   put the figures into this document, between its calibration marks (docs/compare.md)

Some 20 seconds a comparison on two quiet cores. Writes each to <date>-compare-calibration.jsonl as it is done, and the
sums to the .md beside it.
`;

const { values } = parseArgs({
  options: {
    comparisons: { type: "string", default: "200" },
    tries: { type: "string", default: "40" },
    slower: { type: "string", default: "20" },
    out: { type: "string", default: "bench/results" },
    resume: { type: "string" },
    document: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

/** A line of the file. */
interface Done {
  readonly kind: "same" | "slower";
  readonly at: string;
  readonly load1: number;
  /** What a claim of the slower copy spent more. */
  readonly delayUs?: number;
  readonly verdict: Judgement["verdict"];
  readonly measures: readonly {
    readonly name: string;
    readonly ratio: number;
    readonly low: number;
    readonly high: number;
    readonly outcome: string;
  }[];
  readonly runs: { readonly base: readonly RunFigures[]; readonly candidate: readonly RunFigures[] };
}

/** Ctrl-C ends it after the comparison so far, whose lines are kept for `--resume`. */
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

const say = (text: string) => process.stderr.write(`${text}\n`);
const settings: PairSettings = DEFAULT_PAIRS;

const source = fileURLToPath(new URL("../src/", import.meta.url));
const build: BuildFiles = { entry: join(source, "index.js"), command: join(source, "cli", "main.js") };

async function main(): Promise<void> {
  const path = values.resume ?? join(values.out, `${today()}-compare-calibration.jsonl`);
  await mkdir(dirname(path), { recursive: true });
  if (values.resume === undefined) await writeFile(path, "");
  const done = await readDone(path);
  const folder = await mkdtemp(join(tmpdir(), "dibs-calibration-"));
  try {
    const wanted = plan(Number(values.comparisons), Number(values.tries));
    for (const kind of missing(wanted, done)) {
      const next = kind === "same" ? await compared(kind, build) : await comparedWithSlower(folder, done);
      if (stop.signal.aborted) break;
      done.push(next);
      await appendFile(path, `${JSON.stringify(next)}\n`);
      const spent = next.delayUs === undefined ? "" : ` by ${figure(next.delayUs)} µs`;
      say(`${done.length} of ${wanted.length}: ${kind}${spent}, ${next.verdict}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (stop.signal.aborted) {
    say(`Interrupted. Go on with: --resume ${path}`);
    process.exitCode = 130;
    return;
  }
  const markdown = await summary(done);
  await writeFile(path.replace(/\.jsonl$/, ".md"), markdown);
  if (values.document !== undefined) await putInto(values.document, markdown);
  process.stdout.write(markdown);
}

const MARKS = ["<!-- calibration -->", "<!-- /calibration -->"] as const;

/** Without the heading and the question, which the document has itself. */
async function putInto(document: string, markdown: string): Promise<void> {
  const text = await readFile(document, "utf8");
  const [from, to] = MARKS.map((mark) => text.indexOf(mark)) as [number, number];
  if (from < 0 || to < from) throw new Error(`Expected ${MARKS.join(" … ")} in ${document}`);
  const figures = markdown.split("\n\n").slice(2).join("\n\n").trim();
  await writeFile(document, `${text.slice(0, from)}${MARKS[0]}\n${figures}\n${text.slice(to)}`);
}

/** A slower copy of its own for each try: 20 % of what a claim takes is another time on a busy machine. */
async function comparedWithSlower(folder: string, done: readonly Done[]): Promise<Done> {
  const delayUs = ((await p50Us(done)) * Number(values.slower)) / 100;
  const copy = { folder: join(folder, "slower"), packages: join(process.cwd(), "node_modules"), delayUs };
  try {
    return { ...(await compared("slower", await slowedBuild(build, copy))), delayUs };
  } finally {
    await rm(copy.folder, { recursive: true, force: true });
  }
}

/** Of the last comparison, which ended a moment ago. */
async function p50Us(done: readonly Done[]): Promise<number> {
  const last = done.findLast(({ kind }) => kind === "same");
  const runs = last?.runs ?? (await measurePairs(build, build, { ...settings, pairs: 5 }));
  return 1_000 * medianOf([...runs.base, ...runs.candidate].map(({ p50Ms }) => p50Ms));
}

/** Slower ones among the others: what the machine does meanwhile, it does to both. */
function plan(comparisons: number, tries: number): Done["kind"][] {
  const all = comparisons + tries;
  return Array.from({ length: all }, (_, n) => {
    return Math.floor(((n + 1) * tries) / all) > Math.floor((n * tries) / all) ? "slower" : "same";
  });
}

function missing(wanted: readonly Done["kind"][], done: readonly Done[]): Done["kind"][] {
  const left = { same: 0, slower: 0 };
  for (const { kind } of done) left[kind] += 1;
  return wanted.filter((kind) => {
    left[kind] -= 1;
    return left[kind] < 0;
  });
}

async function compared(kind: Done["kind"], candidate: BuildFiles): Promise<Done> {
  const { load1 } = await readEnvironment();
  const runs: PairedRuns = await measurePairs(build, candidate, { ...settings, signal: stop.signal });
  if (runs.base.length === 0) stop.signal.throwIfAborted();
  const { verdict, measures } = judge({ ...runs, paired: true });
  return {
    kind,
    at: new Date().toISOString(),
    load1,
    verdict,
    measures: measures.map(({ name, ratio, low, high, outcome }) => ({ name, ratio, low, high, outcome })),
    runs: { base: runs.base, candidate: runs.candidate },
  };
}

async function readDone(path: string): Promise<Done[]> {
  if (!existsSync(path)) return [];
  const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Done);
}

async function summary(done: readonly Done[]): Promise<string> {
  const same = done.filter(({ kind }) => kind === "same");
  const slower = done.filter(({ kind }) => kind === "slower");
  const alarms = same.filter(({ verdict }) => verdict !== "noise").length;
  const seen = slower.filter(({ verdict }) => verdict === "worse").length;
  const apart = oneAfterTheOther(same);
  const apartAlarms = apart.filter(({ verdict }) => verdict !== "noise").length;
  const share = (part: number, all: number) =>
    `${part} of ${all} (${figure((100 * part) / Math.max(1, all))} %)`;
  const { cpuModel, cores, node, commit } = await readEnvironment();
  const { pairs, seconds, warmupSeconds, concurrency, depth } = settings;
  return `${[
    "# compare-calibration",
    "How often does `dibs compare --rev` call noise a change, and how often does it see a slower claim path?",
    table(
      ["compared", "wanted", "measured"],
      [
        ["a build with itself: verdict other than noise", "at most 5 %", share(alarms, same.length)],
        [
          `with claims slower by ${values.slower} %: verdict worse`,
          "at least 90 %",
          share(seen, slower.length),
        ],
        [
          "the same runs of the build with itself as two files, one after the other: other than noise",
          "at most 5 %",
          share(apartAlarms, apart.length),
        ],
      ],
    ),
    table(
      [
        "measure",
        "false alarms",
        "half of the intervals are narrower than",
        "ratio seen of the slower copy, median",
      ],
      measureRows(same, slower),
    ),
    `${pairs} pairs of ${seconds} s after ${warmupSeconds} s of warm-up, ${concurrency} caller, ${depth} tasks in the queue, ` +
      `folder. Load before each: median ${figure(medianOf(done.map(({ load1 }) => load1)))}. ` +
      `${done[0]?.at} to ${done.at(-1)?.at}; Node ${node}, ${cores} × ${cpuModel}, commit ${commit?.slice(0, 12) ?? "unknown"}.`,
  ].join("\n\n")}\n`;
}

function measureRows(same: readonly Done[], slower: readonly Done[]): string[][] {
  return (same[0]?.measures ?? []).map(({ name }) => {
    const of = (all: readonly Done[]) =>
      all.flatMap(({ measures }) => measures.filter((each) => each.name === name));
    const widths = of(same).map(({ low, high }) => 100 * (Math.sqrt(high / low) - 1));
    const ratios = of(slower).map(({ ratio }) => ratio);
    return [
      name,
      String(of(same).filter(({ outcome }) => outcome !== "noise").length),
      `± ${figure(medianOf(widths))} %`,
      ratios.length === 0 ? "–" : `× ${medianOf(ratios).toFixed(2)}`,
    ];
  });
}

/** Each comparison's base against the candidate of the next, as two saved files are compared: not in turns. */
function oneAfterTheOther(same: readonly Done[]): Judgement[] {
  return same.slice(1).map(({ runs }, n) => {
    return judge({ base: (same[n] as Done).runs.base, candidate: runs.candidate, paired: false });
  });
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}

if (values.help) process.stdout.write(USAGE);
else
  await main().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
    process.exitCode = 130;
  });
