import { LeasedTasks, separately } from "../leased-tasks.ts";
import { LISTS } from "../orders.ts";
import type { Rung } from "../rung.ts";

/** Lists where the sorted set was: a claim takes the head, whatever waits behind it. */
export const lists: Rung = {
  name: "lists",
  what: "A list for each priority instead: taking the head costs the same at any depth",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  open: (place) =>
    LeasedTasks.open(place, LISTS, (tasks, n) => separately((max, done) => tasks.step(n, max, done), 1)),
};
