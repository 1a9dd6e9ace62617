import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { Broker } from "../src/broker/broker.ts";
import {
  differenceOf,
  infoField,
  parseRedisStatistics,
  type RedisStatistics,
  type ServerReading,
} from "../src/lab/redis-statistics.ts";
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
    return Number(infoField(await this.admin.info("memory"), "used_memory"));
  }

  async stop(): Promise<void> {
    this.admin.disconnect();
    await this.#server.stop();
  }
}

async function readServer(admin: Redis): Promise<RedisStatistics> {
  const [stats, cpu] = await Promise.all([admin.info("commandstats"), admin.info("cpu")]);
  return parseRedisStatistics(stats, cpu);
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
