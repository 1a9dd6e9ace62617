import { describe, expect, it } from "vitest";
import type { LoadPoint, MemoryReport } from "./load-report.ts";
import { growthPercent, memoryOf } from "./memory.ts";
import { NOTHING_KNOWN } from "./server-figures.ts";

const MB = 1e6;

/** A run whose server has `rss(second)` megabytes. */
function points(seconds: number, rss: (second: number) => number): LoadPoint[] {
  return Array.from({ length: seconds }, (_, second) => ({
    ...NOTHING_KNOWN,
    second,
    seconds: 1,
    claimed: 1,
    errors: 0,
    p50Ns: null,
    p99Ns: null,
    maxNs: null,
    rssBytes: rss(second) * MB,
  }));
}

describe("the memory of a run", () => {
  it("leaves the warm-up out, and hardly grows under the teeth of a saw", () => {
    const memory = memoryOf(
      points(700, (second) => (second < 65 ? second : 100 + 20 * ((second % 30) / 30))),
    );

    expect(memory?.fromSecond).toBe(70);
    expect(Math.abs(growthPercent(memory as MemoryReport))).toBeLessThan(1);
  });

  it("shows a leak under the same teeth", () => {
    const memory = memoryOf(points(700, (second) => 100 + 0.05 * second + 20 * ((second % 30) / 30)));

    expect(memory?.slopeBytesPerS).toBeCloseTo(0.05 * MB, -4);
    expect(memory?.slopeBytesPerS).toBeGreaterThan(2 * (memory?.slopeErrorBytesPerS ?? 0));
    expect(growthPercent(memory as MemoryReport)).toBeGreaterThan(25);
  });

  it("is not known from a handful of samples", () => {
    expect(memoryOf(points(9, () => 100))).toBeNull();
  });
});
