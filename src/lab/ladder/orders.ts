import type { Order } from "./leased-tasks.ts";
import type { Command } from "./wire.ts";

const PRIORITIES = 10;
/** Higher priorities first, then by number: one score for both. */
const PRIORITY_STEP = 1e13;

/** Ids in one sorted set, by priority and age. */
export const SORTED_SET: Order = {
  name: "sorted-set",
  pop: `
ids = call('ZRANGEBYSCORE', KEYS[4], '-inf', '+inf', 'LIMIT', 0, want)
if #ids > 0 then call('ZREM', KEYS[4], unpack(ids)) end
`,
  keys: (prefix) => [`${prefix}:ready`],
  add: ([ready], tasks, before) => [
    [
      "ZADD",
      ready as string,
      ...tasks.flatMap(({ id, priority }, n) => [
        (PRIORITIES - 1 - priority) * PRIORITY_STEP + before + n,
        id,
      ]),
    ],
  ],
  count: "ZCARD",
};

/** Ids in a list for each priority, the most urgent first. */
export const LISTS: Order = {
  name: "lists",
  pop: `
local pop = { #KEYS - 3, unpack(KEYS, 4) }
pop[#pop + 1], pop[#pop + 2] = 'LEFT', 'COUNT'
while #ids < want do
  pop[#KEYS + 1] = want - #ids
  local got = call('LMPOP', unpack(pop))
  if not got then break end
  for _, id in ipairs(got[2]) do ids[#ids + 1] = id end
end
`,
  keys: (prefix) => Array.from({ length: PRIORITIES }, (_, n) => `${prefix}:ready:${PRIORITIES - 1 - n}`),
  add(keys, tasks) {
    const byPriority = new Map<number, string[]>();
    for (const { id, priority } of tasks) {
      const ids = byPriority.get(priority);
      if (ids === undefined) byPriority.set(priority, [id]);
      else ids.push(id);
    }
    return [...byPriority].map(([priority, ids]): Command => {
      return ["RPUSH", keys[PRIORITIES - 1 - priority] as string, ...ids];
    });
  },
  count: "LLEN",
};
