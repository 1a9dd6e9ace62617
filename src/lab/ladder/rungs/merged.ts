import { LeasedTasks, separately } from "../leased-tasks.ts";
import { Merger } from "../merger.ts";
import { LISTS } from "../orders.ts";
import type { Rung } from "../rung.ts";

/** Callers that want one task each share a call: the cost of batches, the answer of a single claim. */
export const merged: Rung = {
  name: "merged",
  what: "Single claims again, those of the same moment merged into one call; completions likewise",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  over: "lists",
  open(place) {
    let merger: Merger | undefined;
    return LeasedTasks.open(place, LISTS, (tasks) => {
      merger ??= new Merger(tasks);
      return separately(merger.step.bind(merger), 1);
    });
  },
};
