import { describe, expect, it } from "vitest";
import { judge, type Target } from "./target.ts";

const latency: Target = { what: "claim P50", unit: "µs", better: "lower", must: 12, goal: 6 };
const rate: Target = { what: "cycles", unit: "tasks/s", better: "higher", must: 150, goal: 300 };
const exactly = (median: number) => ({ median, min: median, max: median });

describe("target", () => {
  it.each([
    [6, "goal"],
    [6.1, "must"],
    [12, "must"],
    [12.1, "missed"],
  ])("judges %d µs against at most 12 and 6 as %s", (measured, verdict) => {
    expect(judge(latency, exactly(measured)).verdict).toBe(verdict);
  });

  it.each([
    [300, "goal"],
    [299, "must"],
    [149, "missed"],
  ])("judges %d a second against at least 150 and 300 as %s", (measured, verdict) => {
    expect(judge(rate, exactly(measured)).verdict).toBe(verdict);
  });

  it("judges the median and shows the spread", () => {
    expect(judge(latency, { median: 5, min: 4, max: 40 })).toMatchObject({
      measured: 5,
      min: 4,
      max: 40,
      verdict: "goal",
    });
  });

  it("asks nothing where only a goal is stated", () => {
    const errors: Target = { what: "errors", unit: "", better: "lower", goal: 0 };

    expect(judge(errors, exactly(0)).verdict).toBe("goal");
    expect(judge(errors, exactly(3)).verdict).toBe("must");
  });

  it("never calls a figure that is not a number reached", () => {
    expect(judge(latency, exactly(Number.NaN)).verdict).toBe("missed");
    expect(judge(rate, exactly(Number.NaN)).verdict).toBe("missed");
  });
});
