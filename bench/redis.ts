import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { Broker } from "../src/broker/broker.ts";
import { LocalConnection } from "../src/local-connection.ts";
import { Dibs } from "../src/sdk/client.ts";
import { RedisStorage } from "../src/storage/redis/redis-storage.ts";
import type { Storage } from "../src/storage/storage.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "../test/redis/servers/redis-server.ts";
import { pendingIn, QUEUE } from "./engine.ts";

/** A real server of the benchmark's own, and a connection beside those that are measured. */
export class BenchRedis {
  readonly url: string;
  readonly address: { readonly host: string; readonly port: number };
  readonly admin: Redis;
  readonly #server: RedisServer;

  private constructor(server: RedisServer) {
    this.#server = server;
    this.url = server.url;
    this.address = { host: server.host, port: server.port };
    this.admin = new Redis(this.address);
  }

  /** Default: nothing is written to disk. */
  static async start(options: RedisServerOptions = {}): Promise<BenchRedis> {
    return new BenchRedis(await startRedis(options));
  }

  /** What the server did since this call, once the answer is called. */
  async observe(): Promise<() => Promise<ServerReading>> {
    const before = await readServer(this.admin);
    return async () => differenceOf(await readServer(this.admin), before);
  }

  /** Every trial starts with an empty server: the leases of the one before are in nobody's way. */
  async clear(): Promise<void> {
    await this.admin.flushall();
  }

  async usedBytes(): Promise<number> {
    return Number(field(await this.admin.info("memory"), "used_memory"));
  }

  async stop(): Promise<void> {
    this.admin.disconnect();
    await this.#server.stop();
  }
}

/** What the server did in a while. */
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
  /** Commands that came from clients and are neither scripts nor the observer's own. */
  readonly plain: Readonly<Record<string, number>>;
}

const SCRIPT_NAMES = ["evalsha", "eval", "fcall", "evalsha_ro", "fcall_ro"];
/** The observer's own, and what belongs to opening a connection. */
const HOUSEKEEPING = /^(info|config|client|hello|select|ping|script|subscribe|flushall|auth|command)(\||$)/;

interface Statistics {
  readonly calls: ReadonlyMap<string, number>;
  readonly usec: ReadonlyMap<string, number>;
  readonly cpuUs: number;
}

async function readServer(admin: Redis): Promise<Statistics> {
  const [stats, cpu] = await Promise.all([admin.info("commandstats"), admin.info("cpu")]);
  const calls = new Map<string, number>();
  const usec = new Map<string, number>();
  for (const [, name, count, us] of stats.matchAll(/^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/gm)) {
    calls.set(name as string, Number(count));
    usec.set(name as string, Number(us));
  }
  const cpuS =
    Number(field(cpu, "used_cpu_user_main_thread")) + Number(field(cpu, "used_cpu_sys_main_thread"));
  return { calls, usec, cpuUs: cpuS * 1e6 };
}

function differenceOf(after: Statistics, before: Statistics): ServerReading {
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

function field(info: string, name: string): string {
  const found = new RegExp(`^${name}:(.*)\r?$`, "m").exec(info)?.[1];
  if (found === undefined) throw new Error(`INFO has no ${name}`);
  return found.trim();
}

/** The figures of a reading for each of `operations`, as values of a measurement. */
export function perOperation(reading: ServerReading, operations: number): Readonly<Record<string, number>> {
  return {
    serverScriptUs: reading.scriptUs / operations,
    serverCpuUs: reading.cpuUs / operations,
    roundTrips: reading.scripts / operations,
    redisCalls: reading.inner / operations,
  };
}

export interface ScratchRedis {
  readonly storage: RedisStorage;
  readonly broker: Broker;
  /** Scheduled + ready + leased, as the engine counts them. */
  pending(): Promise<number>;
  close(): Promise<void>;
}

export interface ScratchOptions {
  readonly connections?: number;
  readonly callsInFlight?: number;
  /** Puts something between the broker and the engine. */
  around?(storage: Storage): Storage;
  /** Default: one of its own, so that nobody sees it. */
  readonly prefix?: string;
}

/** A store of its own on the server, with a broker whose loops run as they do in a program. */
export async function openScratchRedis(
  { url }: Pick<BenchRedis, "url">,
  { connections, callsInFlight, around, prefix = freshPrefix() }: ScratchOptions = {},
): Promise<ScratchRedis> {
  const storage = await RedisStorage.open({ url, prefix, ...(connections !== undefined && { connections }) });
  const broker = await Broker.open(
    around?.(storage) ?? storage,
    callsInFlight === undefined ? {} : { callsInFlight },
  );
  return {
    storage,
    broker,
    pending: () => pendingIn(storage, QUEUE),
    close: () => broker.close(),
  };
}

/** A client as `connect("redis://…")` makes it. */
export async function openScratchClient(
  redis: Pick<BenchRedis, "url">,
  options: ScratchOptions = {},
): Promise<ScratchRedis & { readonly dibs: Dibs }> {
  const scratch = await openScratchRedis(redis, options);
  const dibs = new Dibs(new LocalConnection(scratch.broker, redis.url));
  return { ...scratch, dibs, close: () => dibs.close() };
}

export function freshPrefix(): string {
  return `bench-${randomBytes(4).toString("hex")}`;
}
