import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BenchReport, checkBenchReport } from "../../src/lab/bench/report.ts";
import type { QueueMessage } from "../../src/protocol/messages.ts";
import { Command, dibs, jsonLines, piped, ServerProcess } from "../command.ts";
import { startCluster } from "../redis/servers/redis-cluster.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";
import { until } from "../redis/servers/until.ts";

/** `dibs bench` as it is shipped, on real engines; short runs, whose figures nobody judges. */
const SHORT = ["--runs", "2", "--seconds", "0.3", "--warmup", "0.1"] as const;
const LONG = ["--runs", "5", "--seconds", "20", "--warmup", "0"] as const;

let redis: RedisServer;
let admin: Redis;
let folder: string;

beforeAll(async () => {
  redis = await startRedis();
  admin = new Redis({ host: redis.host, port: redis.port });
  await admin.set("live:data", "of somebody");
  folder = await mkdtemp(join(tmpdir(), "dibs-lab-"));
});
afterAll(async () => {
  admin.disconnect();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

function reportIn(stdout: string): BenchReport {
  return checkBenchReport(jsonLines(stdout).at(-1));
}

async function reportOf(...args: readonly string[]): Promise<BenchReport> {
  const { code, stdout, stderr } = await dibs(["bench", ...args, "--json"]);
  expect({ code, stderr: stderr.replace(/^\{"warning".*\n/gm, "") }).toEqual({ code: 0, stderr: "" });
  return reportIn(stdout);
}

function childrenOf(pid: number): number[] {
  return execFileSync("ps", ["-o", "pid=", "--ppid", String(pid)], { encoding: "utf8" })
    .trim()
    .split(/\s+/)
    .map(Number);
}

async function expectNothingLeft(): Promise<void> {
  expect(await admin.keys("*")).toEqual(["live:data"]);
  expect((await readdir(folder)).filter((name) => name.startsWith("dibs-bench-"))).toEqual([]);
}

describe("dibs bench", () => {
  it("measures claims on a Redis, one round trip each, and leaves nothing there", async () => {
    const { engine, runs, notes } = await reportOf("claim", redis.url, ...SHORT);

    expect(engine).toMatchObject({
      store: "redis",
      transport: "in-process",
      redisVersion: expect.stringMatching(/^(redis|valkey) \d/),
    });
    for (const run of runs) {
      expect(run.delivery.exact).toBe(true);
      // A claim of one caller is one script; the loops of the broker add a few in a while.
      expect(run.redis?.roundTripsPerOperation).toBeGreaterThan(0.9);
      expect(run.redis?.roundTripsPerOperation).toBeLessThan(1.5);
      expect(run.redis?.serverUsPerOperation).toBeGreaterThan(1);
    }
    expect(notes.join()).toContain("Keys of others on this Redis: 1");
    await expectNothingLeft();
  });

  it("measures a cycle over HTTP, the server's process by itself, and profiles that", async () => {
    const [profile, saved, hdr] = ["p.cpuprofile", "base.json", "hdr"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const flags = ["--cpuprofile", profile, "--save", saved, "--hdr", hdr, "-c", "4"];
    const { engine, runs, settings, overall } = await reportOf(
      "cycle",
      folder,
      "--serve",
      ...SHORT,
      ...flags,
    );

    expect(engine).toMatchObject({ store: "embedded", transport: "http", durability: "process" });
    expect(settings).toMatchObject({ concurrency: 4, profiled: true });
    for (const run of runs) {
      expect(run.server?.cpuUsPerOperation).toBeGreaterThan(0);
      expect(Object.keys(run.latencies).sort()).toEqual(["claim", "complete", "cycle", "enqueue"]);
    }
    const { nodes, startTime, endTime } = JSON.parse(await readFile(profile, "utf8"));
    const names = nodes.map((node: { callFrame: { url: string } }) => node.callFrame.url).join();
    expect(names).toContain("/http/"); // Of the server, and not of the client.
    const measured = runs.reduce((sum, { seconds }) => sum + seconds, 0);
    expect((endTime - startTime) / 1e6).toBeLessThan(measured + 0.5);
    expect(checkBenchReport(JSON.parse(await readFile(saved, "utf8"))).overall).toEqual(overall);
    expect((await readdir(hdr)).sort()).toEqual([
      "cycle-claim.hgrm",
      "cycle-complete.hgrm",
      "cycle-cycle.hgrm",
      "cycle-enqueue.hgrm",
    ]);
    await expectNothingLeft();
  });

  it("wakes claims that wait at another broker", async () => {
    const { runs } = await reportOf("wake", redis.url, "--across", "-c", "20", ...SHORT);

    for (const run of runs) expect(run).toMatchObject({ errors: 0, timeouts: 0, delivery: { exact: true } });
    await expectNothingLeft();
  });

  it("prints tables for people, each line narrow enough, with what was delivered", async () => {
    const { code, stdout, stderr } = await dibs(["bench", "claim", "memory:", ...SHORT]);

    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringContaining("claim on memory, in process"),
    });
    expect(stdout).toMatch(/^ +P50 +P90 +P95 +P99 +P99\.9 +MAX +CLAIMS\/S$/m);
    expect(stdout).toMatch(/^run 2 .* yes$/m);
    expect(stdout).toMatch(/ns\/op ± [\d.]+ % over 2 runs/);
    expect(stdout).toMatch(/[\d,]+ tasks, each delivered exactly once/);
  });

  it("prints lines that Go's tools read", async () => {
    const { stdout } = await dibs(["bench", "claim", "memory:", "--go", ...SHORT]);

    const lines = stdout.split("\n").filter((line) => line.startsWith("Benchmark"));
    expect(lines).toHaveLength(2);
    for (const line of lines)
      expect(line).toMatch(/^BenchmarkClaim\/store=memory\S*-\d+\t\d+\t[\d.]+ ns\/op\t[\d.]+ B\/op\t/);
    expect(stdout).toMatch(/^PASS\nok {2}\tdibs\t[\d.]+s$/m);
  });

  it.each([
    ["in process", [] as readonly string[]],
    ["over HTTP", ["--serve"]],
  ])("reports after Ctrl-C %s what was measured until then, and leaves nothing", async (_, flags) => {
    const command = new Command(["bench", "cycle", redis.url, ...LONG, ...flags, "--json"]);
    try {
      // More than the moment before a run that is not counted.
      await until("the first run is under way", async () => {
        const [key] = await admin.keys("dibs-bench:*:completed");
        return key !== undefined && (await admin.zcard(key)) > 1_500;
      });
      command.send("SIGINT");
      const { code, stdout } = await command.ended();

      expect(code).toBe(130);
      const { complete, runs } = reportIn(stdout);
      expect(complete).toBe(false);
      expect(runs[0]?.delivery.exact).toBe(true);
      await expectNothingLeft();
    } finally {
      await command.stop();
    }
  });

  it("leaves nothing either when nobody reads to its end what it says", async () => {
    await piped(
      ["bench", "claim", redis.url, "--runs", "1", "--seconds", "0.1", "--warmup", "0"],
      "head -n 1",
    );

    await expectNothingLeft();
  });

  it("measures on a Redis Cluster, all its servers together, and leaves nothing on any", async () => {
    const cluster = await startCluster();
    try {
      const { engine, runs } = await reportOf("cycle", cluster.url, "-c", "5", ...SHORT);

      expect(engine.place).toMatch(/^redis\+cluster:/);
      // Of five callers some share a call.
      expect(runs[0]?.redis?.roundTripsPerOperation).toBeGreaterThan(0.5);
      for (const { host, port } of cluster.nodes) {
        const node = new Redis({ host, port });
        expect(await node.keys("*")).toEqual([]);
        node.disconnect();
      }
    } finally {
      await cluster.stop();
    }
  });

  it("measures large payloads", async () => {
    const { settings, runs } = await reportOf(
      "cycle",
      "memory:",
      ...SHORT,
      "--payload-bytes",
      "1048576",
      "--depth",
      "20",
    );

    expect(settings.payloadBytes).toBe(1_048_576);
    expect(runs[0]?.delivery.exact).toBe(true);
  });

  it("removes what a bench left that was killed, and nothing of one that runs", async () => {
    const killed = new Command(["bench", "cycle", redis.url, ...LONG]);
    const running = new Command(["bench", "cycle", redis.url, ...LONG, "--json"]);
    try {
      const stores = async () => (await admin.keys("dibs-bench:*:queues")).sort();
      await until("both have begun", async () => (await stores()).length === 2);
      killed.send("SIGKILL");
      await killed.ended();
      const before = await stores();

      await reportOf("enqueue", redis.url, "--runs", "1", "--seconds", "0.1", "--warmup", "0");

      expect(before).toHaveLength(2);
      expect(await stores()).toHaveLength(1);
      running.send("SIGINT");
      expect((await running.ended()).code).toBe(130);
      await expectNothingLeft();
    } finally {
      await killed.stop();
      await running.stop();
    }
  });

  it("says what went wrong when Redis goes away, and ends", async () => {
    const doomed = await startRedis();
    const own = new Redis({ host: doomed.host, port: doomed.port, lazyConnect: true });
    const command = new Command(["bench", "claim", doomed.url, ...LONG]);
    try {
      await own.connect();
      await until("its tasks are there", async () => (await own.keys("dibs-bench:*:meta")).length > 0);
      own.disconnect();
      await doomed.stop();
      const { code, stderr } = await command.ended();

      expect(code).toBe(1);
      expect(stderr).toMatch(/Nothing was measured: .*Redis.*\(failed\)/);
      expect(stderr).toContain("Not everything could be removed");
    } finally {
      own.disconnect();
      await command.stop();
      await doomed.stop();
    }
  });

  it("says that its server ended, and removes what was left", async () => {
    const command = new Command(["bench", "cycle", redis.url, "--serve", ...LONG]);
    try {
      await until("its tasks are there", async () => (await admin.keys("dibs-bench:*:meta")).length > 0);
      const [server] = childrenOf(command.pid);
      process.kill(server as number, "SIGKILL");
      const { code, stderr } = await command.ended();

      expect(code).toBe(1);
      expect(stderr).toMatch(/Nothing was measured: .*(ended|refused|broke|closed)/);
      await expectNothingLeft();
    } finally {
      await command.stop();
    }
  });

  it("removes its keys also when its connections are cut", async () => {
    const command = new Command(["bench", "claim", redis.url, ...LONG]);
    try {
      await until("its tasks are there", async () => (await admin.keys("dibs-bench:*:meta")).length > 0);
      await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      command.send("SIGINT");
      await command.ended();

      await expectNothingLeft();
    } finally {
      await command.stop();
    }
  });

  it("asks before it loads a server that holds tasks of others, and then empties its own queues alone", async () => {
    const server = await ServerProcess.start("memory:");
    try {
      await dibs(["enqueue", "emails", "1", "--url", server.url]);
      const refused = await dibs(["bench", "claim", server.url, ...SHORT]);
      expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("holds 1 tasks of others") });

      const { engine, runs } = await reportOf("claim", server.url, ...SHORT, "--yes");

      expect(engine).toMatchObject({ store: "unknown", transport: "http", place: server.url });
      expect(runs[0]).toMatchObject({ server: null, redis: null, delivery: { exact: true } });
      const { stdout } = await dibs(["queues", "list", "--url", server.url, "--json"]);
      const [{ queues }] = jsonLines(stdout) as [{ queues: QueueMessage[] }];
      for (const { queue, counts } of queues)
        expect(Object.values(counts).reduce((sum, each) => sum + each, 0)).toBe(queue === "emails" ? 1 : 0);
    } finally {
      await server.stop();
    }
  });

  it.each([
    [["claim", "--runs", "0"], "Expected a whole number from 1 to 100"],
    [["claim", "--seconds", "soon"], "Expected 0.1 to 3600 seconds"],
    [["claim", "/nowhere/at-all"], "There is no folder /nowhere/at-all"],
    [["claim", "ftp://somewhere"], "Expected --store to be a folder"],
    [["claim", "memory:", "--durability", "power"], "Expected --durability to be none"],
    [["claim", "http://127.0.0.1:1", "--serve"], "is a server already"],
    [["claim", "--save", "/nowhere/at-all/base.json"], "Nothing can be kept there"],
    [["claim", "--go", "--json"], "cannot be used with option"],
    [["wake", "--depth", "3"], "unknown option '--depth'"],
  ])("refuses %j", async (args, message) => {
    expect(await dibs(["bench", ...args])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(message),
    });
  });

  it("says that nothing listens where a Redis or a server is meant to be", async () => {
    for (const place of ["redis://127.0.0.1:1", "http://127.0.0.1:1"]) {
      const { code, stderr } = await dibs(["bench", "claim", place]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/nothing listens there|connection refused/);
    }
  });
});
