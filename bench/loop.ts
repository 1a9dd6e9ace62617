import { setImmediate as nextTurn } from "node:timers/promises";
import { nowNs } from "../src/lab/nano-clock.ts";

/** How long a caller may go on before the event loop gets its turn: the engine's timers live there. */
const TURN_NS = 2e6;

/**
 * Calls `step` one after another for `seconds`. Embedded calls resolve without leaving the current turn, so
 * that a caller in a tight loop would starve timers, as no real program does: every two milliseconds the
 * loop turns once, outside what is timed. Returns the time it really took, in seconds.
 */
export async function repeatFor(
  seconds: number,
  step: () => Promise<void>,
  betweenTurns?: () => Promise<void>,
): Promise<number> {
  const startedAt = nowNs();
  const end = startedAt + seconds * 1e9;
  let turnAt = startedAt + TURN_NS;
  for (let now = startedAt; now < end; now = nowNs()) {
    await step();
    if (now < turnAt) continue;
    await betweenTurns?.();
    await nextTurn();
    turnAt = nowNs() + TURN_NS;
  }
  return (nowNs() - startedAt) / 1e9;
}
