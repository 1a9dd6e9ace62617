import type { RedisLink } from "../../storage/redis/link/link.ts";
import { parseRedisStatistics, type RedisStatistics } from "../redis-statistics.ts";
import type { Traffic } from "./rung.ts";

const SCRIPTS = ["evalsha", "eval"];
/** What the observer and the opening of connections cause: no work on tasks. */
const HOUSEKEEPING =
  /^(info|config|client|hello|select|ping|script|subscribe|role|auth|command|dbsize)(\||$)/;

/** Calls and microseconds of a server's commands in a while, by name. Other users of the server are in it too. */
export type Commands = ReadonlyMap<string, { readonly calls: number; readonly us: number }>;

export interface ServerWork {
  readonly commands: Commands;
  /** CPU of the server's main thread, sockets included, microseconds. */
  readonly cpuUs: number;
}

/** What the server does from this call until the answer is called. */
export async function observe(link: RedisLink): Promise<() => Promise<ServerWork>> {
  const before = await read(link);
  return async () => differenceOf(await read(link), before);
}

async function read(link: RedisLink): Promise<RedisStatistics> {
  const [[stats], [cpu]] = await Promise.all([
    link.everyMaster("INFO", "commandstats"),
    link.everyMaster("INFO", "cpu"),
  ]);
  return parseRedisStatistics(String(stats), String(cpu));
}

function differenceOf(after: RedisStatistics, before: RedisStatistics): ServerWork {
  const commands = new Map<string, { calls: number; us: number }>();
  for (const [name, count] of after.calls) {
    const calls = count - (before.calls.get(name) ?? 0);
    const us = (after.usec.get(name) ?? 0) - (before.usec.get(name) ?? 0);
    if (calls > 0 && !HOUSEKEEPING.test(name)) commands.set(name, { calls, us });
  }
  return { commands, cpuUs: after.cpuUs - before.cpuUs };
}

export const NO_WORK: ServerWork = { commands: new Map(), cpuUs: 0 };

/** What a server did in two stretches. */
export function sumOf(one: ServerWork, other: ServerWork): ServerWork {
  const commands = new Map(one.commands);
  for (const [name, { calls, us }] of other.commands) {
    const before = commands.get(name);
    commands.set(name, { calls: calls + (before?.calls ?? 0), us: us + (before?.us ?? 0) });
  }
  return { commands, cpuUs: one.cpuUs + other.cpuUs };
}

export interface Work {
  /** `redis.call`s inside scripts. */
  readonly redisCalls: number;
  /** Microseconds inside commands that clients sent; a script's inner calls are within its own. */
  readonly serverUs: number;
}

/**
 * Tells apart what clients sent and what scripts called. The server counts both under one name; a command's time is
 * shared between the two by their numbers.
 */
export function workOf({ commands }: ServerWork, plain: Traffic["plain"]): Work {
  let [redisCalls, serverUs] = [0, 0];
  for (const [name, { calls, us }] of commands) {
    const sent = SCRIPTS.includes(name) ? calls : Math.min(calls, plain[name] ?? 0);
    redisCalls += calls - sent;
    if (calls > 0) serverUs += (us * sent) / calls;
  }
  return { redisCalls, serverUs };
}
