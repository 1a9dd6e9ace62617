import { describe, expect, it } from "vitest";
import type { RunFigures } from "./figures.ts";
import { judge } from "./judge.ts";

const STEADY: RunFigures = {
  p50Ms: 1,
  p95Ms: 2,
  p99Ms: 10,
  perSecond: 1_000,
  cpuUs: 100,
  memoryBytes: 100e6,
  operations: 5_000,
  errors: 0,
};
/** Runs that differ by up to 2 %, as those of a quiet machine do. */
const WOBBLE = [0.99, 1.01, 1, 1.02, 0.98, 1.01, 0.99, 1, 1.01, 0.99, 1, 1.02];

function side(change: Partial<RunFigures> = {}, wobble: readonly number[] = WOBBLE): RunFigures[] {
  const { operations, errors, ...measures } = { ...STEADY, ...change };
  return wobble.map((factor) => ({
    p50Ms: measures.p50Ms * factor,
    p95Ms: (measures.p95Ms ?? 0) * factor,
    p99Ms: measures.p99Ms * factor,
    perSecond: measures.perSecond * factor,
    cpuUs: (measures.cpuUs ?? 0) * factor,
    memoryBytes: (measures.memoryBytes ?? 0) * factor,
    operations,
    errors,
  }));
}

/** Other runs of the same. */
const OTHER = WOBBLE.toReversed();
const judged = (change: Partial<RunFigures>, paired = true) =>
  judge({ base: side(), candidate: side(change, OTHER), paired });

describe("verdict", () => {
  it("is noise when nothing moved, and says what would not have been seen", () => {
    const { verdict, sentences } = judged({});

    expect(verdict).toBe("noise");
    expect(sentences[1]).toMatch(/^Smaller changes than these would not have been seen: P50 \d+ %, P95/);
  });

  it("is a win when P99 is down by 30 % or more and nothing else is worse", () => {
    const { verdict, sentences } = judged({ p99Ms: 6 });

    expect(verdict).toBe("win");
    expect(sentences[0]).toMatch(/^Win: P99 down 4\d % \(\d+ to \d+ %\)\.$/);
  });

  it("is better, and no win, when P99 is down by less", () => {
    expect(judged({ p99Ms: 8 }).verdict).toBe("better");
    expect(judged({ cpuUs: 60 }).verdict).toBe("better");
  });

  it("is worse when throughput falls, whatever P99 did", () => {
    const { verdict, sentences } = judged({ p99Ms: 5, perSecond: 900 });

    expect(verdict).toBe("worse");
    expect(sentences.join(" ")).toMatch(/Worse: throughput down 10 % .* Better: P99 down 50 %/);
  });

  it.each([
    ["P50", { p50Ms: 1.2 }],
    ["P95", { p95Ms: 2.4 }],
    ["P99", { p99Ms: 12 }],
    ["CPU per operation", { cpuUs: 120 }],
    ["memory", { memoryBytes: 120e6 }],
  ])("is worse when %s is up by a fifth", (title, change) => {
    const { verdict, sentences } = judged(change);

    expect(verdict).toBe("worse");
    expect(sentences[0]).toContain(`Worse: ${title} up 2`);
  });

  it("is worse when errors rose, though all else is better", () => {
    const { verdict, sentences } = judged({ p99Ms: 5, errors: 1 });

    expect(verdict).toBe("worse");
    expect(sentences[0]).toBe("Worse: errors rose.");
  });

  it("calls noise what is sure but not worth a verdict, and twice as much of what was not measured in turns", () => {
    const apart = (change: Partial<RunFigures>) => judged(change, false).verdict;

    expect(judged({ p50Ms: 1.035 }).verdict).toBe("noise");
    expect(judged({ p50Ms: 1.075 }).verdict).toBe("worse");
    expect(apart({ p50Ms: 1.075 })).toBe("noise");
    expect(apart({ p50Ms: 1.15 })).toBe("worse");
  });

  it("calls noise what differs no more than the runs of one side", () => {
    const wild = [0.5, 2, 1, 1.5, 0.7, 1.2, 0.6, 1.8, 0.9, 1.1, 0.8, 1.4];

    expect(
      judge({ base: side({}, wild), candidate: side({ p50Ms: 1.2 }, wild.toReversed()), paired: true })
        .verdict,
    ).toBe("noise");
  });
});

describe("no verdict", () => {
  it("comes of fewer runs than can tell a change from noise", () => {
    const few = (paired: boolean, runs: number) =>
      judge({
        base: side({}, WOBBLE.slice(0, runs)),
        candidate: side({ p50Ms: 9 }, OTHER.slice(0, runs)),
        paired,
      });

    expect(few(true, 7).sentences[0]).toBe(
      "Not judged: 7 pairs cannot tell a change from noise; it takes 8 pairs or more.",
    );
    expect(few(false, 4).sentences[0]).toContain("4 against 4 runs cannot tell");
    expect(few(true, 8).verdict).toBe("worse");
    expect(few(false, 5).verdict).toBe("worse");
  });

  it("comes of sides that must not be compared, whose ratios are shown all the same", () => {
    const { verdict, sentences, measures } = judge({
      base: side(),
      candidate: side({ p50Ms: 2 }),
      paired: true,
      refusals: ["they come from different machines"],
    });

    expect(verdict).toBe("not judged");
    expect(sentences).toEqual(["Not judged: they come from different machines."]);
    expect(measures[0]?.ratio).toBeCloseTo(2, 1);
  });

  it("comes of a side that did nothing", () => {
    expect(judged({ operations: 0 }).sentences[0]).toContain("a side finished no operation");
  });
});

describe("measures", () => {
  it("are those that every run of both sides has", () => {
    const base = side().map(({ cpuUs: _, ...run }) => run);
    const { measures } = judge({ base, candidate: side({ memoryBytes: 0 }), paired: true });

    expect(measures.map(({ name }) => name)).toEqual(["p50Ms", "p95Ms", "p99Ms", "perSecond"]);
  });
});
