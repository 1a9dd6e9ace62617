import type { NextClaim, OpenRung, RungPlace, RungTask, RungWorker } from "./rung.ts";
import { type Command, script, Wire } from "./wire.ts";

const PRIORITIES = 10;
const LEASE_S = 60;

/**
 * Completes and claims. KEYS: records, leases, then a list for each priority, the most urgent first. ARGV: how many to
 * claim, then the ids of what is completed. Reply: how many were completed, then id and record of each claimed task.
 * All that is written of one kind is one variadic call.
 */
const STEP = script(
  "ladder-lists",
  `#!lua
local reply = { 0 }
if ARGV[2] then
  local done = { unpack(ARGV, 2) }
  reply[1] = redis.call('ZREM', KEYS[2], unpack(done))
  redis.call('HDEL', KEYS[1], unpack(done))
end
local want, ids, pop = tonumber(ARGV[1]), {}, { #KEYS - 2, unpack(KEYS, 3) }
pop[#pop + 1], pop[#pop + 2] = 'LEFT', 'COUNT'
while #ids < want do
  pop[#KEYS + 2] = want - #ids
  local got = redis.call('LMPOP', unpack(pop))
  if not got then break end
  for _, id in ipairs(got[2]) do ids[#ids + 1] = id end
end
if #ids == 0 then return reply end
local finish, leases = redis.call('TIME')[1] + ${LEASE_S}, {}
local records = redis.call('HMGET', KEYS[1], unpack(ids))
for i, id in ipairs(ids) do
  leases[2 * i - 1], leases[2 * i] = finish, id
  reply[2 * i], reply[2 * i + 1] = id, records[i]
end
redis.call('ZADD', KEYS[2], unpack(leases))
return reply
`,
);

/** Tasks as ids in a list for each priority, records in one hash, leases in a sorted set by their end. */
export class TaskLists {
  readonly #wire: Wire;
  readonly #side: Wire;
  readonly #tasks: string;
  readonly #leases: string;
  readonly #ready: readonly string[];
  readonly #keys: readonly string[];

  private constructor(wire: Wire, side: Wire, prefix: string) {
    this.#wire = wire;
    this.#side = side;
    this.#tasks = `${prefix}:tasks`;
    this.#leases = `${prefix}:leases`;
    this.#ready = Array.from({ length: PRIORITIES }, (_, n) => `${prefix}:ready:${PRIORITIES - 1 - n}`);
    this.#keys = [this.#tasks, this.#leases, ...this.#ready];
  }

  /** Opens a rung on such tasks. */
  static async open(
    place: RungPlace,
    worker: (lists: TaskLists, n: number) => RungWorker,
  ): Promise<OpenRung> {
    const wire = await Wire.open(place, [STEP]);
    const side = await Wire.open(place, [], 1);
    const lists = new TaskLists(wire, side, place.prefix);
    return {
      fill: (tasks) => lists.#fill(tasks),
      worker: (n) => worker(lists, n),
      unfinished: () => lists.#count(),
      traffic: () => wire.traffic(),
      async close() {
        await Promise.all([wire.close(), side.close()]);
      },
    };
  }

  /** Completes `done`, then claims up to `max`, in one call of caller `n`. */
  async step(n: number, max: number, done: readonly string[] = []): Promise<NextClaim> {
    return stepOf(await this.#wire.run(n, STEP, this.#keys, [max, ...done]));
  }

  /** The same on a connection that is opened for it, and closed behind it. */
  async stepCold(max: number, done: readonly string[] = []): Promise<NextClaim> {
    return stepOf(await this.#wire.runCold(STEP, this.#keys, [max, ...done]));
  }

  async #fill(tasks: readonly RungTask[]): Promise<void> {
    const byPriority = new Map<number, string[]>();
    for (const { id, priority } of tasks) {
      const ids = byPriority.get(priority);
      if (ids === undefined) byPriority.set(priority, [id]);
      else ids.push(id);
    }
    await this.#side.pipeline(0, [
      ["HSET", this.#tasks, ...tasks.flatMap(({ id, payload }) => [id, payload])],
      ...[...byPriority].map(([priority, ids]): Command => {
        return ["RPUSH", this.#ready[PRIORITIES - 1 - priority] as string, ...ids];
      }),
    ]);
  }

  async #count(): Promise<number> {
    const counts = await this.#side.pipeline(0, [
      ...this.#ready.map((list): Command => ["LLEN", list]),
      ["ZCARD", this.#leases],
    ]);
    return counts.reduce<number>((sum, count) => sum + Number(count), 0);
  }
}

function stepOf(reply: unknown): NextClaim {
  const [completed, ...pairs] = reply as [number, ...string[]];
  return { completed, claimed: pairs.filter((_, at) => at % 2 === 0) };
}
