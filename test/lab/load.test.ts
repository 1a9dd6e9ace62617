import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exitCodeOf } from "../../src/cli/load/verdict.ts";
import { judgeGate } from "../../src/lab/load/gates.ts";
import type { LoadReport } from "../../src/lab/load/load-report.ts";
import { Command, dibs, ServerProcess } from "../command.ts";
import { GENTLE, load } from "./loading.ts";

// Real processes throughout: the command as it is shipped, its generators, and the server under load.
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dibs-load-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const path = (name: string) => join(folder, name);

describe("dibs load", () => {
  it("measures claims at intended times, accounts for every task, and leaves nothing behind", async () => {
    const { code, report } = await load("claim-latency", folder, ...GENTLE, "--generators", "2");

    expect(code).toBe(0);
    expect(report).toMatchObject({
      complete: true,
      settings: { loop: "open", perSecond: 60, rateFrom: "the command line", workers: 20, processes: 2 },
      target: { store: "embedded", durability: "process", ownServer: true },
      errors: 0,
      timeouts: 0,
    });
    expect(report.operations).toBe(60);
    expect(report.latencies["claim"]?.count).toBe(60);
    expect(report.delivery).toMatchObject({ exact: true, controlCaught: true });
    expect(report.timeline.reduce((sum, { claimed }) => sum + claimed, 0)).toBe(60);
    expect(report.timeline.some(({ rssBytes, ready }) => rssBytes !== null && ready !== null)).toBe(true);
    expect(report.server?.rssBytesMax).toBeGreaterThan(1e7);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("runs at half of the saturation that it measured and printed", async () => {
    const { stderr, code } = await dibs([
      "load",
      "claim-latency",
      ...["-d", "1s", "--save", path("half.json"), "--threshold", "errors<=0"],
    ]);
    const report = JSON.parse(readFileSync(path("half.json"), "utf8")) as LoadReport;

    expect(code).toBe(0);
    expect(report.settings.rateFrom).toBe("half of saturation");
    expect(report.settings.perSecond).toBeCloseTo((report.saturation?.perSecond ?? 0) / 2);
    const rate = Math.round(report.settings.perSecond ?? 0).toLocaleString("en-US");
    expect(stderr).toContain(`Open loop at ${rate} tasks/s, half of saturation`);
  });

  it("checks the order of every claim of mixed priorities", async () => {
    const { code, report } = await load("mixed-priorities", ...GENTLE, "--threshold", "outOfOrder<=0");

    expect(code).toBe(0);
    expect(report.order?.claims).toBeGreaterThanOrEqual(report.operations);
    expect(report.order?.outOfOrder).toBe(0);
  });

  it("tells how late delayed tasks were, and lets none come early", async () => {
    const { code, report } = await load("delayed", ...GENTLE, "--threshold", "early<=0");

    expect(code).toBe(0);
    expect(report.latencies["lateness"]?.count).toBeGreaterThanOrEqual(60);
    // Tasks with delays of up to five seconds are waited for.
    expect(report.seconds).toBeGreaterThan(3);
    expect(report.delivery).toMatchObject({ exact: true, pending: 0 });
  });

  it("times how soon a task starts while many claims wait", async () => {
    const { code, report } = await load("idle", "--workers", "300", ...GENTLE);

    expect(code).toBe(0);
    expect(report.latencies["start"]?.count).toBe(60);
    expect(report.delivery).toMatchObject({ exact: true, pending: 0 });
  });

  it("asks as fast as it is answered in the closed loop of so many users", async () => {
    const { code, report } = await load(
      ...["claim-latency", "-u", "3", "-d", "1s", "--threshold", "errors<=0"],
    );

    expect(code).toBe(0);
    expect(report.settings).toMatchObject({ loop: "closed", workers: 3, perSecond: null });
    expect(report.latencies["claim"]?.count).toBe(report.latencies["complete"]?.count);
    expect(report.operations).toBeGreaterThan(10);
    expect(report.delivery.exact).toBe(true);
  });

  it("ends after Ctrl-C with what was measured, and takes everything with it", async () => {
    const save = path("part.json");
    const command = new Command([
      "load",
      "claim-latency",
      folder,
      "-d",
      "60s",
      "--rate",
      "50",
      "--save",
      save,
    ]);
    await command.says(/measuring for 60 s/);
    // The calls of the first half second are told.
    await wait(1_000);
    command.send("SIGINT");
    const { code, stdout } = await command.ended();
    const report = JSON.parse(readFileSync(save, "utf8")) as LoadReport;

    expect(code).toBe(130);
    expect(stdout).toContain("Interrupted after");
    expect(report.complete).toBe(false);
    expect(report.operations).toBeGreaterThan(0);
    expect(report.seconds).toBeLessThan(30);
    expect(report.delivery.exact).toBe(true);
    expect(readdirSync(folder).filter((name) => name.startsWith("dibs-bench-"))).toEqual([]);
  });

  it.each([
    [["nightly"], "There is no scenario nightly; there are claim-latency, sustained"],
    [["burst", "-u", "5", "--rate", "9"], "--users is a closed loop, which has no rate"],
    [["burst", "--threshold", "claim.p98<1ms"], "Expected a threshold on enqueue, claim"],
    [["burst", "-d", "soon"], "Expected a time from 1s to 24h"],
    [["burst", "--gate", "fast"], "Expected seed or dibs."],
    [["burst", "/nowhere/at/all"], "There is no folder /nowhere/at/all"],
    [["burst", "--baseline", "/nowhere.json"], "There is no baseline /nowhere.json"],
  ])("refuses %j and says what is wrong", async (args, message) => {
    const { code, stderr, stdout } = await dibs(["load", ...args]);

    expect(stderr).toContain(message);
    expect(code).toBe(2);
    expect(stdout).toBe("");
  });
});

describe("dibs load on a running server", () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start("memory:");
  });
  afterAll(() => server.stop());

  it("counts a stall for every call that was meant to leave during it", async () => {
    const running = load("claim-latency", server.url, "-d", "3s", "--rate", "60", "--timeout-ms", "30000");
    await untilMeasured(server.url);
    process.kill(server.pid, "SIGSTOP");
    await wait(1_000);
    process.kill(server.pid, "SIGCONT");
    const { report } = await running;

    // A closed loop of twenty workers would have seen the second at most twenty times among these 540 calls.
    const { claim, service } = report.latencies;
    expect(report.target.ownServer).toBe(false);
    expect(claim?.maxNs).toBeGreaterThan(900e6);
    expect(claim?.p90Ns).toBeGreaterThan(300e6);
    expect(claim?.p90Ns).toBeGreaterThan(2 * (service?.p90Ns ?? 0));
    expect(report.generator.heldBack).toBeGreaterThan(20);
    expect(report.gcPauseMaxMs).not.toBeNull();
    expect(report.delivery.exact).toBe(true);
    expect(await depth(server.url)).toBe(0);
  });

  it("calls a timeout a timeout, and does not judge a delivery that cannot be known", async () => {
    const running = load("claim-latency", server.url, "-d", "3s", "--rate", "60", "--timeout-ms", "400");
    await untilMeasured(server.url);
    process.kill(server.pid, "SIGSTOP");
    await wait(1_500);
    process.kill(server.pid, "SIGCONT");
    const { report, code } = await running;

    expect(report.timeouts).toBeGreaterThan(0);
    expect(report.failures).toContain("No answer within 400 ms");
    expect(report.thresholds.find(({ what }) => what === "errors")?.verdict).toBe("fail");
    expect(code).toBe(1);
  });

  it("says so when the server cannot keep up", async () => {
    const { report, stdout } = await load(
      ...["claim-latency", server.url, "--workers", "2", "-d", "1s", "--rate", "30000"],
    );

    expect(report.generator.limit).not.toBe("none");
    expect(report.perSecond).toBeLessThan(30_000);
    expect(report.generator.unsent).toBeGreaterThan(0);
    expect(report.seconds).toBeLessThan(10);
    expect(report.delivery.exact).toBe(true);
    expect(stdout).not.toBe("");
  });

  it("asks before it loads a server that has tasks of others, and touches none of them", async () => {
    await dibs(["enqueue", "emails", "1", "--url", server.url]);

    const refused = await dibs(["load", "claim-latency", server.url, ...GENTLE]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("holds 1 task of others");

    const { code } = await load("claim-latency", server.url, ...GENTLE, "--yes");
    expect(code).toBe(0);
    expect(await depth(server.url)).toBe(1);
  });

  it("says that nobody is there at the address", async () => {
    const { code, stderr } = await dibs(["load", "claim-latency", "http://127.0.0.1:9", ...GENTLE]);

    expect(code).toBe(1);
    expect(stderr).toContain("127.0.0.1:9");
  });
});

describe("a baseline and the gates", () => {
  let report: LoadReport;
  beforeAll(async () => {
    ({ report } = await load("claim-latency", ...GENTLE, "--save", path("base.json")));
  });

  it("refuses a baseline from another machine unless it is told to take it", async () => {
    const other = { ...report, environment: { ...report.environment, cores: 64 } };
    writeFileSync(path("other.json"), JSON.stringify(other));
    const args = ["claim-latency", ...GENTLE, "--baseline", path("other.json")];

    const refused = await dibs(["load", ...args]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(
      /other\.json is no baseline for this run: they come from different machines \(cores 64 and \d+\)\. Add --allow machine/,
    );

    expect((await load(...args, "--allow", "machine")).code).toBe(0);
  });

  it("exits 3 for what it could not judge, and 0 when a part is enough", async () => {
    // On a busy machine the pauses of the server may fail the gate; all else is decided.
    const args = ["claim-latency", ...GENTLE, "--gate", "seed", "--baseline", path("base.json")];
    const { code, report: judged } = await load(...args);
    const lines = judged.gates[0]?.lines ?? [];

    expect(lines.map(({ what, verdict }) => [what, verdict])).toEqual([
      ["claim P99", "not judged"],
      ["claim P50", "not judged"],
      ["throughput held", "pass"],
      ["errors and timeouts", "pass"],
      ["memory stable", "not judged"],
      ["GC pause, longest", expect.any(String)],
      ["delivered exactly once", "pass"],
    ]);
    const isPaused = lines[5]?.verdict === "fail";
    expect(code).toBe(isPaused ? 1 : 3);
    expect(exitCodeOf(judged, { gate: ["seed"], partial: true })).toBe(isPaused ? 1 : 0);
  });

  it("judges each of the seed's success metrics by its own figure", () => {
    const good = varied({});
    expect(verdicts(good)).toEqual(["pass", "pass", "pass", "pass", "pass", "pass", "pass"]);

    expect(verdicts(varied({ claim: { p99Ns: 100e6 } }))[0]).toBe("fail");
    expect(verdicts(varied({ claim: { p50Ns: 20e6 } }))[1]).toBe("fail");
    expect(verdicts(varied({ perSecond: 0.85 * report.perSecond }))[2]).toBe("fail");
    expect(verdicts(varied({ timeouts: 1 }))[3]).toBe("fail");
    expect(verdicts(varied({ growing: true }))[4]).toBe("fail");
    expect(verdicts(varied({ gcPauseMaxMs: 50 }))[5]).toBe("fail");
    expect(judgeGate("seed", good, undefined).map(({ verdict }) => verdict)).toEqual([
      ...["pass", "pass", "not judged", "not judged", "pass", "pass", "pass"],
    ]);
  });

  it("tells a goal from what must be, and blames no server for a generator's lateness", () => {
    const line = (change: Change) => judgeGate("dibs", varied(change), undefined)[1];

    expect(line({ claim: { p99Ns: 10e6 } })).toMatchObject({ figure: 10, verdict: "goal" });
    expect(line({ claim: { p99Ns: 20e6 } })).toMatchObject({ verdict: "pass", remark: "goal missed" });
    expect(line({ claim: { p99Ns: 20.1e6 } })?.verdict).toBe("fail");
    expect(line({ claim: { p99Ns: 20.1e6 }, limit: "generator" })?.verdict).toBe("not judged");
    expect(line({ claim: { p99Ns: 10e6, count: 9_999 } })?.verdict).toBe("not judged");
  });

  interface Change {
    readonly claim?: Partial<LoadReport["latencies"][string]>;
    readonly perSecond?: number;
    readonly timeouts?: number;
    readonly growing?: boolean;
    readonly gcPauseMaxMs?: number;
    readonly limit?: LoadReport["generator"]["limit"];
  }

  /** The measured report as one of a long run on a fast server, with a change. */
  function varied({ claim, growing = false, limit = "none", ...change }: Change): LoadReport {
    const measured = report.latencies["claim"] as LoadReport["latencies"][string];
    const fast = { ...measured, count: 10_000, p50Ns: 1e6, p99Ns: 5e6, p999Ns: 8e6, ...claim };
    const memory = { fromSecond: 60, seconds: 600, slopeErrorBytesPerS: 10, startBytes: 1e8 };
    return {
      ...report,
      gcPauseMaxMs: 5,
      eventLoopDelayP99Ms: 2,
      settings: { ...report.settings, seconds: 660 },
      latencies: { ...report.latencies, claim: fast },
      memory: { ...memory, slopeBytesPerS: growing ? 5_000 : 15 },
      generator: { ...report.generator, limit },
      ...change,
    };
  }

  function verdicts(of: LoadReport): string[] {
    return judgeGate("seed", of, report).map(({ verdict }) => verdict);
  }
});

async function depth(url: string): Promise<number> {
  const answer = await fetch(`${url}/v1/queues`);
  const { queues } = (await answer.json()) as { queues: { counts: Record<string, number> }[] };
  const unfinished = (counts: Record<string, number>) =>
    (counts["ready"] ?? 0) + (counts["leased"] ?? 0) + (counts["scheduled"] ?? 0);
  return queues.reduce((sum, { counts }) => sum + unfinished(counts), 0);
}

/** The warm-up claims 120 tasks of a queue; what comes after them is measured. */
async function untilMeasured(url: string): Promise<void> {
  const claimed = async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const counts = text.matchAll(/^dibs_tasks_claimed_total\{[^}]*\} (\d+)/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const before = await claimed();
  while ((await claimed()) < before + 130) await wait(20);
}
