import type { Rung } from "../rung.ts";
import { TaskHashes } from "../task-hashes.ts";
import { script } from "../wire.ts";

const CLAIM = script(
  "ladder-checked-claim",
  `#!lua
if redis.call('HGET', KEYS[1], 'status') ~= 'pending' then return false end
redis.call('HSET', KEYS[1], 'status', 'claimed')
return redis.call('HGET', KEYS[1], 'data')
`,
);
/** Others go for the same first keys: who only knew one would have to scan again for each that it lost. */
const CANDIDATES = 10;

/** The script looks before it writes: from here on nobody gets what another has. */
export const checkedScript: Rung = {
  name: "checked-script",
  what: "The script claims only what is still pending; who comes too late tries the next key",
  isSafe: true,
  isOrdered: false,
  batch: 1,
  open: (place) =>
    TaskHashes.open(place, [CLAIM], (hashes, n) => ({
      async claim() {
        for (;;) {
          const keys = await hashes.pending(n, CANDIDATES);
          if (keys.length === 0) return [];
          for (const key of keys) {
            if ((await hashes.wire.run(n, CLAIM, [key], [])) !== null) return [hashes.idOf(key)];
          }
        }
      },
      complete: (ids) => hashes.complete(n, ids),
    })),
};
