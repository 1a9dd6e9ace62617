import { describe, expect, it } from "vitest";
import { Histogram } from "./histogram.ts";
import { MinuteWindow } from "./minute-window.ts";

describe("percentiles over the last minute", () => {
  it("are within six percent of the true ones, from microseconds to days", () => {
    for (const scale of [0.01, 1, 250, 60_000, 86_400_000 / 1_000]) {
      const window = new MinuteWindow();
      for (let value = 1; value <= 1_000; value += 1) window.record(value * scale, 0);

      const { p50, p99, p999 } = window.percentiles(0);

      expect(Math.abs(p50 / (500 * scale) - 1)).toBeLessThan(0.07);
      expect(Math.abs(p99 / (990 * scale) - 1)).toBeLessThan(0.07);
      expect(Math.abs(p999 / (999 * scale) - 1)).toBeLessThan(0.07);
    }
  });

  it("forget what is older than a minute, ten seconds at a time", () => {
    const window = new MinuteWindow();
    window.record(1_000, 5_000);
    expect(window.percentiles(59_999).p50).toBeGreaterThan(900);

    window.record(1, 62_000);
    window.record(1, 59_999);

    expect(window.percentiles(62_000).p999).toBeLessThan(2);
    expect(window.isEmpty(62_000)).toBe(false);
    expect(window.percentiles(200_000)).toEqual({ p50: 0, p99: 0, p999: 0 });
    expect(window.isEmpty(200_000)).toBe(true);
  });

  it("take any number, and count what took no time as nothing", () => {
    const window = new MinuteWindow();
    for (const value of [0, -5, Number.NaN]) window.record(value, 0);
    expect(window.percentiles(0)).toEqual({ p50: 0, p99: 0, p999: 0 });

    window.record(Number.MAX_VALUE, 0);

    expect(window.percentiles(0).p999).toBeGreaterThan(86_400_000);
  });
});

describe("a histogram", () => {
  it("counts a value in the first bucket that reaches up to it", () => {
    const histogram = new Histogram([1, 5, 10]);
    for (const value of [0, 1, 1.5, 5, 10, 11]) histogram.record(value);
    histogram.record(7, 3);

    expect([...histogram.counts]).toEqual([2, 2, 4, 1]);
    expect(histogram.count).toBe(9);
    expect(histogram.sum).toBeCloseTo(49.5);
  });
});
