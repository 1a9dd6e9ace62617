import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { growthPercent, growthWithinLivesPercent } from "../bench/growth.ts";
import type { Report } from "../src/lab/report.ts";
import { root } from "./source-tree.ts";

/**
 * The soak of bench/soak.ts, short. DIBS_SOAK_SECONDS sets its length, DIBS_SOAK_SEED its choices; the figures of a
 * short one are not judged, what it did and the accounts are.
 */
const SECONDS = Number(process.env["DIBS_SOAK_SECONDS"] ?? 9);
const INTERVALS = Math.max(6, Math.floor(SECONDS / 10));
const run = promisify(execFile);

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-soak-test-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** By the command of the documents. */
async function soaked(): Promise<Report> {
  const length = ["--repeats", String(INTERVALS), "--seconds", String(SECONDS / INTERVALS), "--warmup", "0"];
  const args = ["run", "bench", "--silent", "--", "soak", ...length, "--json", "--no-save"];
  const { stdout } = await run("npm", args, {
    cwd: root,
    maxBuffer: 2 ** 28,
    // Its folder is to lie in one of ours.
    env: { ...process.env, TMPDIR: folder },
  });
  expect(await readdir(folder)).toEqual([]);
  return JSON.parse(stdout) as Report;
}

describe("a soaked store", () => {
  it(
    "has every task after snapshots, retention, schedules, restarts and kills",
    async () => {
      const { parameters, series } = await soaked();

      expect(parameters["kills"]).toBeGreaterThan(0);
      expect(parameters["lives"]).toBeGreaterThan(3);
      expect(parameters["snapshots"]).toBeGreaterThan(3);
      const accounts = series.find(({ name }) => name === "accounts by month")?.repetitions ?? [];
      expect(accounts.length).toBeGreaterThan(6);
      for (const { delivery } of accounts) {
        expect(delivery).toMatchObject({ exact: true, controlCaught: true, pending: 0 });
        expect(delivery?.returned).toBeGreaterThan(0);
      }
    },
    120_000 + SECONDS * 3_000,
  );
});

describe("growth", () => {
  const samples = (figure: (place: number) => number, lifeLength = 10) =>
    Array.from({ length: 60 }, (_, place) => ({
      place,
      life: Math.floor(place / lifeLength),
      bytes: figure(place),
    }));
  const noise = (place: number) => ((place * 7_919) % 101) / 10;

  it("is nothing of what only swings, nor of what is filled in the first third", () => {
    expect(
      growthPercent(
        samples((place) => 1_000 + noise(place)),
        "bytes",
      ),
    ).toBe(0);
    expect(
      growthPercent(
        samples((place) => Math.min(place, 15) + noise(place) / 100),
        "bytes",
      ),
    ).toBe(0);
  });

  it("is seen under the noise", () => {
    const grown = growthPercent(
      samples((place) => 1_000 + place * 10 + noise(place)),
      "bytes",
    );

    expect(grown).toBeGreaterThan(25);
    expect(grown).toBeLessThan(35);
  });

  it("is not judged by too few intervals", () => {
    const lives = samples((place) => 1_000 + place, 5);

    expect(growthPercent(lives.slice(0, 4), "bytes")).toBeUndefined();
    expect(growthWithinLivesPercent(lives, "bytes")).toBeUndefined();
  });

  it("is seen inside lives that all begin at the same height", () => {
    const leaking = samples((place) => 1_000 + (place % 10) * 50 + noise(place));

    expect(growthWithinLivesPercent(leaking, "bytes")).toBeGreaterThan(15);
    expect(
      growthWithinLivesPercent(
        samples((place) => 1_000 + noise(place)),
        "bytes",
      ),
    ).toBe(0);
  });
});
