import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Redis } from "ioredis";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AllocationProfile } from "../../src/lab/profile/allocation-sampler.ts";
import { allocationTree, cpuTree } from "../../src/lab/profile/call-tree.ts";
import { PARTS } from "../../src/lab/profile/parts.ts";
import type { ProfileReport } from "../../src/lab/profile/profile-report.ts";
import { Command, dibs, jsonLines } from "../command.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";
import { until } from "../redis/servers/until.ts";

/** `dibs profile claim` as it is shipped, on real engines; short, and nobody judges how fast. */
const SHORT = ["--seconds", "0.3", "-c", "8"] as const;
/** Chromium from CHROMIUM_PATH, or Debian's. */
const { CHROMIUM_PATH: program = "/usr/bin/chromium", CI } = process.env;
const isThere = existsSync(program);
if (!isThere && CI !== undefined)
  throw new Error(
    `The test of the flame graphs needs Chromium, and ${program} is not there; set CHROMIUM_PATH`,
  );

let redis: RedisServer;
let admin: Redis;
let folder: string;

beforeAll(async () => {
  // Everything is slow enough for the log of slow commands.
  redis = await startRedis({ args: ["--slowlog-log-slower-than", "0", "--latency-monitor-threshold", "1"] });
  admin = new Redis({ host: redis.host, port: redis.port });
  await admin.set("live:data", "of somebody");
  folder = await mkdtemp(join(tmpdir(), "dibs-profile-test-"));
});
afterAll(async () => {
  admin.disconnect();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

async function profileOf(...args: readonly string[]): Promise<ProfileReport> {
  const { code, stdout, stderr } = await dibs(["profile", "claim", ...args, "--json"]);
  expect({ code, stderr: stderr.replace(/^\{"warning".*\n/gm, "") }).toEqual({ code: 0, stderr: "" });
  const report = jsonLines(stdout).at(-1) as ProfileReport;
  expect(report).toMatchObject({ format: "dibs-profile", version: 1, complete: true });
  return report;
}

function meanOf({ parts }: ProfileReport, part: string): number {
  return parts.find((each) => each.part === part)?.meanUs ?? Number.NaN;
}

function expectAddedUp({ parts, total, remainder }: ProfileReport): void {
  expect(parts.map(({ part }) => part)).toEqual([...PARTS, "remainder"]);
  for (const column of ["atP50Us", "slowestUs", "meanUs"] as const) {
    const sum = parts.reduce((so_far, part) => so_far + part[column], 0);
    expect(sum).toBeCloseTo(total[column], 3);
  }
  expect(Math.abs(remainder.atP50)).toBeLessThan(0.1);
  expect(Math.abs(remainder.slowest)).toBeLessThan(0.1);
}

describe("dibs profile claim", () => {
  it("splits claims over HTTP on Redis, with Redis's side of the same seconds, and leaves nothing there", async () => {
    const report = await profileOf(redis.url, "--serve", ...SHORT);

    expectAddedUp(report);
    for (const part of PARTS.filter((each) => each !== "GC")) expect(meanOf(report, part)).toBeGreaterThan(0);
    const { traced, contention, scriptUs } = report;
    const { scripts, inner, overheadUs, slow } = traced.redis ?? expect.fail("Redis was not looked at");
    expect(scripts.calls).toBeGreaterThan(0);
    expect(scripts.us / scripts.calls).toBeCloseTo(scriptUs ?? Number.NaN, 6);
    // A claim moves its task to its lease.
    for (const command of ["hmget", "hset", "zadd"]) expect(inner[command]?.us).toBeGreaterThan(0);
    const innerUs = Object.values(inner).reduce((sum, { us }) => sum + us, 0);
    expect(overheadUs).toBe(Math.max(0, scripts.us - innerUs));
    expect(slow?.map(({ command }) => command)).toContain("EVALSHA claim");
    expect(contention.claimsPerCall).toBeGreaterThanOrEqual(1);
    expect(contention.callsInFlight).toBeGreaterThan(0);
    expect(traced.server).not.toBeNull();
    expect(await admin.keys("*")).toEqual(["live:data"]);
  });

  it("splits claims in process, with no part of a network in it", async () => {
    const store = await mkdtemp(join(folder, "store-"));
    const report = await profileOf(store, ...SHORT);

    expectAddedUp(report);
    for (const part of ["socket there", "HTTP parse", "HTTP answer", "storage call: script"])
      expect(meanOf(report, part)).toBe(0);
    expect(meanOf(report, "storage call: this side")).toBeGreaterThan(0);
    expect(report.traced).toMatchObject({ server: null, redis: null });
    expect(await readdir(store)).toEqual([]);
  });

  it("removes what it made when it is interrupted", async () => {
    const running = new Command(["profile", "claim", redis.url, "--serve", "--seconds", "60", "-c", "4"]);
    try {
      await until("its tasks are there", async () => (await admin.keys("dibs-bench:*:meta")).length > 0);
      running.send("SIGINT");

      expect(await running.ended()).toMatchObject({ code: 130, stderr: expect.stringContaining("Stopping") });
      expect(await admin.keys("*")).toEqual(["live:data"]);
    } finally {
      await running.stop();
    }
  });

  it.each([
    [["http://127.0.0.1:4510"], 2, "cannot be looked into from here"],
    [["/nowhere/at/all"], 2, "There is no folder /nowhere/at/all"],
    [["memory:", "--seconds", "0"], 2, "Expected 0.2 to 600 seconds"],
    [["memory:", "-c", "0"], 2, "Expected a whole number from 1 to 1000"],
    [["memory:", "--save", "/proc/nothing"], 2, "Nothing can be kept there"],
    [["redis://127.0.0.1:1"], 1, "127.0.0.1:1"],
  ])("says what is wrong with %j", async (args, expected, message) => {
    const { code, stderr } = await dibs(["profile", "claim", ...args]);

    expect(code).toBe(expected);
    expect(stderr).toContain(message);
  });
});

describe("what dibs profile claim keeps", () => {
  let kept: string;
  let report: ProfileReport;
  const cpuOf = async () => cpuTree(JSON.parse(await readFile(join(kept, "claim.cpuprofile"), "utf8")));

  beforeAll(async () => {
    kept = join(folder, "kept");
    report = await profileOf("memory:", "--serve", ...SHORT, "--save", kept);
  });

  it("is what viewers open: the samples of the server, and not of the client", async () => {
    expect((await readdir(kept)).sort()).toEqual(
      ["claim.cpuprofile", "claim.heapprofile", "flames.html", "report.json"].sort(),
    );
    expect(JSON.parse(await readFile(join(kept, "report.json"), "utf8"))).toEqual(report);
    const cpu = await cpuOf();
    const heap = JSON.parse(await readFile(join(kept, "claim.heapprofile"), "utf8")) as AllocationProfile;
    expect(JSON.stringify(cpu)).toContain("dist/http/");
    expect(JSON.stringify(cpu)).not.toContain("dist/sdk/");
    expect(JSON.stringify(allocationTree(heap))).toContain("dist/http/");
  });

  // Without a browser there is no page to look at; in CI that is a fault and not a reason.
  it.skipIf(!isThere)("is drawn as flame graphs, on a page that asks for nothing", async () => {
    const cpu = await cpuOf();
    const browser = await chromium.launch({
      executablePath: program,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
    });
    const complaints: string[] = [];
    try {
      const page = await browser.newPage();
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("console", (message) => complaints.push(message.text()));
      page.on("request", (request) => complaints.push(request.url()));
      await page.goto(pathToFileURL(join(kept, "flames.html")).href);
      const frames = page.locator("#cpu .flames button");
      const widths = await frames.evaluateAll((all) => all.map((each) => each.getBoundingClientRect().width));

      const [widest] = cpu.children;
      expect(complaints).toEqual([page.url()]);
      expect(await frames.first().textContent()).toBe("(root)");
      expect((widths[1] ?? 0) / (widths[0] ?? 0)).toBeCloseTo((widest?.total ?? 0) / cpu.total, 1);
      // A click makes a frame the whole width, with those above it still there.
      await frames.nth(1).click();
      expect(await frames.nth(1).evaluate((each) => each.getBoundingClientRect().width)).toBeCloseTo(
        widths[0] ?? 0,
        0,
      );
      expect(await page.locator("#cpu .said").textContent()).toContain(`${widest?.name}`);
      await page.locator("#search").fill("storage/embedded");
      expect(await page.locator("#found").textContent()).toMatch(/cpu \d+\.\d %, allocations \d+\.\d %/);
      expect(await page.locator(".flames button.found").count()).toBeGreaterThan(0);
    } finally {
      await browser.close();
    }
  });
});
