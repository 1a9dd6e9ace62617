import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const RUN = fileURLToPath(new URL("run.mjs", import.meta.url));
const PATCHES = fileURLToPath(new URL("patches", import.meta.url));

/** Hazards that cannot be shown through the port, with the patch that stands for each all the same, or none. */
const ELSEWHERE = { H9: "i7-memory-before-journal" };

const patches = readdirSync(PATCHES);

describe("the mutants", () => {
  it("are one or more for every invariant and every hazard", () => {
    for (let number = 1; number <= 9; number += 1) expectOne(`i${number}-`);
    for (let number = 1; number <= 17; number += 1) expectOne(number === 9 ? ELSEWHERE.H9 : `h${number}-`);
  });

  it("say what they break and which test sees it", () => {
    for (const name of patches) {
      const text = readFileSync(`${PATCHES}/${name}`, "utf8");
      expect(text, name).toMatch(/^Breaks: \S.+\n(Seen by: \S+\.test\.ts > \S.+\n)+\n--- a\/src\//);
    }
  });

  it("of a sample are all seen by the tests that they name", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [RUN]).catch(
      (error: { stdout: string }) => error,
    );

    expect(stdout).toMatch(/^[1-9]\d* mutants, 0 not seen or not judged$/m);
  }, 900_000);
});

function expectOne(start: string): void {
  expect(patches.filter((name) => name.startsWith(start)).length, `patches of ${start}`).toBeGreaterThan(0);
}
