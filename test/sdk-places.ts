import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Broker } from "../src/broker/broker.ts";
import { type ConnectOptions, connect, openConnection } from "../src/connect.ts";
import { createServer } from "../src/http/server.ts";
import type { Dibs } from "../src/sdk/client.ts";
import type { Connection } from "../src/sdk/connection.ts";
import { EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import { type RedisServer, startRedis } from "./redis/servers/redis-server.ts";
import { freshPrefix } from "./redis/servers/redis-url.ts";

/** A fresh, empty place to connect to, and how to end it. */
export interface Place {
  readonly url: string;
  readonly options?: ConnectOptions;
  close(): Promise<void>;
}

/** The places that a client can be connected to. */
export const PLACES: readonly { readonly name: string; open(): Promise<Place> }[] = [
  { name: "http://", open: servedPlace },
  { name: "./folder", open: folderPlace },
  { name: "redis://", open: redisPlace },
  { name: "memory:", open: async () => ({ url: "memory:", close: async () => {} }) },
];

/** A real server, over a real socket, on a store in memory. */
export async function servedPlace(): Promise<Place> {
  const broker = await Broker.open(await EmbeddedStorage.open());
  const server = await createServer(broker, { logger: pino({ level: "silent" }), drainMs: 1_000 });
  const url = await server.listen({ host: "127.0.0.1", port: 0 });
  return {
    url,
    async close() {
      await server.close();
      await broker.close();
    },
  };
}

async function folderPlace(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-sdk-"));
  return { url: folder, close: () => rm(folder, { recursive: true, force: true }) };
}

let redis: Promise<RedisServer> | undefined;

/** A store in a real Redis that gives no reason for a warning, used in this process. */
async function redisPlace(): Promise<Place> {
  redis ??= startRedis({ appendonly: "everysec" });
  return { url: (await redis).url, options: { prefix: freshPrefix() }, close: async () => {} };
}

/** Collects what must be closed, newest first. */
export class Closing {
  readonly #open: (() => Promise<unknown>)[] = [];

  add(close: () => Promise<unknown>): void {
    this.#open.push(close);
  }

  async connect(place: Place): Promise<Dibs> {
    this.add(() => place.close());
    const dibs = await connect(place.url, place.options);
    this.add(() => dibs.close());
    return dibs;
  }

  async openConnection(place: Place): Promise<Connection> {
    this.add(() => place.close());
    const connection = await openConnection(place.url, place.options);
    this.add(() => connection.close());
    return connection;
  }

  async all(): Promise<void> {
    for (const close of this.#open.splice(0).reverse()) await close();
  }
}
