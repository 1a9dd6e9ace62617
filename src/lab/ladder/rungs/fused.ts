import { held, LeasedTasks } from "../leased-tasks.ts";
import { Merger } from "../merger.ts";
import { LISTS } from "../orders.ts";
import type { Rung } from "../rung.ts";

/** Who completes mostly wants the next task: both in one call, merged with those of others. */
export const fused: Rung = {
  name: "fused",
  what: "Completing a task and claiming the next one is one call, merged as before: its latency is that of both",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  open(place) {
    let merger: Merger | undefined;
    return LeasedTasks.open(place, LISTS, (tasks) => {
      merger ??= new Merger(tasks);
      const step = merger.step.bind(merger);
      let token = "";
      const next = async (done: readonly string[]) => {
        const reply = await step(1, held(done, token));
        token = reply.token;
        return reply;
      };
      return {
        claim: async () => (await next([])).claimed,
        complete: async (ids) => (await step(0, held(ids, token))).completed,
        next,
      };
    });
  },
};
