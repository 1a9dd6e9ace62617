import { describe, expect, it } from "vitest";
import { LatencyHistogram } from "./histogram.ts";
import {
  type Candidate,
  latencyNs,
  medianOfSeries,
  perSecond,
  ratioOf,
  runInterleaved,
  seriesNamed,
  spreadOfSeries,
  value,
} from "./run.ts";

/** A candidate that finishes `rates[n - 1]` operations in its n-th repetition of one second. */
function aCandidate(name: string, rates: readonly number[], turns: string[] = []): Candidate {
  return {
    name,
    async measure({ repetition, seconds }) {
      turns.push(`${name}${repetition}`);
      const operations = rates[Math.max(0, repetition - 1)] as number;
      const claim = new LatencyHistogram();
      claim.record(operations);
      return { seconds, operations, errors: 0, latencies: { claim }, values: { bytes: operations * 2 } };
    },
  };
}

const OPTIONS = { repeats: 3, seconds: 1, warmupSeconds: 1 };

describe("interleaved run", () => {
  it("warms up each candidate once, then takes turns and alternates who is first", async () => {
    const turns: string[] = [];

    await runInterleaved([aCandidate("a", [1, 1, 1], turns), aCandidate("b", [1, 1, 1], turns)], OPTIONS);

    expect(turns).toEqual(["a0", "b0", "a1", "b1", "b2", "a2", "a3", "b3"]);
  });

  it("leaves the warm-up out of the results, and out of the run when it is 0", async () => {
    const turns: string[] = [];

    const [series] = await runInterleaved([aCandidate("a", [10, 20, 30], turns)], {
      ...OPTIONS,
      warmupSeconds: 0,
    });

    expect(turns).toEqual(["a1", "a2", "a3"]);
    expect(series?.repetitions.map(perSecond)).toEqual([10, 20, 30]);
  });

  it("compares inside each repetition, so that a slow minute of the machine falls out", async () => {
    const all = await runInterleaved(
      [aCandidate("fast", [200, 20, 220]), aCandidate("base", [100, 10, 100])],
      OPTIONS,
    );

    const ratio = ratioOf(seriesNamed(all, "fast"), seriesNamed(all, "base"), perSecond);

    expect(ratio).toEqual({ perRepetition: [2, 2, 2.2], median: 2, min: 2, max: 2.2 });
  });

  it("gives the median and spread of any figure", async () => {
    const [series] = await runInterleaved([aCandidate("a", [10, 30, 20])], OPTIONS);

    expect(spreadOfSeries(series!, value("bytes"))).toEqual({ median: 40, min: 20, max: 60 });
    expect(medianOfSeries(series!, latencyNs("claim", 50))).toBe(20);
  });

  it("names a figure that was not measured", async () => {
    const [series] = await runInterleaved([aCandidate("a", [10, 30, 20])], OPTIONS);

    expect(() => medianOfSeries(series!, latencyNs("enqueue", 50))).toThrow('timed under "enqueue"');
    expect(() => medianOfSeries(series!, value("rows"))).toThrow('measured under "rows"');
    expect(() => seriesNamed([series!], "b")).toThrow('no series "b"');
  });

  it("refuses fewer than three repetitions", async () => {
    await expect(runInterleaved([], { ...OPTIONS, repeats: 2 })).rejects.toThrow(
      "Expected repeats to be 3 or more, got 2",
    );
  });
});
