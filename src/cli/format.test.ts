import { describe, expect, it } from "vitest";
import { bytes, count, duration, milliseconds, relative } from "./format.ts";

describe("duration", () => {
  it.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1_000, "1 s"],
    [59_999, "59 s"],
    [60_000, "1 min"],
    [185_000, "3 min 5 s"],
    [7_800_000, "2 h 10 min"],
    [86_400_000, "1 d"],
    [14 * 86_400_000 + 3_600_000, "14 d 1 h"],
  ])("writes %i ms as %s", (ms, text) => expect(duration(ms)).toBe(text));
});

describe("relative", () => {
  it("says how long ago, or how soon", () => {
    expect([relative(0, 12_000), relative(60_000, 0), relative(500, 0)]).toEqual([
      "12 s ago",
      "in 1 min",
      "now",
    ]);
  });
});

describe("numbers", () => {
  it("are grouped", () => expect(count(1_234_567)).toBe("1,234,567"));
  it("of bytes have their unit", () => {
    expect([999, 4_100, 2_000_000_000, 5e15].map(bytes)).toEqual(["999 B", "4.1 kB", "2.0 GB", "5000.0 TB"]);
  });
  it("of milliseconds have the digits that matter", () => {
    expect([0.0841, 1.268, 318.4].map(milliseconds)).toEqual(["0.084 ms", "1.27 ms", "318 ms"]);
  });
});
