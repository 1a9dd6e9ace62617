import { describe, expect, it } from "vitest";
import { compare } from "./comparison.ts";
import { disagreements, type Side } from "./side.ts";

const RUNS = [1, 2, 3, 4, 5].map((n) => ({
  p50Ms: 1 + n / 100,
  p99Ms: 2 + n / 100,
  perSecond: 1_000 + n,
  operations: 500,
  errors: 0,
}));

function aSide(change: Partial<Side> = {}): Side {
  return {
    label: "base.json",
    runs: RUNS,
    machine: { cores: 2, cpu: "a core" },
    versions: { dibs: "0.1.0", redis: null },
    settings: { depth: 1_000 },
    commit: null,
    notes: [],
    ...change,
  };
}

describe("two sides", () => {
  it("disagree in what both know and say differently", () => {
    const other = aSide({ machine: { cores: 64, cpu: "a core" }, versions: { dibs: "0.2.0", redis: "7.2" } });

    expect(disagreements(aSide(), other).map(({ text }) => text)).toEqual([
      "they come from different machines (cores 2 and 64)",
      "they come from different versions (dibs 0.1.0 and 0.2.0)",
    ]);
  });

  it("do not disagree in what one of them does not say, nor in their commits", () => {
    expect(disagreements(aSide({ commit: "a" }), aSide({ machine: {}, versions: {}, commit: "b" }))).toEqual(
      [],
    );
  });

  it("are judged when each of their differences is allowed, and not when one is left", () => {
    const other = aSide({ machine: { cores: 64 }, settings: { depth: 7 } });
    const verdict = (...allow: ("machine" | "settings")[]) =>
      compare(aSide(), other, { paired: false, allow }).verdict;

    expect(verdict()).toBe("not judged");
    expect(verdict("machine")).toBe("not judged");
    expect(verdict("machine", "settings")).toBe("noise");
  });
});
