import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BenchReport } from "../../src/lab/bench/report.ts";
import type { Comparison } from "../../src/lab/compare/comparison.ts";
import { type CommandEnd, dibs } from "../command.ts";

/** The command on files: those that `dibs bench` really saved, and what k6 prints around a summary of its scripts. */
let folder: string;
const inFolder = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-test-compare-"));
  for (const name of ["base.json", "candidate.json"]) {
    const runs = ["--runs", "5", "--seconds", "0.3", "--warmup", "0.2", "--save", inFolder(name)];
    expect(await dibs(["bench", "claim", ...runs])).toMatchObject({ code: 0 });
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function compare(base: string, candidate: string, ...flags: string[]): Promise<CommandEnd> {
  return dibs(["compare", inFolder(base), inFolder(candidate), ...flags]);
}

async function comparisonOf(base: string, candidate: string, ...flags: string[]) {
  const { code, stdout } = await compare(base, candidate, "--json", ...flags);
  return { code, comparison: JSON.parse(stdout) as Comparison };
}

/** The candidate's report, changed. */
async function changed(name: string, change: (report: BenchReport) => unknown): Promise<string> {
  const report = JSON.parse(await readFile(inFolder("candidate.json"), "utf8")) as BenchReport;
  change(report);
  await writeFile(inFolder(name), JSON.stringify(report));
  return name;
}

/** As if the machine had been quiet: the figures of all runs within 2 % of those of the first. */
function evened({ runs }: BenchReport): void {
  const [first] = runs as [BenchReport["runs"][number]];
  for (const [n, run] of runs.entries()) {
    const wobble = 1 + 0.01 * (n % 3);
    run.perSecond = first.perSecond * wobble;
    run.client = { ...first.client, cpuUsPerOperation: first.client.cpuUsPerOperation * wobble };
    const { p50Ns, p95Ns, p99Ns } = timed(first);
    Object.assign(timed(run), { p50Ns: p50Ns * wobble, p95Ns: p95Ns * wobble, p99Ns: p99Ns * wobble });
  }
}

function timed({ latencies }: BenchReport["runs"][number]) {
  const found = latencies["claim"];
  if (found === undefined) throw new Error("The bench timed no claim");
  return found;
}

describe("dibs compare of two saved benches", () => {
  it("shows each measure with its ratio, interval and outcome, and ends as the verdict says", async () => {
    const { code, stdout, stderr } = await compare("base.json", "candidate.json");
    const { comparison } = await comparisonOf("base.json", "candidate.json");

    expect(stdout).toMatch(/^MEASURE +BASE +CANDIDATE +RATIO +INTERVAL +OUTCOME\nP50 /);
    for (const title of ["P95", "P99", "throughput", "CPU per operation", "memory", "errors"]) {
      expect(stdout).toMatch(new RegExp(`^${title} `, "m"));
    }
    expect(stderr).toContain("5 runs against 5, measured one after the other");
    // Two runs of one build on a machine that does other things too: what they say is theirs, that they agree is ours.
    expect(stdout).toContain(comparison.sentences[0]);
    expect(code).toBe(comparison.verdict === "worse" ? 1 : 0);
  });

  it("finds a report to be no different from itself", async () => {
    const { code, comparison } = await comparisonOf("base.json", "base.json");

    expect(comparison.verdict).toBe("noise");
    expect(comparison.measures.map(({ ratio }) => ratio)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(code).toBe(0);
  });

  it("ends with 1 when claims take thrice as long, and when they fail", async () => {
    const quiet = await changed("quiet.json", evened);
    const slow = await changed("slow.json", (report) => {
      evened(report);
      for (const run of report.runs) timed(run).p50Ns *= 3;
    });
    const failing = await changed("failing.json", (report) => {
      evened(report);
      for (const run of report.runs) run.timeouts = 1;
    });

    const slower = await comparisonOf(quiet, slow);
    expect(slower.code).toBe(1);
    expect(slower.comparison.sentences[0]).toContain("Worse: P50 up 200 %");
    const broken = await comparisonOf(quiet, failing);
    expect(broken.code).toBe(1);
    expect(broken.comparison.errors).toMatchObject({ candidate: { errors: 5 }, rose: true });
  });

  it("calls a win what brings P99 down by half, and ends with 1 where --require asks for more than there is", async () => {
    const quiet = await changed("quiet.json", evened);
    const fast = await changed("fast.json", (report) => {
      evened(report);
      for (const run of report.runs) timed(run).p99Ns /= 2;
    });

    expect((await comparisonOf(quiet, fast, "--require", "win")).code).toBe(0);
    expect((await comparisonOf(quiet, quiet, "--require", "better")).code).toBe(1);
  });

  it("prints Markdown for a pull request", async () => {
    const { stdout } = await compare("base.json", "base.json", "--markdown");

    expect(stdout).toMatch(/^### Noise: `base\.json`/);
    expect(stdout).toMatch(/^\| measure \| base\.json \| base\.json \| ratio \| interval \| outcome \|$/m);
    expect(stdout).toMatch(/^\| P50 \| .* \| × 1\.00 \| .* \| noise \|$/m);
  });

  it("gives no verdict over another machine, version or setting, unless it is told to", async () => {
    const elsewhere = await changed("elsewhere.json", ({ environment, settings }) => {
      environment.cores = 64;
      environment.node = "99.0.0";
      settings.concurrency = 7;
    });

    const refused = await comparisonOf("base.json", elsewhere);
    expect(refused.code).toBe(3);
    expect(refused.comparison.verdict).toBe("not judged");
    const [sentence] = refused.comparison.sentences;
    expect(sentence).toMatch(/different machines \(cores \d+ and 64\); `--allow machine`/);
    expect(sentence).toMatch(/different versions \(node \S+ and 99\.0\.0\); `--allow versions`/);
    expect(sentence).toMatch(/did not measure the same \(concurrency 1 and 7\); `--allow settings`/);

    const flags = ["machine", "versions", "settings"].flatMap((difference) => ["--allow", difference]);
    const told = await comparisonOf("base.json", elsewhere, ...flags);
    expect(told.comparison.verdict).not.toBe("not judged");
    expect(told.comparison.allowed).toHaveLength(3);
  });

  it("gives no verdict over fewer than five runs a side", async () => {
    const few = await changed("few.json", (report) => {
      report.runs = report.runs.slice(0, 4);
    });

    const { code, comparison } = await comparisonOf("base.json", few);
    expect(code).toBe(3);
    expect(comparison.sentences[0]).toContain("5 against 4 runs cannot tell a change from noise");
  });
});

describe("dibs compare of what k6 wrote", () => {
  const BANNER =
    "\n         /\\      Grafana   /‾‾/\n\n     execution: local\n        script: k6/claim-latency.js\n\n";
  const RUNNING = "running (0m01.0s), 10/10 VUs, 3021 complete and 0 interrupted iterations\n";

  async function k6Run(name: string, p99Ms: number): Promise<void> {
    const latencies = { claim: { p50Ns: 2e6, p95Ns: 4e6, p99Ns: p99Ms * 1e6 } };
    const slices = Array.from({ length: 10 }, (_, slice) => {
      const wobble = 1 + 0.01 * (slice % 3);
      const claim = { p50Ns: 2e6 * wobble, p95Ns: 4e6 * wobble, p99Ns: p99Ms * 1e6 * wobble };
      return { slice, seconds: 3, operations: 300, perSecond: 100 * wobble, latencies: { claim } };
    });
    const summary = {
      format: "dibs-k6-summary",
      version: 1,
      script: "claim-latency",
      protocol: "1.0.0",
      vus: 10,
      operations: 3_000,
      perSecond: 100,
      errors: 0,
      tasks: { lost: 0 },
      latencies,
      slices,
    };
    await appendFile(inFolder(name), `${BANNER}${RUNNING}\n${JSON.stringify(summary)}\n`);
  }

  it("finds the summary between what k6 itself prints, and compares the tenths of a run", async () => {
    await k6Run("k6-base.json", 20);
    await k6Run("k6-candidate.json", 12);

    const { code, comparison } = await comparisonOf("k6-base.json", "k6-candidate.json");
    expect(code).toBe(0);
    expect(comparison.verdict).toBe("win");
    expect(comparison.runs).toEqual({ base: 10, candidate: 10 });
    expect(comparison.measures.map(({ name }) => name)).toEqual(["p50Ms", "p95Ms", "p99Ms", "perSecond"]);
    expect(comparison.notes.join(" ")).toContain("k6 does not say on which machine it ran");
  });

  it("compares whole runs where five of them stand in one file, and never these with tenths", async () => {
    for (let n = 0; n < 5; n += 1) await k6Run("k6-five.json", 20 + n / 10);

    const whole = await comparisonOf("k6-five.json", "k6-five.json");
    expect(whole.comparison.runs).toEqual({ base: 5, candidate: 5 });
    const mixed = await comparisonOf("k6-base.json", "k6-five.json");
    expect(mixed.comparison.sentences[0]).toContain("parts tenths of runs and runs");
  });

  it("does not take k6 for a bench", async () => {
    const { code, comparison } = await comparisonOf("base.json", "k6-candidate.json");

    expect(code).toBe(3);
    expect(comparison.sentences[0]).toContain("measured dibs bench claim and k6 claim-latency");
  });
});

describe("dibs compare of something else", () => {
  it.each([
    [["no-such.json", "base.json"], /There is no file .*no-such\.json \(usage\)/],
    [["empty.json", "base.json"], /empty\.json: Expected a report of dibs bench or dibs load/],
    [["broken.json", "base.json"], /broken\.json: Not a report of dibs bench: .*runs/],
  ])("says what is wrong with %s", async ([base, candidate], message) => {
    await writeFile(inFolder("empty.json"), "");
    await writeFile(inFolder("broken.json"), '{"format":"dibs-bench","version":1}');

    const { code, stdout, stderr } = await compare(base as string, candidate as string);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });

  it.each([
    [["base.json"], /Expected two files, the base and the candidate, or --rev twice/],
    [["--rev", "HEAD"], /Expected --rev twice, got it 1 times/],
    [["a", "b", "--rev", "HEAD", "--rev", "HEAD"], /Give two files or two --rev, not both/],
    [["a", "b", "--pairs", "9"], /--pairs is for --rev/],
    [["a", "b", "--allow", "all"], /Expected machine, versions, settings/],
    [["a", "b", "--json", "--markdown"], /two forms/],
    [["--rev", "a", "--rev", "b", "--seconds", "0"], /Expected seconds, 0\.05 to 3600/],
    [["--rev", "a", "--rev", "b", "--store", "./data"], /Expected --store to be memory: or redis:/],
  ])("says what is wrong with %s on the command line", async (words, message) => {
    const { code, stderr } = await dibs(["compare", ...words]);

    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});

describe("the workflow for pull requests", () => {
  it("calls dibs compare as it is", async () => {
    const workflow = await readFile(new URL("../../.github/workflows/latency.yml", import.meta.url), "utf8");
    const lines = workflow
      .split("\n")
      .filter((line) => /dibs|compare|flags:/i.test(line) && line.includes(" --"));
    const flags = new Set(lines.flatMap((line) => line.match(/(?<=\s)--[a-z-]+/g) ?? []));
    const { stdout: help } = await dibs(["compare", "--help"]);

    expect(flags).toContain("--rev");
    expect([...flags].filter((flag) => !help.includes(`${flag} `))).toEqual([]);
  });
});
