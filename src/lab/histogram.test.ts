import { describe, expect, it } from "vitest";
import { DURATION_NS_MAX, LatencyHistogram } from "./histogram.ts";

function histogramOf(durations: Iterable<number>): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const duration of durations) histogram.record(duration);
  return histogram;
}

function* upTo(n: number): Generator<number> {
  for (let i = 1; i <= n; i += 1) yield i * 1_000;
}

/** Within the thousandth that the histogram promises. */
function expectNear(actual: number, expected: number): void {
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(expected / 1_000);
}

describe("latency histogram", () => {
  it("gives the percentiles of known durations to within a thousandth", () => {
    const summary = histogramOf(upTo(10_000)).summary();

    expect(summary.count).toBe(10_000);
    expectNear(summary.meanNs, 5_000_500);
    expectNear(summary.p50Ns, 5_000_000);
    expectNear(summary.p90Ns, 9_000_000);
    expectNear(summary.p95Ns, 9_500_000);
    expectNear(summary.p99Ns, 9_900_000);
    expectNear(summary.p999Ns, 9_990_000);
    expectNear(summary.maxNs, 10_000_000);
  });

  it("merges into what one histogram of all durations would be", () => {
    const low = histogramOf([1_000, 2_000, 3_000]);
    const high = histogramOf([9_000_000, 8_000_000]);

    low.merge(high);

    expect(low.summary()).toEqual(histogramOf([1_000, 2_000, 3_000, 9_000_000, 8_000_000]).summary());
    expect(high.count).toBe(2);
  });

  it("comes back from its text with the same percentiles and can go on", () => {
    const histogram = histogramOf(upTo(1_000));

    const back = LatencyHistogram.decode(histogram.encode());

    expect(back.count).toBe(1_000);
    expect(back.percentileNs(99)).toBe(histogram.percentileNs(99));
    back.merge(histogram);
    back.record(5_000);
    expect(back.count).toBe(2_001);
  });

  it("keeps durations beyond an hour as an hour, and negative ones as nothing", () => {
    const histogram = histogramOf([DURATION_NS_MAX * 2, -3]);

    expect(histogram.count).toBe(2);
    expectNear(histogram.maxNs, DURATION_NS_MAX);
    expect(histogram.percentileNs(50)).toBe(0);
  });

  it("says 0 for everything when nothing was recorded", () => {
    expect(new LatencyHistogram().summary()).toMatchObject({ count: 0, meanNs: 0, p50Ns: 0, maxNs: 0 });
  });
});
