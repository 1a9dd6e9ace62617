import type { OpenRung, Rung, RungPlace } from "../rung.ts";
import { script, Wire } from "../wire.ts";

/** Leases in a sorted set by their end, records in one hash: who crashes loses nothing, who is late is known. */
const CLAIM = script(
  "ladder-sorted-set-claim",
  `#!lua
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'LIMIT', 0, 1)
if not ids[1] then return false end
redis.call('ZREM', KEYS[1], ids[1])
redis.call('ZADD', KEYS[3], redis.call('TIME')[1] + 60, ids[1])
return { ids[1], redis.call('HGET', KEYS[2], ids[1]) }
`,
);
const COMPLETE = script(
  "ladder-sorted-set-complete",
  `#!lua
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[3], ARGV[1])
`,
);
/** Higher priorities first, then by number: one score for both. */
const PRIORITY_STEP = 1e13;

/** The queue keeps the order itself: the next task is at the front, however many there are. */
export const sortedSet: Rung = {
  name: "sorted-set",
  what: "No search: a sorted set keeps the order of priority and age, and a claim takes its first, under a lease",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  over: "checked-script",
  open,
};

async function open(place: RungPlace): Promise<OpenRung> {
  const [ready, tasks, leases] = ["ready", "tasks", "leases"].map((name) => `${place.prefix}:${name}`) as [
    string,
    string,
    string,
  ];
  const keys = [ready, tasks, leases];
  const wire = await Wire.open(place, [CLAIM, COMPLETE]);
  const side = await Wire.open(place, [], 1);
  let filled = 0;
  return {
    async fill(list) {
      const scores = list.flatMap(({ id, priority }) => {
        filled += 1;
        return [(9 - priority) * PRIORITY_STEP + filled, id];
      });
      await side.pipeline(0, [
        ["HSET", tasks, ...list.flatMap(({ id, payload }) => [id, payload])],
        ["ZADD", ready, ...scores],
      ]);
    },
    worker: (n) => ({
      async claim() {
        const reply = (await wire.run(n, CLAIM, keys, [])) as [string, string] | null;
        return reply === null ? [] : [reply[0]];
      },
      complete: async ([id]) => Number(await wire.run(n, COMPLETE, keys, [id as string])),
    }),
    async unfinished() {
      const [waiting, leased] = await side.pipeline(0, [
        ["ZCARD", ready],
        ["ZCARD", leases],
      ]);
      return Number(waiting) + Number(leased);
    },
    traffic: () => wire.traffic(),
    async close() {
      await Promise.all([wire.close(), side.close()]);
    },
  };
}
