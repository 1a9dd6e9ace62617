import { RedisLink, type RedisOptions } from "../../storage/redis/link/link.ts";
import { SCRIPTS } from "../../storage/redis/scripts.ts";
import { parseRedisStatistics } from "../redis-statistics.ts";

/** What one kind of command did. */
export interface CommandReading {
  readonly calls: number;
  readonly us: number;
}

export interface SlowCommand {
  /** Its name, of a script of Dibs that too; never its arguments. */
  readonly command: string;
  readonly us: number;
  readonly at: number;
}

export interface LatencyEvent {
  readonly event: string;
  readonly at: number;
  readonly latestMs: number;
  readonly maxMs: number;
}

/** What Redis did in the measured seconds, over all masters. */
export interface RedisSideReading {
  /** Script calls: each a round trip. */
  readonly scripts: CommandReading;
  /** What scripts called, and the few plain commands of the time, by name. */
  readonly inner: Readonly<Record<string, CommandReading>>;
  /** The time in scripts that was not in the commands that they called: Lua, and the conversions of both ways. */
  readonly overheadUs: number;
  /** Undefined where the server does not let us look. */
  readonly slow: readonly SlowCommand[] | undefined;
  readonly latencyEvents: readonly LatencyEvent[] | undefined;
  /** Commands slower than this are in the slow log, microseconds; events than that, milliseconds, 0: it is off. */
  readonly slowerThanUs: number | undefined;
  readonly latencyThresholdMs: number | undefined;
}

type SlowEntry = readonly [id: number, at: number, us: number, words: readonly string[]];
type EventEntry = readonly [event: string, at: number, latestMs: number, maxMs: number];

const SLOW_ENTRIES = 128;
const SCRIPT_CALL = /^(evalsha|eval|fcall)(_ro)?$/;
/** Those of the observer, and of opening a connection. */
const HOUSEKEEPING =
  /^(info|config|client|hello|select|ping|script|subscribe|auth|command|slowlog|latency|dbsize)(\||$)/;

/** Looks at a Redis beside those who work with it. It changes nothing there. */
export class RedisSide {
  readonly #link: RedisLink;
  readonly #commands = new Map<string, { calls: number; us: number }>();
  readonly #slow = new Map<string, SlowCommand>();
  readonly #events = new Map<string, LatencyEvent>();
  #before: readonly ReadonlyMap<string, CommandReading>[] = [];
  #slowBefore: ReadonlySet<string> = new Set();
  #resumedAt = 0;
  #mayLook = { slow: true, events: true };

  private constructor(link: RedisLink) {
    this.#link = link;
  }

  static async open(options: Pick<RedisOptions, "url" | "tls">): Promise<RedisSide> {
    return new RedisSide(await RedisLink.open({ ...options, connections: 1 }, []));
  }

  async resume(): Promise<void> {
    this.#resumedAt = Math.floor((await this.#serverSeconds()) ?? Date.now() / 1_000);
    this.#slowBefore = new Set((await this.#slowEntries()).map(({ key }) => key));
    this.#before = await this.#counted();
  }

  async pause(): Promise<void> {
    const after = await this.#counted();
    after.forEach((counted, n) => {
      this.#add(counted, this.#before[n]);
    });
    for (const { key, command } of await this.#slowEntries())
      if (!this.#slowBefore.has(key)) this.#slow.set(key, command);
    await this.#readEvents();
  }

  async take(): Promise<RedisSideReading> {
    const inner: Record<string, CommandReading> = {};
    const scripts = { calls: 0, us: 0 };
    let innerUs = 0;
    for (const [name, { calls, us }] of this.#commands) {
      if (SCRIPT_CALL.test(name)) {
        scripts.calls += calls;
        scripts.us += us;
      } else {
        inner[name] = { calls, us };
        innerUs += us;
      }
    }
    const reading = {
      scripts,
      inner,
      overheadUs: Math.max(0, scripts.us - innerUs),
      slow: this.#mayLook.slow ? [...this.#slow.values()] : undefined,
      latencyEvents: this.#mayLook.events ? [...this.#events.values()] : undefined,
      slowerThanUs: await this.#setting("slowlog-log-slower-than"),
      latencyThresholdMs: await this.#setting("latency-monitor-threshold"),
    };
    for (const seen of [this.#commands, this.#slow, this.#events]) seen.clear();
    return reading;
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  #add(after: ReadonlyMap<string, CommandReading>, before?: ReadonlyMap<string, CommandReading>): void {
    for (const [name, { calls, us }] of after) {
      const earlier = before?.get(name) ?? { calls: 0, us: 0 };
      if (calls === earlier.calls || HOUSEKEEPING.test(name)) continue;
      const sum = this.#commands.get(name) ?? { calls: 0, us: 0 };
      sum.calls += calls - earlier.calls;
      sum.us += us - earlier.us;
      this.#commands.set(name, sum);
    }
  }

  async #counted(): Promise<readonly ReadonlyMap<string, CommandReading>[]> {
    const [stats, cpu] = await Promise.all([
      this.#link.everyMaster("INFO", "commandstats"),
      this.#link.everyMaster("INFO", "cpu"),
    ]);
    return stats.map((text, n) => {
      const { calls, usec } = parseRedisStatistics(String(text), String(cpu[n]));
      return new Map([...calls].map(([name, count]) => [name, { calls: count, us: usec.get(name) ?? 0 }]));
    });
  }

  async #slowEntries(): Promise<{ readonly key: string; readonly command: SlowCommand }[]> {
    if (!this.#mayLook.slow) return [];
    const lists = await this.#ask<readonly SlowEntry[]>("SLOWLOG", "GET", SLOW_ENTRIES);
    if (lists === undefined) {
      this.#mayLook = { ...this.#mayLook, slow: false };
      return [];
    }
    return lists.flatMap((entries, server) =>
      entries.map(([id, at, us, words]) => ({
        key: `${server} ${id}`,
        command: { command: nameOf(words), us, at: at * 1_000 },
      })),
    );
  }

  async #readEvents(): Promise<void> {
    const lists = await this.#ask<readonly EventEntry[]>("LATENCY", "LATEST");
    if (lists === undefined) this.#mayLook = { ...this.#mayLook, events: false };
    for (const [event, at, latestMs, maxMs] of (lists ?? []).flat())
      if (at >= this.#resumedAt) this.#events.set(event, { event, at: at * 1_000, latestMs, maxMs });
  }

  async #serverSeconds(): Promise<number | undefined> {
    const replies = await this.#ask<readonly string[]>("TIME");
    return replies === undefined ? undefined : Number(replies[0]?.[0]);
  }

  /** Of the first master: they are set up alike. */
  async #setting(name: string): Promise<number | undefined> {
    const replies = await this.#ask<readonly string[]>("CONFIG", "GET", name);
    const value = replies?.[0]?.[1];
    return value === undefined ? undefined : Number(value);
  }

  /** Each master's reply; undefined where we are not allowed to ask, as with managed servers. */
  async #ask<Reply>(
    name: string,
    ...args: readonly (string | number)[]
  ): Promise<readonly Reply[] | undefined> {
    try {
      return (await this.#link.everyMaster(name, ...args)) as readonly Reply[];
    } catch {
      return undefined;
    }
  }
}

function nameOf([name = "", sha = ""]: readonly string[]): string {
  const script = Object.values(SCRIPTS).find((each) => each.sha === sha.toLowerCase());
  return script === undefined ? name.toUpperCase() : `${name.toUpperCase()} ${script.name}`;
}
