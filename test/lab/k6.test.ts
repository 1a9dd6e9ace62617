import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dibs, ServerProcess } from "../command.ts";
import { isInstalled } from "../program.ts";
import { startRedis } from "../redis/servers/redis-server.ts";
import { filesIn, root } from "../source-tree.ts";

// The scripts of loadtest/k6 as they stand, against a real server: by a small stand-in for k6's modules, which has
// its own banner, thresholds and exit codes, and by k6 itself where somebody has installed it.

/** Small and short, and no bound on latency: the machine has other things to do, and may be slow at any of it. */
const SMALL = {
  RATE: "10",
  PRODUCER_RATE: "10",
  DURATION: "2s",
  BURST_DURATION: "1s",
  DRAIN_DURATION: "6s",
  TASKS: "50",
  VUS: "3",
  WORKER_VUS: "2",
  PRODUCER_PREALLOC_VUS: "2",
  DELAY_MAX_SECONDS: "1",
  CLAIM_P50_MS: "60000",
  CLAIM_P99_MS: "60000",
  LATENESS_P99_MS: "60000",
};

interface Summary {
  readonly script: string;
  readonly queue: string;
  readonly startedAt: number;
  readonly seconds: number;
  readonly vus: number;
  readonly operations: number;
  readonly perSecond: number;
  readonly errors: number;
  readonly tasks: Readonly<Record<"enqueued" | "claimed" | "completed" | "reclaimed" | "left", number>> & {
    readonly lost: number | null;
  };
  readonly emptyClaims: number;
  readonly latencies: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly slices: readonly { operations: number; latencies: { claim: { count: number; p99Ns: number } } }[];
  readonly thresholds: readonly { metric: string; expression: string; ok: boolean }[];
  readonly passed: boolean;
}

interface End {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let server: ServerProcess;
/** Has the stand-in as a command named `k6`. */
let standIn: string;

beforeAll(async () => {
  server = await ServerProcess.start("memory:");
  standIn = await mkdtemp(join(tmpdir(), "dibs-k6-path-"));
  const command = `#!/bin/sh\nexec "${process.execPath}" "${join(root, "test/lab/k6/run.js")}" "$@"\n`;
  await writeFile(join(standIn, "k6"), command);
  await chmod(join(standIn, "k6"), 0o755);
});

afterAll(async () => {
  await server.stop();
  await rm(standIn, { recursive: true, force: true });
});

/** A line as a reader types it. */
async function shell(line: string, env: Record<string, string>, cwd = root): Promise<End> {
  const child = spawn("bash", ["-c", line], {
    cwd,
    env: { ...process.env, DIBS_URL: server.url, K6_NO_USAGE_REPORT: "true", ...SMALL, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => (output.stdout += chunk));
  child.stderr.on("data", (chunk) => (output.stderr += chunk));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...output };
}

/** The summary among all that k6 prints. */
function summaryIn(output: string): Summary {
  const line = output.split("\n").find((each) => each.startsWith('{"format":"dibs-k6-summary"'));
  if (line === undefined) throw new Error(`There is no summary in ${output}`);
  return JSON.parse(line) as Summary;
}

/** What the server itself counted of a queue, from /metrics. */
async function counted(url: string, metric: string, queue: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${metric}\\{queue="${queue}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}

const ask = (path: string, body?: object, method = "POST") =>
  fetch(server.url + path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });

async function countsOf(queue: string): Promise<Record<string, number>> {
  const { queues } = (await (await fetch(`${server.url}/v1/queues`)).json()) as {
    queues: { queue: string; counts: Record<string, number> }[];
  };
  return queues.find((each) => each.queue === queue)?.counts ?? {};
}

const scripts = filesIn("loadtest/k6").filter((path) => /^loadtest\/k6\/[^/]+\.js$/.test(path));

it("are checked against the types of k6", () => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const complaints = () => execFileSync(process.execPath, [tsc, "-p", "loadtest"], { cwd: root });

  expect(complaints).not.toThrow();
  expect(scripts.length).toBe(7);
});

const ways = [
  { name: "the stand-in", path: () => `${standIn}${delimiter}${process.env["PATH"]}`, isHere: true },
  // k6 is a program of its own, which its users install: where it is not, the stand-in has to do.
  { name: "k6", path: () => process.env["PATH"] as string, isHere: isInstalled("k6") },
];

describe.each(ways)("by $name, a script", ({ path, isHere }) => {
  const run = (line: string, env: Record<string, string> = {}, cwd?: string) =>
    shell(line, { PATH: path(), ...env }, cwd);

  it.runIf(isHere).each(scripts.filter((script) => !script.includes("claim-latency")))(
    "%s does its work and accounts for every task",
    async (script) => {
      const { code, stdout, stderr } = await run(`k6 run ${script}`);
      const summary = summaryIn(stdout);
      const { tasks, queue } = summary;

      expect(stderr).not.toContain("level=error");
      expect({ code, missed: summary.thresholds.filter(({ ok }) => !ok) }).toEqual({ code: 0, missed: [] });
      expect(tasks.enqueued).toBeGreaterThanOrEqual(10);
      expect(tasks.lost).toBe(0);
      expect(tasks.completed).toBe(tasks.claimed);
      if (script.includes("prefill")) expect(tasks.left).toBe(50);
      else expect(summary.operations).toBeGreaterThan(0);
      const order = queue.includes("mixed")
        ? await counted(server.url, "dibs_tasks_completed_total", `${queue}-order`)
        : 0;
      expect(await counted(server.url, "dibs_tasks_completed_total", queue)).toBe(tasks.completed - order);
      // Nothing is left behind, but what the prefill is for.
      const { ready = 0, ...others } = await countsOf(queue);
      expect(Object.values(others).every((count) => count === 0)).toBe(true);
      expect(ready).toBe(script.includes("prefill") ? 50 : 0);
      await ask(`/v1/queues/${queue}/tasks?state=ready`, undefined, "DELETE");
    },
  );

  it.runIf(isHere)(
    "runs as the guide to claim latency has it, and leaves its figures in baseline.json",
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "dibs-k6-baseline-"));
      const loadtest = join(folder, "loadtest");
      await cp(join(root, "loadtest"), loadtest, { recursive: true });
      const { code, stderr } = await run(
        "cd loadtest\nk6 run -u 3 -d 6s k6/claim-latency.js > baseline.json",
        {},
        folder,
      );
      const baseline = join(loadtest, "baseline.json");
      const written = await readFile(baseline, "utf8");
      const compared = await dibs(["compare", baseline, baseline]);
      await rm(folder, { recursive: true, force: true });
      const summary = summaryIn(written);

      expect(code).toBe(0);
      expect(written).toContain("execution: local"); // What k6 prints of itself is there too.
      expect(stderr).toMatch(/claim +\d+ +[\d.]+ ms +[\d.]+ ms +[\d.]+ ms/);
      expect(summary).toMatchObject({
        script: "claim-latency",
        vus: 3,
        errors: 0,
        emptyClaims: 0,
        passed: true,
      });
      expect(summary.seconds).toBeGreaterThanOrEqual(6);
      expect(summary.tasks).toMatchObject({ enqueued: summary.operations, lost: 0, left: 0, reclaimed: 0 });
      expect(summary.perSecond).toBeCloseTo(summary.operations / summary.seconds, 6);
      const { claim } = summary.latencies;
      expect(claim?.["count"]).toBe(summary.operations);
      const rising = ["p50Ns", "p90Ns", "p95Ns", "p99Ns", "p999Ns", "maxNs"].map(
        (name) => claim?.[name] as number,
      );
      expect(rising).toEqual([...rising].sort((a, b) => a - b));
      expect(rising[0]).toBeGreaterThan(10_000);
      const inSlices = summary.slices.reduce((sum, { operations }) => sum + operations, 0);
      expect(inSlices).toBe(summary.operations);
      expect(summary.slices.length).toBeGreaterThan(1);
      expect(summary.slices.length).toBeLessThanOrEqual(10);
      expect(compared.stdout).toMatch(/^P99 .* × 1\.00 /m);
    },
  );

  it.runIf(isHere)("fails when nothing was claimed", async () => {
    await ask("/v1/queues/k6-claim-latency", {}, "PATCH");
    await ask("/v1/queues/k6-claim-latency/pause");
    const { code, stdout } = await run("k6 run -u 1 -d 1s loadtest/k6/claim-latency.js");
    await ask("/v1/queues/k6-claim-latency/resume");
    const { thresholds, passed, tasks } = summaryIn(stdout);
    const missed = thresholds
      .filter(({ ok }) => !ok)
      .map(({ metric, expression }) => `${metric} ${expression}`);

    expect([code, passed]).toEqual([99, false]);
    expect(missed.sort()).toEqual([
      "claims_empty count==0",
      "tasks_claimed count>0",
      "tasks_completed count>0",
      "tasks_left count==0",
    ]);
    expect([tasks.claimed, tasks.left]).toEqual([0, tasks.enqueued]);
    expect(await countsOf("k6-claim-latency")).toMatchObject({ ready: 0, leased: 0 });
  });

  it.runIf(isHere)("touches no queue with work in it, unless it may", async () => {
    await ask("/v1/tasks/batch", { tasks: [{ queue: "mail" }, { queue: "mail" }] });
    const line = "QUEUE=mail k6 run -u 1 -d 1s loadtest/k6/claim-latency.js";
    const refused = await run(line);

    expect(refused.code).toBe(107);
    expect(refused.stderr).toContain("Queue mail at");
    expect(refused.stderr).toContain("holds 2 unfinished tasks");
    expect(await countsOf("mail")).toMatchObject({ ready: 2, leased: 0, completed: 0 });

    const allowed = await run(`TAKE_OVER=1 ${line}`);
    const { tasks } = summaryIn(allowed.stdout);
    expect([allowed.code, tasks.lost, tasks.left]).toEqual([0, null, 2]);
    expect(await countsOf("mail")).toMatchObject({ ready: 2, leased: 0, completed: tasks.completed });
    await ask("/v1/queues/mail/tasks?state=ready", undefined, "DELETE");
  });

  it.runIf(isHere)("says what is wrong with what it was told, before the first request", async () => {
    const rate = await run("RATE=fast k6 run loadtest/k6/01_sustained_throughput.js");
    const shares = await run("HIGH_PCT=90 k6 run loadtest/k6/05_mixed_priorities.js");
    const nobody = await run("DIBS_URL=http://127.0.0.1:1 k6 run -u 1 -d 1s loadtest/k6/claim-latency.js");

    expect([rate, shares, nobody].map(({ code }) => code)).toEqual([107, 107, 107]);
    expect(rate.stderr).toMatch(/Expected RATE to be a whole number from 1 to \d+, got .*fast/);
    expect(shares.stderr).toContain("Expected HIGH_PCT + MED_PCT + LOW_PCT to be 100, got 140");
    expect(nobody.stderr).toContain("No answer from http://127.0.0.1:1");
    expect(nobody.stderr).toContain("Set DIBS_URL");
  });

  it.runIf(isHere)("shows its token, and says when one is missing", async () => {
    const locked = await ServerProcess.start("memory:", [], { env: { DIBS_TOKENS: "a-token-of-this-test" } });
    const line = "k6 run -u 1 -d 1s loadtest/k6/claim-latency.js";
    const without = await run(line, { DIBS_URL: locked.url });
    const withIt = await run(line, { DIBS_URL: locked.url, DIBS_TOKEN: "a-token-of-this-test" });
    await locked.stop();

    expect([without.code, withIt.code]).toEqual([107, 0]);
    expect(without.stderr).toContain("set DIBS_TOKEN");
    expect(summaryIn(withIt.stdout).tasks.lost).toBe(0);
  });

  it.runIf(isHere)("works on Redis as it does on the embedded engine", async () => {
    const redis = await startRedis();
    const onRedis = await ServerProcess.start(redis.url);
    const { code, stdout } = await run("k6 run -u 2 -d 1s loadtest/k6/claim-latency.js", {
      DIBS_URL: onRedis.url,
    });
    await onRedis.stop();
    await redis.stop();

    expect([code, summaryIn(stdout).tasks.lost]).toEqual([0, 0]);
  });
});

it("has vus and a duration of its own and no scenarios, which -u and -d would discard", async () => {
  const script = await readFile(join(root, "loadtest/k6/claim-latency.js"), "utf8");

  expect(script).toMatch(/^ {2}vus: \d+,\n {2}duration: "\d+s",$/m);
  expect(script).not.toMatch(/^\s*scenarios\b/m);
});
