import { LeasedTasks, separately } from "../leased-tasks.ts";
import { LISTS } from "../orders.ts";
import type { Rung } from "../rung.ts";

/** Several tasks a claim, completed together. */
function batchesOf(batch: number, over: string): Rung {
  return {
    name: `batches-of-${batch}`,
    what: `${batch} tasks a claim and a completion, written by variadic commands`,
    isSafe: true,
    isOrdered: true,
    batch,
    over,
    open: (place) =>
      LeasedTasks.open(place, LISTS, (tasks, n) =>
        separately((max, done) => tasks.step(n, max, done), batch),
      ),
  };
}

export const batches: readonly Rung[] = [
  batchesOf(10, "lists"),
  batchesOf(32, "batches-of-10"),
  batchesOf(100, "batches-of-32"),
];
