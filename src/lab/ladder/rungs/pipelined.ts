import type { Rung } from "../rung.ts";
import { TaskHashes } from "../task-hashes.ts";

/** The same flow with fewer waits. What was looked at may be another's before it is written: that stays as it was. */
export const pipelined: Rung = {
  name: "pipelined",
  what: "The states of a page in one pipeline, data and claim in another: three round trips",
  isSafe: false,
  isOrdered: false,
  batch: 1,
  over: "scan",
  open: (place) =>
    TaskHashes.open(place, [], (hashes, n) => ({
      async claim() {
        const [key] = await hashes.pending(n, 1);
        if (key === undefined) return [];
        const [data] = await hashes.wire.pipeline(n, [
          ["HGET", key, "data"],
          ["HSET", key, "status", "claimed"],
        ]);
        return data === null ? [] : [hashes.idOf(key)];
      },
      complete: (ids) => hashes.complete(n, ids),
    })),
};
