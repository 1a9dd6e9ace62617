import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type BenchPlace, openPlace } from "../bench/place.ts";
import { type ProfileStep, profileClaims } from "./profile.ts";

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function profile(abortIn?: ProfileStep) {
  const place: BenchPlace = await openPlace({
    place: "memory:",
    serve: false,
    durability: "none",
    timeoutMs: 5_000,
    onWarning: () => {},
  });
  const folder = await mkdtemp(join(tmpdir(), "dibs-profile-"));
  cleanUps.push(
    () => place.close(),
    () => rm(folder, { recursive: true }),
  );
  const controller = new AbortController();
  return profileClaims(place, {
    settings: { seconds: 0.2, concurrency: 4, depth: 100, payloadBytes: 213 },
    cpuFile: join(folder, "claim.cpuprofile"),
    redis: undefined,
    signal: controller.signal,
    onProgress: (step) => {
      if (step === abortIn) controller.abort();
    },
  });
}

describe("profileClaims", () => {
  it("claims unwatched, traced and sampled, and takes what it says of each", async () => {
    const { report, samples } = (await profile()) ?? expect.fail("Nothing was profiled");

    expect(report).toMatchObject({ complete: true, unsplitTraces: 0, scriptUs: null });
    for (const stretch of [report.unwatched, report.traced, report.sampled])
      expect(stretch).toMatchObject({ errors: 0, server: null, redis: null });
    expect(report.traces * report.every).toBeGreaterThan(report.traced.claims - report.every);
    expect(samples?.cpu.total).toBeGreaterThan(0);
    expect(samples?.allocations.total).toBeGreaterThan(0);
    expect(report.hottest[0]?.share).toBeLessThanOrEqual(1);
  });

  it.each(["warm-up", "unwatched"] as const)(
    "has nothing to tell when it is interrupted %s",
    async (step) => {
      expect(await profile(step)).toBeUndefined();
    },
  );

  it("tells where the time went when it is interrupted while it traces", async () => {
    const { report, samples } = (await profile("traced")) ?? expect.fail("Nothing was traced");

    expect(report).toMatchObject({ complete: false, sampled: null, hottest: [] });
    expect(report.traces).toBeGreaterThan(0);
    expect(samples).toBeUndefined();
  });

  it("tells what was sampled until it is interrupted", async () => {
    const { report, samples } = (await profile("sampled")) ?? expect.fail("Nothing was traced");

    expect(report.complete).toBe(false);
    expect(report.sampled?.claims).toBeGreaterThan(0);
    expect(samples?.cpu.total).toBeGreaterThan(0);
  });
});
