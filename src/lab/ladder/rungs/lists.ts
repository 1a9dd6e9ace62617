import type { Rung } from "../rung.ts";
import { TaskLists } from "../task-lists.ts";

/** Lists where the sorted set was: a claim takes the head, whatever waits behind it. */
export const lists: Rung = {
  name: "lists",
  what: "A list for each priority instead: taking the head costs the same at any depth, and every write is variadic",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  open: (place) =>
    TaskLists.open(place, (tasks, n) => ({
      claim: async () => (await tasks.step(n, 1)).claimed,
      complete: async (ids) => (await tasks.step(n, 0, ids)).completed,
    })),
};
