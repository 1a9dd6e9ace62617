import { Merger } from "../merger.ts";
import type { Rung } from "../rung.ts";
import { TaskLists } from "../task-lists.ts";

/** Who completes mostly wants the next task: both in one call, merged with those of others. */
export const fused: Rung = {
  name: "fused",
  what: "Completing a task and claiming the next one is one call, merged as before: its latency is that of both",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  open(place) {
    let merger: Merger | undefined;
    return TaskLists.open(place, (tasks) => {
      merger ??= new Merger(tasks);
      const step = merger.step.bind(merger);
      return {
        claim: async () => (await step(1)).claimed,
        complete: async (ids) => (await step(0, ids)).completed,
        next: (done) => step(1, done),
      };
    });
  },
};
