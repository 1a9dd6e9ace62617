import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BuildFiles, slowedBuild } from "../../bench/slowed-build.ts";
import type { Judgement } from "../../src/lab/compare/judge.ts";

/**
 * The small sister of bench/compare-calibration.ts: real runs of the build that is shipped, against itself and against
 * a copy of it whose claims are slower. A pair is short here, so the copy is much slower than the 20 % that whole
 * comparisons see. DIBS_COMPARISONS runs more of them.
 */
const COMPARISONS = Number(process.env["DIBS_COMPARISONS"] ?? 3);
const SETTINGS = { pairs: 8, seconds: 0.1, warmupSeconds: 0.05, concurrency: 1, depth: 100, serve: false };
/** Of so many comparisons may so many be false alarms: more would be a chance of one in a hundred at 5 %. */
const ALARMS_MAX = COMPARISONS < 4 ? 1 : Math.ceil(0.05 * COMPARISONS + 2.33 * Math.sqrt(0.05 * COMPARISONS));
const EACH_MS = 120_000;

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUILD: BuildFiles = {
  entry: join(ROOT, "dist", "index.js"),
  command: join(ROOT, "dist", "cli", "main.js"),
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-test-calibration-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** By the built lab: its processes are compiled scripts. */
async function compared(candidate: BuildFiles): Promise<Judgement> {
  const inDist = <T>(path: string) => import(join(ROOT, "dist", "lab", "compare", path)) as Promise<T>;
  const { measurePairs } = await inDist<typeof import("../../src/lab/compare/pairs.ts")>("pairs.js");
  const { judge } = await inDist<typeof import("../../src/lab/compare/judge.ts")>("judge.js");
  const runs = await measurePairs(BUILD, candidate, SETTINGS);
  expect(runs.failures).toEqual([]);
  return judge({ ...runs, paired: true });
}

describe("comparing in turns", () => {
  it(
    "calls it noise when a build is compared with itself",
    async () => {
      const verdicts: string[] = [];
      for (let n = 0; n < COMPARISONS; n += 1) verdicts.push((await compared(BUILD)).sentences[0] as string);

      const alarms = verdicts.filter((sentence) => !sentence.startsWith("Noise"));
      expect(alarms.length, alarms.join(" ")).toBeLessThanOrEqual(ALARMS_MAX);
    },
    COMPARISONS * EACH_MS,
  );

  it(
    "finds the build whose claims are slower",
    async () => {
      const packages = join(ROOT, "node_modules");
      const slow = await slowedBuild(BUILD, { folder: join(folder, "slow"), packages, delayUs: 100 });

      const { verdict, sentences } = await compared(slow);
      expect({ verdict, sentence: sentences[0] }).toMatchObject({ verdict: "worse" });
      expect(sentences[0]).toContain("P50 up");
    },
    EACH_MS,
  );
});
