import { LeasedTasks, separately } from "../leased-tasks.ts";
import { LISTS } from "../orders.ts";
import type { Rung } from "../rung.ts";

/** Bounds what one trial leaves behind: the system keeps a closed connection's port for a minute. */
const CLAIMS_MAX = 1_000;

/** What a pool saves: the same claim, each on a connection that is opened for it. */
export const cold: Rung = {
  name: "cold-connection",
  what: `Beside it, without a warm pool: each call opens a connection first; at most ${CLAIMS_MAX.toLocaleString("en-US")} claims a trial`,
  isSafe: true,
  isOrdered: true,
  batch: 1,
  over: "lists",
  claimsMax: CLAIMS_MAX,
  open: (place) =>
    LeasedTasks.open(place, LISTS, (tasks) => separately((max, done) => tasks.stepCold(max, done), 1)),
};
