/** What a Redis server counted since it was started, from the texts of `INFO commandstats` and `INFO cpu`. */
export interface RedisStatistics {
  readonly calls: ReadonlyMap<string, number>;
  readonly usec: ReadonlyMap<string, number>;
  /** Main thread, sockets included. */
  readonly cpuUs: number;
}

/** What a server did in a while. */
export interface ServerReading {
  /** Script calls, each a round trip. */
  readonly scripts: number;
  /** Microseconds inside scripts. */
  readonly scriptUs: number;
  /** Calls that scripts made, and the few plain commands of the time. */
  readonly inner: number;
  /** All work of the server's main thread, reading and writing sockets too, microseconds of CPU. */
  readonly cpuUs: number;
  /** Every command of everybody but the observer, those of scripts too. */
  readonly commands: number;
  /** By name: commands that are neither scripts nor the observer's own. */
  readonly plain: Readonly<Record<string, number>>;
}

export const NO_READING: ServerReading = {
  scripts: 0,
  scriptUs: 0,
  inner: 0,
  cpuUs: 0,
  commands: 0,
  plain: {},
};

const SCRIPT_NAMES = ["evalsha", "eval", "fcall", "evalsha_ro", "fcall_ro"];
/** The observer's own, and what belongs to opening a connection. */
const HOUSEKEEPING = /^(info|config|client|hello|select|ping|script|subscribe|flushall|auth|command)(\||$)/;

export function parseRedisStatistics(commandstats: string, cpu: string): RedisStatistics {
  const calls = new Map<string, number>();
  const usec = new Map<string, number>();
  for (const [, name, count, us] of commandstats.matchAll(/^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/gm)) {
    calls.set(name as string, Number(count));
    usec.set(name as string, Number(us));
  }
  // Where the system does not count threads apart, the server does not know its main thread's share.
  const thread = cpu.includes("_main_thread:") ? "_main_thread" : "";
  const cpuS =
    Number(infoField(cpu, `used_cpu_user${thread}`)) + Number(infoField(cpu, `used_cpu_sys${thread}`));
  return { calls, usec, cpuUs: cpuS * 1e6 };
}

export function differenceOf(after: RedisStatistics, before: RedisStatistics): ServerReading {
  const plain: Record<string, number> = {};
  const reading = { scripts: 0, scriptUs: 0, inner: 0, commands: 0 };
  for (const [name, count] of after.calls) {
    const calls = count - (before.calls.get(name) ?? 0);
    if (name !== "info") reading.commands += calls;
    if (calls === 0 || HOUSEKEEPING.test(name)) continue;
    if (SCRIPT_NAMES.includes(name)) {
      reading.scripts += calls;
      reading.scriptUs += (after.usec.get(name) ?? 0) - (before.usec.get(name) ?? 0);
    } else {
      reading.inner += calls;
      plain[name] = calls;
    }
  }
  return { ...reading, plain, cpuUs: after.cpuUs - before.cpuUs };
}

/** Of several stretches, or several servers of a cluster. */
export function sumOfReadings(readings: readonly ServerReading[]): ServerReading {
  return readings.reduce((sum, each) => {
    const plain: Record<string, number> = { ...sum.plain };
    for (const [name, calls] of Object.entries(each.plain)) plain[name] = (plain[name] ?? 0) + calls;
    return {
      scripts: sum.scripts + each.scripts,
      scriptUs: sum.scriptUs + each.scriptUs,
      inner: sum.inner + each.inner,
      cpuUs: sum.cpuUs + each.cpuUs,
      commands: sum.commands + each.commands,
      plain,
    };
  }, NO_READING);
}

/** A field of an `INFO` text. @throws {Error} when it is not there. */
export function infoField(info: string, name: string): string {
  const found = new RegExp(`^${name}:(.*)\r?$`, "m").exec(info)?.[1];
  if (found === undefined) throw new Error(`INFO has no ${name}`);
  return found.trim();
}
