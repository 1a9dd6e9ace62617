import { describe, expect, it } from "vitest";
import { graded, judged, shown, worstOf } from "./finding.ts";

const measure = { check: "c", where: "w", unit: "ms", yellow: 2, red: 20, advice: "do this" } as const;

describe("a number that is judged", () => {
  it.each([
    [2, "green"],
    [2.01, "yellow"],
    [20, "yellow"],
    [20.01, "red"],
  ])("is, at %d with bounds 2 and 20, %s", (value, colour) => {
    expect(graded({ ...measure, value })).toMatchObject({ colour, value, unit: "ms" });
  });

  it("says what to do unless it is green", () => {
    expect(graded({ ...measure, value: 1 })).not.toHaveProperty("advice");
    expect(graded({ ...measure, value: 3 }).advice).toBe("do this");
    const line = { check: "c", where: "w", figure: "f", bound: "b", advice: "a" };
    expect(judged("green", line)).not.toHaveProperty("advice");
    expect(judged("yellow", line).advice).toBe("a");
  });

  it("names its bounds", () => {
    expect(graded({ ...measure, value: 1 }).bound).toBe("up to 2 ms, red above 20 ms");
  });
});

describe("many lines", () => {
  it("are as bad as the worst of them, and well when there are none", () => {
    const lines = [1, 3, 1].map((value) => graded({ ...measure, value }));
    expect(worstOf(lines)).toBe("yellow");
    expect(worstOf([...lines, graded({ ...measure, value: 99 })])).toBe("red");
    expect(worstOf([])).toBe("green");
  });
});

describe("a figure", () => {
  it.each([
    [0.2149, "ms", "0.21 ms"],
    [1_234, "ms", "1,234 ms"],
    [119, "s", "119 s"],
    [600, "s", "10 min"],
    [86_400, "s", "24 h"],
    [1_500_000, "bytes", "1.5 MB"],
    [312, "bytes", "312 B"],
    [1, "tasks", "1 task"],
    [1_000_000, "tasks", "1,000,000 tasks"],
  ] as const)("%d %s reads %s", (value, unit, text) => {
    expect(shown(value, unit)).toBe(text);
  });
});
