import type { Rung } from "../rung.ts";
import { TaskLists } from "../task-lists.ts";

/** Several tasks a claim, completed together. */
function batchesOf(batch: number, over: string): Rung {
  return {
    name: `batches-of-${batch}`,
    what: `${batch} tasks a claim and a completion`,
    isSafe: true,
    isOrdered: true,
    batch,
    over,
    open: (place) =>
      TaskLists.open(place, (tasks, n) => ({
        claim: async () => (await tasks.step(n, batch)).claimed,
        complete: async (ids) => (await tasks.step(n, 0, ids)).completed,
      })),
  };
}

export const batches: readonly Rung[] = [
  batchesOf(10, "lists"),
  batchesOf(32, "batches-of-10"),
  batchesOf(100, "batches-of-32"),
];
