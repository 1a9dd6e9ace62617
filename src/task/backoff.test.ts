import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BackoffPolicy, backoffMs, DEFAULT_BACKOFF } from "./backoff.ts";
import { LIMITS } from "./limits.ts";

const aPolicy = fc.record<BackoffPolicy>({
  type: fc.constantFrom("fixed", "linear", "exponential"),
  baseMs: fc.integer({ min: 0, max: LIMITS.backoffBaseMsMax }),
  capMs: fc.integer({ min: 0, max: LIMITS.backoffCapMsMax }),
  jitter: fc.constantFrom("none", "equal", "full"),
});
const anAttempt = fc.integer({ min: 1, max: LIMITS.maxAttemptsMax });
const aRandom = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

function waits(policy: Partial<BackoffPolicy>, attempts: readonly number[], random = 0.5): number[] {
  return attempts.map((attempt) => backoffMs(attempt, { ...DEFAULT_BACKOFF, ...policy }, random));
}

describe("the wait before the next attempt", () => {
  it("is a whole number from 0 to the cap, whatever the policy", () => {
    fc.assert(
      fc.property(aPolicy, anAttempt, aRandom, (policy, attempt, random) => {
        const wait = backoffMs(attempt, policy, random);
        expect(Number.isSafeInteger(wait)).toBe(true);
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(policy.capMs);
      }),
    );
  });

  it("never shrinks from one attempt to the next, for the same draw", () => {
    fc.assert(
      fc.property(aPolicy, anAttempt, aRandom, (policy, attempt, random) => {
        expect(backoffMs(attempt + 1, policy, random)).toBeGreaterThanOrEqual(
          backoffMs(attempt, policy, random),
        );
      }),
    );
  });

  it("is spread over the upper half by equal jitter, over all of it by full jitter, not at all by none", () => {
    fc.assert(
      fc.property(aPolicy, anAttempt, aRandom, (policy, attempt, random) => {
        const ceiling = backoffMs(attempt, { ...policy, jitter: "none" }, random);
        expect(backoffMs(attempt, { ...policy, jitter: "equal" }, 0)).toBe(Math.round(ceiling / 2));
        expect(backoffMs(attempt, { ...policy, jitter: "full" }, 0)).toBe(0);
        for (const jitter of ["equal", "full"] as const) {
          const least = backoffMs(attempt, { ...policy, jitter }, 0);
          const wait = backoffMs(attempt, { ...policy, jitter }, random);
          expect(wait).toBeGreaterThanOrEqual(least);
          expect(wait).toBeLessThanOrEqual(ceiling);
          expect(backoffMs(attempt, { ...policy, jitter }, 1 - Number.EPSILON)).toBe(ceiling);
        }
      }),
    );
  });

  it("stays, grows by the base, or doubles, and ends at the cap", () => {
    const policy = { baseMs: 1_000, capMs: 5_000, jitter: "none" } as const;

    expect(waits({ ...policy, type: "fixed" }, [1, 2, 3, 100])).toEqual([1_000, 1_000, 1_000, 1_000]);
    expect(waits({ ...policy, type: "linear" }, [1, 2, 3, 100])).toEqual([1_000, 2_000, 3_000, 5_000]);
    expect(waits({ ...policy, type: "exponential" }, [1, 2, 3, 4, 100])).toEqual([
      1_000, 2_000, 4_000, 5_000, 5_000,
    ]);
  });

  it("is by default anywhere from 0 to one second doubled each time, at most fifteen minutes", () => {
    expect(waits({}, [1, 2, 3], 0.999_999_9)).toEqual([1_000, 2_000, 4_000]);
    expect(waits({}, [1, 2, 3], 0)).toEqual([0, 0, 0]);
    expect(waits({}, [100], 0.999_999_999_9)).toEqual([900_000]);
  });

  it.each([0, -1, Number.NaN])("is refused for attempt %s: attempts count from 1", (attempt) => {
    expect(() => backoffMs(attempt, DEFAULT_BACKOFF, 0)).toThrow(
      new RangeError(`Expected attempt to be 1 or more, got ${attempt}`),
    );
  });
});
