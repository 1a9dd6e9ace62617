import { describe, expect, it } from "vitest";
import { isLevel, medianOf, slopeOf, spreadOf } from "./statistics.ts";

describe("statistics", () => {
  it("takes the middle of an odd number of values, whatever their order", () => {
    expect(spreadOf([30, 4, 100])).toEqual({ median: 30, min: 4, max: 100 });
  });

  it("takes the mean of the two middle values of an even number", () => {
    expect(medianOf([1, 2, 10, 20])).toBe(6);
  });

  it("refuses a median of nothing", () => {
    expect(() => medianOf([])).toThrow("at least one value");
  });

  it("leaves the values as they were", () => {
    const values = [3, 1, 2];

    spreadOf(values);

    expect(values).toEqual([3, 1, 2]);
  });

  it("finds the slope and its error of a known line", () => {
    // y = 2x + 1 with residuals -1, +1, +1, -1: the slope stays 2, the error is sqrt(4 / 2 / 5).
    const { slope, error } = slopeOf([
      [0, 0],
      [1, 4],
      [2, 6],
      [3, 6],
    ]);

    expect(slope).toBeCloseTo(2, 12);
    expect(error).toBeCloseTo(Math.sqrt(4 / 2 / 5), 12);
  });

  it("tells growth from a level line with noise", () => {
    const noise = [3, -2, 1, -3, 2, -1, 3, -2, 1, -2];
    const level = noise.map((y, x) => [x, 100 + y] as const);
    const growing = noise.map((y, x) => [x, 100 + y + 5 * x] as const);

    expect(isLevel(slopeOf(level))).toBe(true);
    expect(isLevel(slopeOf(growing))).toBe(false);
  });

  it("does not call two points a trend", () => {
    expect(
      isLevel(
        slopeOf([
          [0, 0],
          [1, 1_000],
        ]),
      ),
    ).toBe(true);
  });
});
