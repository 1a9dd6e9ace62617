import { setImmediate as nextTurn } from "node:timers/promises";
import { nowNs } from "../nano-clock.ts";

/** How long callers may go on before the event loop gets its turn: an engine's timers, and Ctrl-C, live there. */
const TURN_NS = 2e6;

/**
 * A closed loop: `count` callers, each of which takes a step as soon as its last one is done, until `isOver`.
 * Calls within a process resolve without leaving the turn, so every two milliseconds all callers let the event
 * loop turn once, between their steps.
 */
export async function callInLoops(
  count: number,
  isOver: () => boolean,
  step: (caller: number) => Promise<void>,
): Promise<void> {
  let turnAt = nowNs() + TURN_NS;
  let turning: Promise<void> | undefined;
  const turn = async () => {
    await nextTurn();
    turning = undefined;
    turnAt = nowNs() + TURN_NS;
  };
  let hasFailed = false;
  const loop = async (caller: number) => {
    while (!hasFailed && !isOver()) {
      await step(caller);
      if (turning === undefined && nowNs() >= turnAt) turning = turn();
      if (turning !== undefined) await turning;
    }
  };
  const ends = await Promise.allSettled(
    Array.from({ length: count }, (_, caller) =>
      loop(caller).catch((error: unknown) => {
        // The others end after their step: nobody is left calling behind a bench that has failed.
        hasFailed = true;
        throw error;
      }),
    ),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
