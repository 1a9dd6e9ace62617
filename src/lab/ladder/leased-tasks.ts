import { randomBytes } from "node:crypto";
import type { Script } from "../../storage/redis/link/script.ts";
import type { NextClaim, OpenRung, RungPlace, RungTask, RungWorker } from "./rung.ts";
import { type Command, script, Wire } from "./wire.ts";

/** How ready tasks are kept in order: what differs between the rungs above the search. */
export interface Order {
  readonly name: string;
  /** Lua that takes up to `want` ids in order from the keys from KEYS[4] on into the table `ids`. */
  readonly pop: string;
  /** The keys that keep the order. */
  keys(prefix: string): readonly string[];
  /** Adds tasks that come after all `before` that were added. */
  add(keys: readonly string[], tasks: readonly RungTask[], before: number): readonly Command[];
  /** How a key is counted. */
  readonly count: "LLEN" | "ZCARD";
}

const LEASE_S = 60;

/**
 * KEYS: records and states, leases, finished, then those of the order. ARGV: how many to claim, a nonce, then id and token
 * of what is completed. Reply: how many were completed, the token, then id and record of each claimed task. The first
 * word of a state is L (leased) or C (completed); behind it attempts and token. What is written of one kind is one call.
 */
function stepOf({ name, pop }: Order): Script {
  return script(
    `ladder-${name}`,
    `#!lua
local call, want, ids = redis.call, tonumber(ARGV[1]), {}
local now = call('TIME')
local reply = { 0, now[1] .. '.' .. now[2] .. '.' .. ARGV[2] }
local fields = {}
if ARGV[3] then
  local done, finished, names = {}, {}, {}
  for i = 3, #ARGV, 2 do names[#names + 1] = ARGV[i] .. ':s' end
  local states = call('HMGET', KEYS[1], unpack(names))
  for i, state in ipairs(states) do
    local attempts, token = string.match(state or '', '^L,(%d+),(.*)')
    if token == ARGV[2 * i + 2] then
      local id = ARGV[2 * i + 1]
      fields[#fields + 1] = names[i]
      fields[#fields + 1] = 'C,' .. attempts .. ',' .. token
      finished[#finished + 1] = now[1]
      finished[#finished + 1] = id
      done[#done + 1] = id
    end
  end
  if #done > 0 then
    reply[1] = call('ZREM', KEYS[2], unpack(done))
    call('ZADD', KEYS[3], unpack(finished))
  end
end
if want > 0 then
${pop}
end
if #ids > 0 then
  local names, leases = {}, {}
  for i, id in ipairs(ids) do names[2 * i - 1], names[2 * i] = id, id .. ':s' end
  local found = call('HMGET', KEYS[1], unpack(names))
  for i, id in ipairs(ids) do
    local attempts = string.match(found[2 * i] or '', '^.,(%d+)') or 0
    fields[#fields + 1] = names[2 * i]
    fields[#fields + 1] = 'L,' .. attempts + 1 .. ',' .. reply[2]
    leases[2 * i - 1], leases[2 * i] = now[1] + ${LEASE_S}, id
    reply[2 * i + 1], reply[2 * i + 2] = id, found[2 * i - 1]
  end
  call('ZADD', KEYS[2], unpack(leases))
end
if #fields > 0 then call('HSET', KEYS[1], unpack(fields)) end
return reply
`,
  );
}

/** What was completed and claimed in one call, and the token of what was claimed. */
export interface Step extends NextClaim {
  readonly token: string;
}

/** A leased task as its holder knows it. */
export interface Held {
  readonly id: string;
  readonly token: string;
}

/**
 * Tasks under leases: each claim counts an attempt and gives a token, which a completion has to show; finished tasks are
 * kept. So what is above the search promises what a queue has to, and its rungs may be compared with each other.
 */
export class LeasedTasks {
  readonly #wire: Wire;
  readonly #side: Wire;
  readonly #order: Order;
  readonly #step: Script;
  readonly #keys: readonly string[];
  readonly #orderKeys: readonly string[];
  readonly #nonce = randomBytes(4).toString("hex");
  #filled = 0;

  private constructor(wire: Wire, side: Wire, order: Order, step: Script, prefix: string) {
    this.#wire = wire;
    this.#side = side;
    this.#order = order;
    this.#step = step;
    this.#orderKeys = order.keys(prefix);
    this.#keys = [`${prefix}:tasks`, `${prefix}:leases`, `${prefix}:finished`, ...this.#orderKeys];
  }

  /** Opens a rung on such tasks. */
  static async open(
    place: RungPlace,
    order: Order,
    worker: (tasks: LeasedTasks, n: number) => RungWorker,
  ): Promise<OpenRung> {
    const step = stepOf(order);
    const wire = await Wire.open(place, [step]);
    const side = await Wire.open(place, [], 1);
    const tasks = new LeasedTasks(wire, side, order, step, place.prefix);
    return {
      fill: (list) => tasks.#fill(list),
      worker: (n) => worker(tasks, n),
      unfinished: () => tasks.#count(),
      traffic: () => wire.traffic(),
      async close() {
        await Promise.all([wire.close(), side.close()]);
      },
    };
  }

  /** Completes `done`, then claims up to `max`, in one call of caller `n`. */
  async step(n: number, max: number, done: readonly Held[] = []): Promise<Step> {
    return stepFrom(await this.#wire.run(n, this.#step, this.#keys, this.#args(max, done)));
  }

  /** The same on a connection that is opened for it, and closed behind it. */
  async stepCold(max: number, done: readonly Held[] = []): Promise<Step> {
    return stepFrom(await this.#wire.runCold(this.#step, this.#keys, this.#args(max, done)));
  }

  #args(max: number, done: readonly Held[]): readonly (string | number)[] {
    return [max, this.#nonce, ...done.flatMap(({ id, token }) => [id, token])];
  }

  async #fill(tasks: readonly RungTask[]): Promise<void> {
    const before = this.#filled;
    this.#filled += tasks.length;
    await this.#side.pipeline(0, [
      ["HSET", this.#keys[0] as string, ...tasks.flatMap(({ id, payload }) => [id, payload])],
      ...this.#order.add(this.#orderKeys, tasks, before),
    ]);
  }

  async #count(): Promise<number> {
    const counts = await this.#side.pipeline(0, [
      ...this.#orderKeys.map((key): Command => [this.#order.count, key]),
      ["ZCARD", this.#keys[1] as string],
    ]);
    return counts.reduce<number>((sum, count) => sum + Number(count), 0);
  }
}

function stepFrom(reply: unknown): Step {
  const [completed, token, ...pairs] = reply as [number, string, ...string[]];
  return { completed, token, claimed: pairs.filter((_, at) => at % 2 === 0) };
}

/** A caller that claims and completes in calls of their own, and remembers its token. */
export function separately(
  step: (max: number, done?: readonly Held[]) => Promise<Step>,
  batch: number,
): RungWorker {
  let token = "";
  return {
    async claim() {
      const reply = await step(batch);
      token = reply.token;
      return reply.claimed;
    },
    complete: async (ids) => (await step(0, held(ids, token))).completed,
  };
}

export function held(ids: readonly string[], token: string): Held[] {
  return ids.map((id) => ({ id, token }));
}
