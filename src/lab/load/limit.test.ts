import { describe, expect, it } from "vitest";
import { LatencyHistogram } from "../histogram.ts";
import { type Driven, limitOf } from "./limit.ts";
import type { LoadSettings } from "./load-report.ts";

const settings: LoadSettings = {
  loop: "open",
  workers: 20,
  processes: 1,
  seconds: 10,
  perSecond: 100,
  rateFrom: "the command line",
  prefill: 0,
  payloadBytes: 213,
  timeoutMs: 1_000,
};

function aRun(more: Partial<Driven>, lagMs = 0.1): Driven {
  const lag = new LatencyHistogram();
  for (let n = 0; n < 100; n += 1) lag.record(lagMs * 1e6);
  return {
    settings,
    lag,
    sent: 3_000,
    heldBack: 0,
    unsent: 0,
    heldBackIdle: 1,
    eventLoopUtilization: 1,
    claimed: 1_000,
    seconds: 10,
    p99Ms: 2,
    ...more,
  };
}

describe("who kept the load from being what it was meant to be", () => {
  it("is nobody when calls leave on time and all tasks are done", () => {
    expect(limitOf(aRun({})).limit).toBe("none");
    expect(limitOf(aRun({ heldBack: 20 })).limit).toBe("none");
  });

  it("is the generator when its own lateness is a good part of what it measured", () => {
    expect(limitOf(aRun({ p99Ms: 6 }, 3))).toMatchObject({
      limit: "generator",
      lagP99Ms: expect.closeTo(3, 1),
    });
    expect(limitOf(aRun({ p99Ms: 50 }, 3)).limit).toBe("none");
  });

  it("is the generator when answers waited for it and not it for them", () => {
    expect(limitOf(aRun({ heldBack: 2_000, heldBackIdle: 0.02, claimed: 700 })).limit).toBe("generator");
    expect(limitOf(aRun({ heldBack: 2_000, heldBackIdle: 0.7, claimed: 700 })).limit).toBe("server");
  });

  it("is in a closed loop the generator that is never idle", () => {
    const closed = { ...settings, loop: "closed", perSecond: null } as const;

    expect(limitOf(aRun({ settings: closed, eventLoopUtilization: 0.99 })).limit).toBe("generator");
    expect(limitOf(aRun({ settings: closed, eventLoopUtilization: 0.6 })).limit).toBe("none");
  });
});
