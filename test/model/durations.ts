import fc from "fast-check";

/** The times that commands are drawn with, milliseconds. */
export interface Durations {
  readonly delayMs: fc.Arbitrary<number>;
  readonly leaseMs: fc.Arbitrary<number>;
  readonly advanceMs: fc.Arbitrary<number>;
  /** How old finished tasks may become. */
  readonly keptMs: fc.Arbitrary<number>;
  readonly backoff: fc.Arbitrary<object>;
  /** True: every task says its own, and the queue's default, which draws a wait within a second, is not used. */
  readonly everyTaskHasBackoff: boolean;
}

const types = fc.constantFrom("fixed", "linear", "exponential");

/** For an engine whose clock stands still between two calls: to the millisecond, and one beside it. */
export const EXACT: Durations = {
  delayMs: fc.constantFrom(0, 0, 0, 1, 500, 1_000, 1_001, 30_000, 600_000),
  leaseMs: fc.constantFrom(1_000, 1_001, 5_000, 60_000, 3_600_000, 3_600_000),
  advanceMs: fc.constantFrom(
    0,
    1,
    499,
    1_000,
    1_000,
    5_000,
    5_000,
    9_999,
    10_000,
    30_000,
    60_000,
    3_600_000,
    86_400_000,
  ),
  keptMs: fc.constantFrom(0, 0, 30_000, 3_600_000),
  backoff: fc.record(
    {
      type: types,
      baseMs: fc.constantFrom(0, 10, 1_000),
      capMs: fc.constantFrom(5, 60_000),
      jitter: fc.constantFrom("none", "equal", "full"),
    },
    { requiredKeys: [] },
  ),
  everyTaskHasBackoff: false,
};

/** The step of {@link COARSE}: longer than a run takes, and all times of `LIMITS` and of the defaults are multiples. */
export const STEP_MS = 10_000;

/**
 * For an engine whose clock runs on: multiples of {@link STEP_MS}, and nothing that is drawn within them. What
 * comes later in a run is then later by less than a step, so that times cut to whole steps are exact again.
 */
export const COARSE: Durations = {
  delayMs: fc.constantFrom(0, 0, 0, STEP_MS, STEP_MS, 3 * STEP_MS, 60 * STEP_MS),
  leaseMs: fc.constantFrom(STEP_MS, STEP_MS, 2 * STEP_MS, 6 * STEP_MS, 360 * STEP_MS, 360 * STEP_MS),
  advanceMs: fc.constantFrom(
    0,
    STEP_MS,
    STEP_MS,
    STEP_MS,
    STEP_MS,
    STEP_MS,
    2 * STEP_MS,
    3 * STEP_MS,
    6 * STEP_MS,
    360 * STEP_MS,
    8_640 * STEP_MS,
  ),
  keptMs: fc.constantFrom(0, 0, 3 * STEP_MS, 360 * STEP_MS),
  backoff: fc.record({
    type: types,
    baseMs: fc.constantFrom(0, STEP_MS, 2 * STEP_MS),
    capMs: fc.constantFrom(STEP_MS, 6 * STEP_MS),
    jitter: fc.constant("none"),
  }),
  everyTaskHasBackoff: true,
};
