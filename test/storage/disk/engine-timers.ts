import { vi } from "vitest";

/** Longer than the promise queue is while no call and no flush is left. */
const TURNS = 120;

/**
 * The engine's own timers (background flush, compaction, the look for room on a full disk) in the hands of a
 * test, so that a run is the same each time and nothing waits.
 */
export const engineTimers = {
  take(): void {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout"] });
  },

  giveBack(): void {
    vi.useRealTimers();
  },

  /** Lets this much time pass, and what it starts end. */
  async pass(ms: number): Promise<void> {
    vi.advanceTimersByTime(ms);
    await quiet();
  },

  /** No timer of an engine that is gone fires again. */
  forget(): void {
    vi.clearAllTimers();
  },
};

/** Resolves when flushes that are under way have ended. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) await undefined;
}
