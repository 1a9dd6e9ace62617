import { LeasedTasks, separately } from "../leased-tasks.ts";
import { SORTED_SET } from "../orders.ts";
import type { Rung } from "../rung.ts";

/** The queue keeps the order itself: the next task is at the front, however many there are. */
export const sortedSet: Rung = {
  name: "sorted-set",
  what: "No search: a sorted set keeps the order of priority and age, and a claim takes its first; from here on under a lease with a token, attempts counted, finished tasks kept",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  over: "checked-script",
  open: (place) =>
    LeasedTasks.open(place, SORTED_SET, (tasks, n) => separately((max, done) => tasks.step(n, max, done), 1)),
};
