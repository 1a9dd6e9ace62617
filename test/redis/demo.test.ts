import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../../src/connect.ts";
import { Command, jsonLines } from "../command.ts";
import { type RedisServer, startRedis } from "./servers/redis-server.ts";
import { until } from "./servers/until.ts";

/** Large enough to take some seconds, so that something can happen in the middle. */
const FILES = Number(process.env["DIBS_TEST_DEMO_FILES"] ?? 2_000);
/** Longer than the lease of the demo's workers: what they hold then comes back. */
const AWAY_MS = 4_000;
let folder: string;
let redis: RedisServer;
const running: Command[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-demo-redis-"));
  for (let at = 0; at < FILES; at += 1) await writeFile(join(folder, `${at}.bin`), randomBytes(at % 5_000));
  redis = await startRedis({ appendonly: "always" });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((command) => command.stop()));
});
afterAll(() => rm(folder, { recursive: true }));

function demo(prefix: string): Command {
  const command = new Command(["demo", folder, "--store", redis.url, "--prefix", prefix, "--json"]);
  running.push(command);
  return command;
}

interface Report {
  readonly verdict: string;
  readonly completed: number;
  readonly outages: number;
  readonly faults: readonly string[];
}

/** Resolves when so many tasks of the only queue of a store are in a state. */
async function counted(prefix: string, state: "ready" | "completed", wanted: number): Promise<void> {
  await using dibs = await connect(redis.url, { prefix, cache: "off" });
  const count = async () => (await dibs.queues())[0]?.counts[state] ?? 0;
  await until(`${wanted} tasks are ${state}`, async () => (await count()) >= wanted, 60_000);
}

describe("dibs demo on Redis", () => {
  it("passes the same audit as on a folder", async () => {
    const { code, stdout } = await demo("calm").ended();

    const [report] = jsonLines(stdout) as [Report];
    expect(report.faults).toEqual([]);
    expect({ code, verdict: report.verdict }).toEqual({ code: 0, verdict: "passed" });
    expect(report).toMatchObject({ completed: FILES, outages: 0 });
  });

  it.each([
    ["while it enqueues", "after a second", "ready", 1, 1_000],
    ["in the middle", "at once", "completed", FILES / 10, 0],
    ["in the middle", "after longer than a lease", "completed", FILES / 10, AWAY_MS],
  ] as const)(
    "passes it although Redis is killed %s and comes back %s",
    async (_, back, state, at, awayMs) => {
      const prefix = `killed-${back.length}`;
      const command = demo(prefix);
      await counted(prefix, state, at);

      await redis.kill();
      await new Promise((resolve) => setTimeout(resolve, awayMs));
      await redis.start();

      const { code, stdout, stderr } = await command.ended();
      const [report] = jsonLines(stdout) as [Report];
      expect(report.faults).toEqual([]);
      expect({ code, verdict: report.verdict }, stderr).toEqual({ code: 0, verdict: "passed" });
      expect(report.completed).toBe(FILES);
      expect(report.outages).toBeGreaterThan(0);
    },
  );
});
