import { LIMITS } from "./limits.ts";

/** How the wait before the next attempt grows, and how it is spread. */
export interface BackoffPolicy {
  /** `fixed`: base. `linear`: base × attempt. `exponential`: base × 2^(attempt − 1). All end at `capMs`. */
  readonly type: "fixed" | "linear" | "exponential";
  /** First wait in milliseconds, 0 to 24 hours. */
  readonly baseMs: number;
  /** Longest wait in milliseconds, 0 to 30 days. */
  readonly capMs: number;
  /** `none`: the ceiling itself. `equal`: upper half of it. `full`: anywhere from 0 to it. */
  readonly jitter: "none" | "equal" | "full";
}

export const DEFAULT_BACKOFF: BackoffPolicy = Object.freeze({
  type: "exponential",
  baseMs: 1_000,
  capMs: 900_000,
  jitter: "full",
});

/**
 * Waits before the next attempt, in whole milliseconds from 0 to `policy.capMs`.
 *
 * `attempt` is the attempt that just failed; attempts count from 1. `random` is a number in [0, 1).
 * Full jitter is the default, because a broken dependency fails many tasks at once and equal waits
 * would bring them all back in the same second.
 * Source of the two jitters: AWS Architecture Blog, "Exponential Backoff and Jitter" (2015).
 *
 * @throws {RangeError} if `attempt` is below 1.
 */
export function backoffMs(attempt: number, policy: BackoffPolicy, random: number): number {
  if (!(attempt >= 1)) throw new RangeError(`Expected attempt to be 1 or more, got ${attempt}`);
  const ceiling = Math.min(policy.capMs, growth(attempt, policy));
  switch (policy.jitter) {
    case "none":
      return Math.round(ceiling);
    case "equal":
      return Math.round(ceiling / 2 + (random * ceiling) / 2);
    case "full":
      return Math.round(random * ceiling);
  }
}

function growth(attempt: number, policy: BackoffPolicy): number {
  switch (policy.type) {
    case "fixed":
      return policy.baseMs;
    case "linear":
      return policy.baseMs * attempt;
    case "exponential":
      // 2^99 × 24 h is far below the largest double, so no overflow for maxAttempts ≤ 100.
      return policy.baseMs * 2 ** (Math.min(attempt, LIMITS.maxAttemptsMax) - 1);
  }
}
