import { describe, expect, it } from "vitest";
import { startProgress } from "./start-progress.ts";

describe("the progress of a start", () => {
  function told(steps: readonly (readonly [at: number, done: number])[]): string[] {
    let now = 1_000;
    const sentences: string[] = [];
    const onProgress = startProgress(
      (sentence) => sentences.push(sentence),
      () => now,
    );
    for (const [at, done] of steps) {
      now = 1_000 + at;
      onProgress(done, 400);
    }
    return sentences;
  }

  it("is not told of a short one", () => {
    expect(
      told([
        [500, 100],
        [1_000, 200],
        [1_900, 400],
      ]),
    ).toEqual([]);
  });

  it("is told every two seconds, with the time that is left", () => {
    expect(
      told([
        [1_000, 50],
        [2_000, 100],
        [3_000, 150],
        [4_100, 200],
        [8_000, 400],
      ]),
    ).toEqual([
      "Reading the journal: 25 %, about 6 s left",
      "Reading the journal: 50 %, about 5 s left",
      "Reading the journal: 100 %, about 0 s left",
    ]);
  });
});
