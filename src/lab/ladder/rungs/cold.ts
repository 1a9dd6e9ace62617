import type { Rung } from "../rung.ts";
import { TaskLists } from "../task-lists.ts";

/** Bounds what one trial leaves behind: the system keeps a closed connection's port for a minute. */
const CLAIMS_MAX = 1_500;

/** What a pool saves: the same claim, each on a connection that is opened for it. */
export const cold: Rung = {
  name: "cold-connection",
  what: `Beside it: the same claim when each opens a connection first, as without a warm pool; at most ${CLAIMS_MAX.toLocaleString("en-US")} claims a trial`,
  isSafe: true,
  isOrdered: true,
  batch: 1,
  over: "lists",
  claimsMax: CLAIMS_MAX,
  open: (place) =>
    TaskLists.open(place, (tasks) => ({
      claim: async () => (await tasks.stepCold(1)).claimed,
      complete: async (ids) => (await tasks.stepCold(0, ids)).completed,
    })),
};
