import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, CommanderError } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { GATES } from "../../src/lab/load/gates.ts";
import { type CommandEnd, dibs } from "../command.ts";
import { rowsUnder, sectionOf } from "../markdown.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";
import { read, root } from "../source-tree.ts";

// Holds docs/claim-latency-guide.md to the document that it follows, and the commands of the lab's pages to the
// program. DIBS_GUIDE_FULL=1 runs the guide's commands at the sizes that are printed, which takes some minutes.
const GUIDE = "docs/claim-latency-guide.md";
const PAGES = [
  GUIDE,
  "docs/latency.md",
  "docs/bench.md",
  "docs/load-testing.md",
  "docs/compare.md",
  "docs/doctor.md",
  "docs/profile.md",
].filter((path) => path !== "docs/profile.md" || existsSync(join(root, path)));

/** The headings of the document that the guide follows. */
const HEADINGS = [
  "# Worker and Task Claim Latency Optimization",
  "## Overview",
  "## Task Claim Lifecycle",
  "### Current Flow",
  "## Latency Analysis",
  "### Identify Bottlenecks",
  "## Optimization Strategies",
  "### 1. Reduce Network Roundtrips",
  "### 2. Batch Claim Operations",
  "### 3. Use Sorted Sets for Efficient Ordering",
  "### 4. Connection Warmup and Pooling",
  "## Caching Strategy",
  "### Task Metadata Caching",
  "## Measurement Approach",
  "### 1. Baseline Measurement",
  "### 2. Load Test Baseline",
  "### 3. Implement Optimization",
  "### 4. Compare Results",
  "## Concurrency Considerations",
  "### Lock Contention",
  "### Goroutine Coordination",
  "## Success Metrics",
  "## Testing with Load Tests",
];

/** Its commands, numbers and techniques, by heading; each stands in the section of the same name. */
const CONTENTS: readonly (readonly [heading: string, ...texts: string[]])[] = [
  ["Overview", "P99 ≤ 100 ms"],
  ["Current Flow", "SCAN", "HGET", "claimed"],
  ["Identify Bottlenecks", "go test -bench=BenchmarkClaim -cpuprofile=claim.prof -benchmem", "pprof"],
  ["Identify Bottlenecks", "SCAN time", "HGET roundtrips", "Lua script overhead"],
  [
    "Identify Bottlenecks",
    "redis-cli --latency-history",
    "k6 run loadtest/k6/claim-latency.js",
    "P50, P95 and P99",
  ],
  ["1. Reduce Network Roundtrips", "Lua script", "round trips"],
  ["2. Batch Claim Operations", "pipeline", "HGET and HSET"],
  ["3. Use Sorted Sets for Efficient Ordering", "ZRANGEBYSCORE", "O(log N + M)"],
  ["4. Connection Warmup and Pooling", "PINGs", "pool"],
  [
    "Task Metadata Caching",
    "TaskCache",
    "5 reads a write",
    "changes infrequently",
    "invalidation is manageable",
  ],
  ["1. Baseline Measurement", "five runs of ten seconds", "grep Benchmark", "ns/op"],
  ["2. Load Test Baseline", "k6 run -u 10 -d 30s k6/claim-latency.js > baseline.json"],
  ["4. Compare Results", "30 to 50 %", "no regression in throughput"],
  ["Lock Contention", "mutex", "RWMutex", "lock-free"],
  ["Goroutine Coordination", "goroutine", "merged"],
  ["Testing with Load Tests", "docs/26-load-testing.md", "k6 run -u 20 -d 60s k6/claim-latency.js"],
]; // prettier-ignore

const METRICS = [
  "P99 claim latency < 100ms (sustained)",
  "P50 latency < 20ms",
  "Throughput maintained or improved",
  "No increase in error rate or timeouts",
  "Memory usage stable under load",
  "GC pause time < 50ms",
];

describe("the guide", () => {
  const guide = read(GUIDE);

  it("has the headings of the document that it follows, in its order", () => {
    const headings = withoutBlocks(guide).match(/^#+ .+$/gm);
    expect(headings).toEqual(HEADINGS);
  });

  it("speaks of every command, number and technique under the heading where it stood", () => {
    const missing = CONTENTS.flatMap(([heading, ...texts]) => {
      const section = sectionOf(guide, heading).replace(/\s+/g, " ");
      return texts.filter((text) => !section.includes(text)).map((text) => `${heading}: ${text}`);
    });
    expect(missing).toEqual([]);
  });

  it("names the gate's line for each success metric, and the gate has it", () => {
    const rows = rowsUnder(sectionOf(guide, "Success Metrics"));
    expect(rows.map(([metric]) => metric)).toEqual(METRICS);
    const printed = printedCommands(sectionOf(guide, "Success Metrics")).flatMap(({ output }) => output);
    for (const [, line = ""] of rows)
      expect(printed.some((each) => each.startsWith(line.slice(1, -1)))).toBe(true);
    expect(GATES).toContain("seed");
  });
});

describe("the commands that the lab's pages print", () => {
  const lines = PAGES.flatMap((path) => commandLines(read(path)).map((line) => `${path}: ${line}`));

  it("are taken by the program as they stand", () => {
    const faults = lines.flatMap((each) => {
      const fault = faultIn(each.slice(each.indexOf(": ") + 2));
      return fault === undefined ? [] : [`${each}: ${fault}`];
    });
    expect(faults).toEqual([]);
    expect(lines.length).toBeGreaterThan(60);
  });

  it("have the flags that sentences name", () => {
    const named = PAGES.flatMap((path) =>
      [...withoutBlocks(read(path)).matchAll(/`(--[a-z0-9-]+)[^`\n]*`/g)].map(
        ([, flag]) => `${path}: ${flag}`,
      ),
    );
    // Two pages are written by scripts that have flags of their own.
    const scripts = ["scripts/load-figures.mjs", "bench/compare-calibration.ts"].flatMap((path) =>
      [...read(path).matchAll(/\b([a-z]+): \{ type: "(?:boolean|string)"/g)].map(([, name]) => `--${name}`),
    );
    const known = new Set([...flagsOf(createProgram()), ...scripts]);
    expect(named.filter((each) => !known.has(each.slice(each.indexOf(": ") + 2)))).toEqual([]);
    expect(named.length).toBeGreaterThan(40);
  });

  it.each([
    ["dibs bench claim --burn", "unknown option '--burn'"],
    ["dibs bench claim --seconds soon", "'--seconds"],
    ["dibs bench clam", "unknown command"],
    ["dibs compare a.json b.json c.json", "too many arguments"],
    ["npm run -s bench -- redis-pond", "no bench redis-pond"],
    ["npm run benches", "no script benches"],
    ["npx vitest run test/lab/nothing.test.ts", "no file test/lab/nothing.test.ts"],
    ["k6 run k6/nothing.js", "no file k6/nothing.js"],
  ])("would be refused when they were wrong: %s", (line, fault) => {
    expect(faultIn(line)).toContain(fault);
  });
});

describe("the guide's commands", () => {
  let redis: RedisServer;
  let folder: string;
  beforeAll(async () => {
    redis = await startRedis();
    folder = await mkdtemp(join(tmpdir(), "dibs-guide-"));
  });
  afterAll(async () => {
    await redis.stop();
    await rm(folder, { recursive: true });
  });

  it("run in the order in which they are printed, and print tables of that form", async () => {
    const ends = new Map<string, CommandEnd>();
    const missing: string[] = [];
    const printed = printedCommands(read(GUIDE));
    for (const { line, output } of printed) {
      const words = wordsOf(line.replaceAll("redis://127.0.0.1:6379", redis.url)).slice(1);
      // What is printed twice is run once, and shows another part of its output.
      const end = ends.get(line) ?? (await dibs(isFull ? words : shortened(words), { cwd: folder }));
      ends.set(line, end);
      const isExpected = codesOf(words).includes(end.code ?? -1);
      expect({ line, ...end, isExpected }).toEqual({ line, ...end, isExpected: true });
      const heads = end.stdout.split("\n").map(shapeOf);
      const rows = end.stdout.split("\n").map(labelOf);
      missing.push(...output.filter((text) => isHead(text) && !heads.includes(shapeOf(text))));
      // The ladder climbs two rungs only when it is made short.
      if (isFull || words[0] !== "ladder")
        missing.push(...output.filter((text) => !rows.includes(labelOf(text)) && labelOf(text) !== ""));
    }

    expect(missing).toEqual([]);
    expect(printed.flatMap(({ output }) => output.filter(isHead)).length).toBeGreaterThan(8);
  }, 900_000);
});

const isFull = process.env["DIBS_GUIDE_FULL"] === "1";

/** The same command over stretches so short that their figures say nothing; flags that come later win. */
function shortened(words: readonly string[]): string[] {
  const brief: Record<string, readonly string[]> = {
    bench: ["--runs", "2", "--seconds", "0.1", "--warmup", "0", "--depth", "200"],
    profile: ["--seconds", "0.2", "--depth", "200"],
    ladder: ["--rungs", "scan,dibs", "--seconds", "0.05", "--callers", "2", "--depth", "50"],
    doctor: words.includes("--watch") ? ["-i", "1", "--count", "2"] : [],
    load: words.includes("-u") ? ["-d", "1s"] : ["-d", "1s", "--rate", "100"],
  };
  return [...words, ...(brief[words[0] ?? ""] ?? [])];
}

/**
 * What a command may exit with where nothing is wrong with it: a Redis that keeps nothing on disk is red to the doctor,
 * and what short runs on a busy machine are judged to be is not the question here.
 */
function codesOf([name = ""]: readonly string[]): readonly number[] {
  const codes: Record<string, readonly number[]> = { doctor: [1], compare: [0, 1, 3], load: [0, 1, 3] };
  return codes[name] ?? [0];
}

/** The heads of tables: two words of capitals or more. */
const isHead = (text: string) =>
  (text.match(/(?<![\w/])[A-Z0-9/]*[A-Z]{2,}[A-Z0-9/.]*(?![\w/])/g) ?? []).length > 1 &&
  !/\d{2}/.test(text.replace(/P\d+(\.\d)?/g, ""));
const shapeOf = (text: string) => text.trim().replace(/\s+/g, " ");

/** What a row of a table begins with; nothing for other lines, and for rows that begin with a figure. */
function labelOf(text: string): string {
  const [label = "", ...cells] = text.split(/ {2,}/);
  // A profile has a row for GC when something was collected.
  return cells.length > 1 && /^[a-z]/i.test(label) && label !== "GC" ? label : "";
}

interface Printed {
  readonly line: string;
  readonly output: readonly string[];
}

/** The commands of the blocks that show what they print. */
function printedCommands(text: string): Printed[] {
  return blocksOf(text)
    .filter(([language]) => language === "console")
    .flatMap(([, block]) => block.split(/^\$ /m).slice(1))
    .map((each) => {
      const [line = "", ...output] = each.trimEnd().split("\n");
      return { line, output: output.filter((shown) => shown !== "…") };
    });
}

function blocksOf(text: string): (readonly [language: string, block: string])[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, name = "", block = ""]) => [name, block]);
}

function withoutBlocks(text: string): string {
  return text.replace(/^```\w*\n[\s\S]*?^```$/gm, "");
}

/** All lines that are meant to be typed, in blocks and in sentences. */
function commandLines(text: string): string[] {
  const typed = blocksOf(text).flatMap(([, block]) =>
    block.split("\n").map((line) => line.replace(/^\$ /, "").replace(/^(for [^;]+; do|[A-Z0-9_]+=\S+) /, "")),
  );
  // In a sentence a flag may stand without its value: `dibs load -u`.
  const inline = [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, code]) =>
    (code as string).replace(/ -[-a-z]+$/, ""),
  );
  return [...typed, ...inline]
    .map((line) => line.replace(/^[A-Z0-9_]+=\S+ /, ""))
    .filter((line) =>
      /^(npx )?dibs [a-z]|^npm run |^npx vitest |^node (scripts|build)\/|^k6 run /.test(line),
    );
}

/** The words of a shell line up to where the next command or file begins. */
function wordsOf(line: string): string[] {
  const words = line.match(/'[^']*'|"[^"]*"|[|;&>]+|[^\s|;&>]+/g) ?? [];
  const end = words.findIndex((word) => /^([|;&>]+|#.*)$/.test(word));
  return (end === -1 ? words : words.slice(0, end)).map((word) => word.replace(/^(['"])(.*)\1$/, "$2"));
}

/** What is wrong with a line, in words. */
function faultIn(line: string): string | undefined {
  const words = wordsOf(line.replace(/^npx dibs /, "dibs "));
  const [program, ...rest] = words;
  if (program === "dibs") return faultOfCommand(rest);
  if (program === "npm") return faultOfScript(rest.filter((word) => word !== "-s").slice(1));
  const files = program === "node" ? rest.slice(0, 1) : rest.filter((word) => /\.(js|ts)$/.test(word));
  const missing = files.find((file) => !sourcesOf(file).some((path) => existsSync(join(root, path))));
  return missing === undefined ? undefined : `no file ${missing}`;
}

/** Where a file stands that a command names; what is built is looked for as its source. */
function sourcesOf(file: string): string[] {
  return [file, join("loadtest", file), file.replace(/^build\/(.*)\.js$/, "$1.ts")];
}

function faultOfScript([script = "", ...rest]: readonly string[]): string | undefined {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  if (!(script in scripts)) return `no script ${script}`;
  if (script !== "bench") return undefined;
  const names = rest.slice(1).filter((word) => /^[a-z]/.test(word));
  const unknown = names.find((name) => !benchNames.includes(name));
  return unknown === undefined ? undefined : `no bench ${unknown}`;
}

const benchNames = readdirSync(join(root, "bench"))
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) =>
    [...read(`bench/${file}`).matchAll(/(?:^ {2,4}name: |On\()"([a-z0-9-]+)",/gm)].map(
      ([, name]) => name as string,
    ),
  );

/** The long flags of a command and of all below it. */
function flagsOf(command: Command): Set<string> {
  const own = command.options.map(({ long }) => long ?? "");
  return new Set([...own, ...command.commands.flatMap((each) => [...flagsOf(each)])]);
}

/** What the program's own parser says of the words after `dibs`, without doing what they ask for. */
function faultOfCommand(words: readonly string[]): string | undefined {
  let command: Command = createProgram();
  let rest = [...words];
  while (command.commands.length > 0) {
    const next = command.commands.find((each) => each.name() === rest[0]);
    if (next === undefined)
      return rest.length === 0 || rest[0]?.startsWith("-") ? undefined : `unknown command ${rest[0]}`;
    command = next;
    rest = rest.slice(1);
  }
  try {
    const { operands, unknown } = command.configureOutput({ writeErr: () => {} }).parseOptions(rest);
    if (unknown.length > 0) return `unknown option '${unknown[0]}'`;
    const takes = command.registeredArguments;
    return operands.length > takes.length && !takes.at(-1)?.variadic ? "too many arguments" : undefined;
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
    throw error;
  }
}
