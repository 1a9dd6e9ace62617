import { describe, expect, it } from "vitest";
import { enoughRuns, expandedTail, ratioInterval } from "./interval.ts";

const PAIRED = { paired: true, miss: 0.05 };
const APART = { paired: false, miss: 0.05 };

/** Numbers in [0, 1) that a seed determines: Lehmer's generator. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** About normal: the sum of twelve. */
function noise(random: () => number): number {
  let sum = -6;
  for (let n = 0; n < 12; n += 1) sum += random();
  return sum;
}

function noisy(count: number, random: () => number, middle = 1, spread = 0.1): number[] {
  return Array.from({ length: count }, () => middle * Math.exp(spread * noise(random)));
}

describe("ratio of medians", () => {
  it("is that of the two medians, between the ends of its interval", () => {
    const interval = ratioInterval([10, 11, 12, 10, 11], [20, 22, 24, 21, 22], APART);

    expect(interval.ratio).toBe(2);
    expect(interval.low).toBeLessThan(2);
    expect(interval.low).toBeGreaterThan(1);
    expect(interval.high).toBeGreaterThan(2);
  });

  it("is sure of itself when the runs do not differ", () => {
    expect(ratioInterval([5, 5, 5, 5, 5], [6, 6, 6, 6, 6], APART)).toEqual({
      ratio: 1.2,
      low: 1.2,
      high: 1.2,
    });
  });

  it("always comes out the same for the same runs", () => {
    const runs = noisy(12, randomFrom(1));

    expect(ratioInterval(runs, runs.toReversed(), APART)).toEqual(
      ratioInterval(runs, runs.toReversed(), APART),
    );
  });

  it("takes what the machine did to both of a pair out of the interval, where the sides are paired", () => {
    const random = randomFrom(7);
    const machine = Array.from({ length: 12 }, () => 1 + random());
    const base = machine.map((slow) => slow * (1 + 0.01 * noise(random)));
    const candidate = machine.map((slow) => 1.2 * slow * (1 + 0.01 * noise(random)));
    const width = ({ low, high }: { low: number; high: number }) => high / low;

    expect(width(ratioInterval(base, candidate, PAIRED))).toBeLessThan(
      width(ratioInterval(base, candidate, APART)),
    );
    expect(ratioInterval(base, candidate, PAIRED).low).toBeGreaterThan(1);
    expect(ratioInterval(base, candidate, APART).low).toBeLessThan(1);
  });

  it.each([
    [5, APART],
    [8, PAIRED],
    [12, PAIRED],
  ])("misses no more often than it may, with %i runs", (count, options) => {
    const random = randomFrom(42);
    const rounds = 100;
    let missed = 0;
    for (let round = 0; round < rounds; round += 1) {
      const { low, high } = ratioInterval(noisy(count, random), noisy(count, random), options);
      if (low > 1 || high < 1) missed += 1;
    }

    // Of 100 that miss in one of twenty, 13 or more would be a chance of one in a thousand.
    expect(missed).toBeLessThan(13);
  });

  it("refuses pairs that are not pairs, and sides of nothing", () => {
    expect(() => ratioInterval([1, 2], [1], PAIRED)).toThrow(
      "as many candidate runs as base runs (2), got 1",
    );
    expect(() => ratioInterval([], [1], APART)).toThrow(RangeError);
  });
});

describe("expanded tail", () => {
  // Student's t: 2.7764 with 4 degrees of freedom, 2.2010 with 11, at 2.5 %; Φ(−√(n/(n−1)) · t) by a table of Φ.
  it.each([
    [5, 0.000955],
    [12, 0.010759],
    [1_000, 0.024804],
  ])("is smaller than the tail that is meant the fewer runs there are: %i", (runs, tail) => {
    expect(expandedTail(0.025, runs)).toBeCloseTo(tail, 4);
  });

  it("is nothing for a single run, which says nothing about the next", () => {
    expect(expandedTail(0.025, 1)).toBe(0);
  });
});

describe("enough runs", () => {
  it("are five against five, or eight pairs, for six measures that hold together at 95 %", () => {
    const miss = 0.05 / 6;

    expect(enoughRuns(5, 5, { paired: false, miss })).toBe(true);
    expect(enoughRuns(4, 5, { paired: false, miss })).toBe(false);
    expect(enoughRuns(8, 8, { paired: true, miss })).toBe(true);
    expect(enoughRuns(7, 7, { paired: true, miss })).toBe(false);
  });
});
