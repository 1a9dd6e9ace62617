import { Merger } from "../merger.ts";
import type { Rung } from "../rung.ts";
import { TaskLists } from "../task-lists.ts";

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
    return TaskLists.open(place, (tasks) => {
      merger ??= new Merger(tasks);
      const step = merger.step.bind(merger);
      return {
        claim: async () => (await step(1)).claimed,
        complete: async (ids) => (await step(0, ids)).completed,
      };
    });
  },
};
