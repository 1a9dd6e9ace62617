import { describe, expect, it } from "vitest";
import { LatencyHistogram } from "../histogram.ts";
import type { LoadPoint } from "../load/load-report.ts";
import { type ComparedLoad, loadReading } from "./load-side.ts";

function aPoint(second: number, change: Partial<LoadPoint> = {}): LoadPoint {
  return {
    second,
    seconds: 1,
    claimed: 500,
    errors: 0,
    p50Ns: 1e6,
    p99Ns: 5e6,
    maxNs: 9e6,
    ready: 0,
    leased: 0,
    scheduled: 0,
    rssBytes: 80e6,
    gcPauseMaxMs: 1,
    eventLoopDelayMaxMs: 1,
    ...change,
  };
}

function aReport(timeline: LoadPoint[]): ComparedLoad {
  const claim = new LatencyHistogram();
  for (let n = 1; n <= 100; n += 1) claim.record(n * 1e6);
  const faults = {
    lost: 0,
    phantom: 0,
    doubled: 1,
    completedTwice: 0,
    unclaimed: 0,
    unknown: 0,
    reusedIds: 0,
  };
  return {
    scenario: "claim-latency",
    environment: {
      cpuModel: "a core",
      cores: 2,
      memoryBytes: 8e9,
      os: "Linux",
      node: "20.19.0",
      v8: "11",
      dibs: "0.1.0",
      commit: null,
      dirty: true,
      load1: 0,
    },
    target: {
      store: "embedded",
      place: "./data",
      durability: "process",
      redisVersion: null,
      ownServer: true,
    },
    settings: {
      loop: "open",
      workers: 20,
      processes: 1,
      seconds: timeline.length,
      perSecond: 512.3,
      rateFrom: "half of saturation",
      prefill: 0,
      payloadBytes: 213,
      timeoutMs: 1_000,
    },
    complete: true,
    headline: "claim",
    operations: 500 * timeline.length,
    perSecond: 500,
    early: 1,
    errors: 2,
    timeouts: 3,
    latencies: { claim: claim.summary() },
    timeline,
    server: null,
    generator: { limit: "generator" },
    delivery: { faults },
    notes: [],
  };
}

const minute = Array.from({ length: 60 }, (_, second) => aPoint(second, { p50Ns: 1e6 * (1 + (second % 6)) }));

describe("a report of dibs load", () => {
  it("is ten parts of a run, each with the medians of its seconds", () => {
    const { runs } = loadReading(
      aReport([...minute.slice(0, 59), aPoint(59, { errors: 4, rssBytes: 90e6 })]),
    );

    expect(runs).toHaveLength(10);
    expect(runs[0]).toEqual({
      p50Ms: 3.5,
      p99Ms: 5,
      perSecond: 500,
      memoryBytes: 80e6,
      operations: 3_000,
      errors: 0,
    });
    expect(runs[9]).toMatchObject({ errors: 4, memoryBytes: 90e6 });
  });

  it("is one whole run, whose errors are also what timed out or was delivered wrongly", () => {
    const { whole } = loadReading(aReport(minute));

    expect(whole?.p50Ms).toBeCloseTo(50, 0);
    expect(whole).toMatchObject({ perSecond: 500, operations: 30_000, errors: 7 });
    expect(whole?.cpuUs).toBeUndefined();
  });

  it("leaves out seconds in which nothing was claimed, and is no run at all without any", () => {
    const silent = { p50Ns: null, p99Ns: null, maxNs: null, claimed: 0 };

    expect(loadReading(aReport([aPoint(0), aPoint(1, silent), aPoint(2)])).runs).toHaveLength(2);
    expect(loadReading(aReport([aPoint(0, silent)])).runs).toEqual([]);
  });

  it("says where its rate comes from, as half of what was possible is never twice the same", () => {
    const report = aReport(minute);
    const given = { ...report, settings: { ...report.settings, rateFrom: "the command line" as const } };

    expect(loadReading(report).settings["tasks a second"]).toBe("half of saturation");
    expect(loadReading(given).settings["tasks a second"]).toBe(512);
    expect(loadReading(report).notes).toContain("the load generator, not the server, was the limit");
  });
});
