import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Diagnosis } from "../../src/lab/doctor/diagnosis.ts";
import { dibs } from "../command.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";
import { WireProxy } from "../redis/wire-proxy.ts";

/** How long each measures. When it is set, the figures for docs/doctor.md are printed. */
const WANTED = process.env["DIBS_TEST_AGREEMENT_SECONDS"];
const SECONDS = WANTED ?? "1";
/** Some machines have the server alone. */
const HAS_CLI = spawnSync("redis-cli", ["--version"]).status === 0;
/** Of a byte in each direction. */
const DELAY_MS = 10;

let redis: RedisServer;
let far: WireProxy;

beforeAll(async () => {
  redis = await startRedis({ appendonly: "everysec" });
  far = await WireProxy.open(redis);
  far.delayMs = DELAY_MS;
});
afterAll(async () => {
  far.cutAll();
  await redis.stop();
});

/** Both at the same time: what happens to the machine meanwhile happens to both. */
async function both(port: number) {
  const [cli, doctor] = await Promise.all([
    promisify(execFile)("redis-cli", ["-p", String(port), "--latency", "--raw", "-i", SECONDS]),
    dibs(["doctor", `redis://127.0.0.1:${port}`, "-i", SECONDS, "--json"]),
  ]);
  const [min, max, avg, samples] = cli.stdout.trim().split(" ").map(Number);
  const [trips] = (JSON.parse(doctor.stdout) as Diagnosis).roundTrips;
  return { cli: { min, avg, max, samples }, doctor: trips as NonNullable<typeof trips> };
}

// Without redis-cli there is nothing to lay beside it.
it.skipIf(!HAS_CLI)("measures round trips beside redis-cli, near and far", { timeout: 180_000 }, async () => {
  const near = await both(redis.port);
  const away = await both(far.port);

  if (WANTED !== undefined) process.stdout.write(`${JSON.stringify({ near, away }, undefined, 2)}\n`);
  // Timers may fire half a millisecond early; nothing makes a round trip shorter than its way.
  for (const least of [away.cli.avg, away.doctor.meanMs, away.doctor.minMs])
    expect(least).toBeGreaterThan(2 * DELAY_MS - 1);
  expect(near.doctor.minMs).toBeGreaterThan(0);
  expect(near.doctor.minMs).toBeLessThan(away.doctor.minMs);
});
