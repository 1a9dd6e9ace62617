import { describe, expect, it } from "vitest";
import { LatencyHistogram } from "../histogram.ts";
import { callInLoops } from "./callers.ts";
import { HeldTasks } from "./held-tasks.ts";
import { benchSpreadOf } from "./overall.ts";
import { checkBenchReport, isBenchReport } from "./report.ts";
import { BenchFailed, Tally } from "./tally.ts";

describe("callers", () => {
  it("let the event loop turn while their calls resolve at once", async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    const end = performance.now() + 50;

    await callInLoops(
      5,
      () => performance.now() > end,
      async () => {},
    );
    clearInterval(timer);

    expect(turns).toBeGreaterThan(3);
  });

  it("all end when one of them fails", async () => {
    let steps = 0;
    const running = callInLoops(
      3,
      () => false,
      async (caller) => {
        steps += 1;
        if (caller === 1 && steps > 10) throw new Error("broken");
      },
    );

    await expect(running).rejects.toThrow("broken");
  });
});

describe("tally", () => {
  it("counts nothing while it is muted", async () => {
    const tally = new Tally(1_000);
    tally.isMuted = true;

    tally.took("claim", 5, 1);
    tally.tookEmpty(5);
    await tally.failed(new Error("no"), performance.now() * 1e6);

    expect(tally).toMatchObject({
      operations: 0,
      empty: 0,
      errors: 0,
      timeouts: 0,
      latencies: {},
      failures: [],
    });
  });

  it("gives up after failures alone for a while, and not when a call went well between them", async () => {
    const longAgo = performance.now() * 1e6 - 60e9;
    const failTimes = async (tally: Tally, times: number) => {
      for (let n = 0; n < times; n += 1) await tally.failed(new Error("away"), longAgo);
    };
    const interrupted = new Tally(1_000);

    await failTimes(interrupted, 15);
    interrupted.took("claim", 5, 1);
    await failTimes(interrupted, 15);

    expect(interrupted.timeouts).toBe(30);
    await expect(failTimes(new Tally(1_000), 25)).rejects.toThrow(BenchFailed);
  });
});

describe("held tasks", () => {
  it("come back in order, with their tokens, as many at a time as are asked for", () => {
    const held = new HeldTasks();
    const task = (n: number) => ({ id: `q~${n}`, lease: { token: `token-${n}` } }) as never;
    held.push([task(1), task(2)]);
    held.push([task(3)]);

    expect(held.next(2)).toEqual([
      { id: "q~1", leaseToken: "token-1", outcome: "complete" },
      { id: "q~2", leaseToken: "token-2", outcome: "complete" },
    ]);
    expect(held.left).toBe(1);
    expect(held.next(2)).toEqual([{ id: "q~3", leaseToken: "token-3", outcome: "complete" }]);
    expect(held.next(2)).toEqual([]);
  });
});

describe("spread over runs", () => {
  it("has the sample's deviation as a percentage of the mean", () => {
    // 8, 10, 12: mean 10, variance (4 + 0 + 4) / 2, deviation 2.
    expect(benchSpreadOf([10, 8, 12])).toEqual({
      mean: 10,
      median: 10,
      min: 8,
      max: 12,
      deviationPercent: 20,
    });
  });

  it("has no deviation for a single run", () => {
    expect(benchSpreadOf([10]).deviationPercent).toBeNull();
  });
});

describe("report of a bench", () => {
  it("is recognised by its format, and named field by field when it is wrong", () => {
    expect(isBenchReport({ format: "dibs-bench" })).toBe(true);
    expect(isBenchReport(null)).toBe(false);
    expect(() => checkBenchReport({ format: "dibs-bench", version: 1 })).toThrow(
      "Not a report of dibs bench",
    );
  });
});

describe("histogram", () => {
  it("takes a duration many times, and writes percentiles for the plotter", () => {
    const histogram = new LatencyHistogram();
    histogram.record(2e6, 99);
    histogram.record(8e6);

    expect(histogram.count).toBe(100);
    expect(histogram.percentileNs(50) / 1e6).toBeCloseTo(2, 2);
    expect(histogram.percentileText()).toMatch(/Value +Percentile TotalCount/);
  });
});
