import type { Rung } from "../rung.ts";
import { TaskHashes } from "../task-hashes.ts";
import { script as lua } from "../wire.ts";

const CLAIM = lua(
  "ladder-claim",
  `#!lua
local task = redis.call('HGET', KEYS[1], 'data')
redis.call('HSET', KEYS[1], 'status', 'claimed')
return task
`,
);

/** One call for data and claim. It is atomic, and asks nobody whether the task is still pending. */
export const script: Rung = {
  name: "script",
  what: "Data and claim in one Lua script, as the first advice everywhere has it: it does not look at the status",
  isSafe: false,
  isOrdered: false,
  batch: 1,
  open: (place) =>
    TaskHashes.open(place, [CLAIM], (hashes, n) => ({
      async claim() {
        const [key] = await hashes.pending(n, 1);
        if (key === undefined) return [];
        const data = await hashes.wire.run(n, CLAIM, [key], []);
        return data === null ? [] : [hashes.idOf(key)];
      },
      complete: (ids) => hashes.complete(n, ids),
    })),
};
