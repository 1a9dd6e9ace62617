import { describe, expect, it } from "vitest";
import { SCENARIOS } from "./scenarios.ts";
import { parseThreshold } from "./threshold.ts";

describe("a threshold", () => {
  it("is a figure, a sign and a bound in a unit of the figure", () => {
    expect(parseThreshold("claim.p99<100ms")).toMatchObject({
      figure: { name: "claim.p99", unit: "ms" },
      sign: "<",
      bound: 100,
    });
    expect(parseThreshold(" start.p999 <= 1.5 s ").bound).toBe(1_500);
    expect(parseThreshold("claim.p50<250us").bound).toBe(0.25);
    expect(parseThreshold("claim.p50<20").bound).toBe(20);
    expect(parseThreshold("cpu<25%")).toMatchObject({ figure: { name: "cpu" }, bound: 25 });
    expect(parseThreshold("throughput>=1000tasks/s")).toMatchObject({ sign: ">=", bound: 1_000 });
  });

  it.each([
    ["claim.p99", 'Expected a threshold like claim.p99<100ms or errors<=0, got "claim.p99"'],
    ["claim.p98<1ms", "Expected a threshold on enqueue, claim, complete, service, start, lateness with .p50"],
    ["errors<5ms", "Expected errors in a plain number, got 5ms"],
    ["claim.p99<5%", "Expected claim.p99 in ms, got 5%"],
    ["claim.p99=5ms", 'got "claim.p99=5ms"'],
  ])("says what is wrong with %s", (text, message) => {
    expect(() => parseThreshold(text)).toThrow(message);
  });
});

describe("the scenarios", () => {
  it("have names of their own and thresholds that can be read", () => {
    expect(new Set(SCENARIOS.map(({ name }) => name)).size).toBe(SCENARIOS.length);
    for (const { thresholds } of SCENARIOS) expect(thresholds.map(parseThreshold).length).toBeGreaterThan(0);
  });
});
