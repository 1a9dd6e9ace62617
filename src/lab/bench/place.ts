import { randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openConnection } from "../../connect.ts";
import type { Connection } from "../../sdk/connection.ts";
import { HttpConnection } from "../../sdk/http-connection.ts";
import { isRedisUrl } from "../../storage/redis/link/redis-url.ts";
import { InvalidRequestError } from "../../task/errors.ts";
import { parseQueueName, type QueueName } from "../../task/ids.ts";
import { emptyQueue } from "./empty-queue.ts";
import { OwnServer } from "./own-server.ts";
import { OwnProcess, type ProcessWatch } from "./process-watch.ts";
import type { BenchEngine } from "./report.ts";
import { ScratchKeys } from "./scratch-keys.ts";
import type { ServedStore } from "./server-process.ts";

/** Where a bench is to be done. */
export interface PlaceWish {
  /** A folder, `memory:`, `redis://…`, `http://…`; undefined: a temporary folder. A folder gets one inside it. */
  readonly place?: string;
  /** Over HTTP, through a server in a process of its own. */
  readonly serve: boolean;
  /** Of a folder. */
  readonly durability: "process" | "power" | "none";
  /** Of a Redis. */
  readonly connections?: number;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** For a server that asks for one. */
  readonly token?: string;
  /** A call over HTTP is given up after so long. */
  readonly timeoutMs: number;
  readonly onWarning: (text: string) => void;
}

/** A place that is open: made for one bench, and gone with it. */
export interface BenchPlace {
  readonly engine: BenchEngine;
  readonly connection: Connection;
  readonly client: ProcessWatch;
  /** Of the server; absent in process. */
  readonly url?: string;
  /** The server's process, where the bench started it. */
  readonly server?: OwnServer;
  readonly redis?: ScratchKeys;
  readonly notes: readonly string[];
  /** A queue that nobody uses yet. It is removed with the place. */
  newQueue(): QueueName;
  /** Another way to the same tasks; in a Redis with a broker of its own. Closed with the place. */
  another(): Promise<Connection>;
  /** Lets go of everything and removes what the bench left: folder, keys, tasks. Again is harmless. */
  close(): Promise<void>;
}

/** @throws {InvalidRequestError} for a wish that contradicts itself, and what opening the place throws. */
export function openPlace(wish: PlaceWish): Promise<BenchPlace> {
  const { place } = wish;
  if (place !== undefined && /^https?:/i.test(place)) return openForeignServer(place, wish);
  if (place !== undefined && isRedisUrl(place)) return openRedis(place, wish);
  if (place === "memory:") return openEmbedded({ kind: "memory" }, wish);
  return openFolder(place, wish);
}

async function openFolder(parent: string | undefined, wish: PlaceWish): Promise<BenchPlace> {
  const inside = parent === undefined ? tmpdir() : resolve(parent);
  if (!existsSync(inside) || !statSync(inside).isDirectory())
    throw new InvalidRequestError(`There is no folder ${inside} to make a scratch store in`);
  const folder = await mkdtemp(join(inside, "dibs-bench-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const { durability } = wish;
    return await openEmbedded({ kind: "folder", folder, durability }, wish, remove);
  } catch (error) {
    await remove();
    throw error;
  }
}

async function openEmbedded(
  store: Exclude<ServedStore, { kind: "redis" }>,
  wish: PlaceWish,
  remove: () => Promise<void> = async () => {},
): Promise<BenchPlace> {
  const engine = {
    store: store.kind === "memory" ? "memory" : "embedded",
    place: store.kind === "memory" ? "memory:" : store.folder,
    durability: store.kind === "memory" ? "none" : store.durability,
    redisVersion: null,
  } as const;
  const open = () =>
    store.kind === "memory"
      ? openConnection("memory:", {}, wish.onWarning)
      : openConnection(store.folder, { durability: store.durability }, wish.onWarning);
  return openDoor({ engine, store, open, wish, remove });
}

async function openRedis(url: string, wish: PlaceWish): Promise<BenchPlace> {
  const { connections, onWarning } = wish;
  const tls = wish.tls === undefined ? {} : { tls: wish.tls };
  const keys = await ScratchKeys.open({ url, onWarning, ...tls });
  const { place, durability, version, foreignKeys, foreignClients } = keys.about;
  const engine = { store: "redis", place, durability, redisVersion: version } as const;
  const options = { prefix: keys.prefix, ...tls, ...(connections !== undefined && { connections }) };
  // What it warns of was told when the keys were opened.
  const open = () => openConnection(url, options, () => {});
  const notes = [
    ...(foreignKeys === 0
      ? []
      : [
          `Keys of others on this Redis: ${foreignKeys}. They were not touched, but their users felt the load.`,
        ]),
    ...(foreignClients === 0
      ? []
      : [`${foreignClients} other clients were connected to the Redis: what they did is in its figures.`]),
  ];
  const remove = async () => {
    try {
      await keys.remove();
    } finally {
      await keys.close();
    }
  };
  try {
    const store = { kind: "redis", options: { url, ...options } } as const;
    return await openDoor({ engine, store, open, wish, remove, keys, notes });
  } catch (error) {
    await remove();
    throw error;
  }
}

interface Door {
  readonly engine: Omit<BenchEngine, "transport">;
  readonly store: ServedStore;
  /** Opens the store in this process. */
  open(): Promise<Connection>;
  readonly wish: PlaceWish;
  /** Removes the store, once nobody uses it. */
  remove(): Promise<void>;
  readonly keys?: ScratchKeys;
  readonly notes?: readonly string[];
}

/** A store of the bench's own, in this process or behind a server of its own. */
async function openDoor({ engine, store, open, wish, remove, keys, notes = [] }: Door): Promise<BenchPlace> {
  let queues = 0;
  const server = wish.serve ? await OwnServer.start(store) : undefined;
  const connect = server === undefined ? open : async () => overHttp(server.url, wish);
  const opened = [await connect()];
  return {
    engine: { ...engine, transport: server === undefined ? "in-process" : "http" },
    connection: opened[0] as Connection,
    client: new OwnProcess(),
    ...(server !== undefined && { server, url: server.url }),
    ...(keys !== undefined && { redis: keys }),
    notes,
    newQueue() {
      queues += 1;
      return queueNamed(`bench-${queues}`);
    },
    async another() {
      // A folder is open in one process, once.
      if (engine.store !== "redis" && server === undefined) return opened[0] as Connection;
      const another = await connect();
      opened.push(another);
      return another;
    },
    close: once(() =>
      inTurn([...opened.map((each) => () => each.close()), () => server?.close(), () => remove()]),
    ),
  };
}

/** A server of somebody else: the bench has queues of its own there, and empties them in the end. */
async function openForeignServer(url: string, wish: PlaceWish): Promise<BenchPlace> {
  if (wish.serve) throw new InvalidRequestError(`${url} is a server already: leave --serve out`);
  if (!URL.canParse(url)) throw new InvalidRequestError(`${url} is no address of a server`);
  const queues: QueueName[] = [];
  const own = randomBytes(4).toString("hex");
  const opened = [overHttp(url, wish)];
  const [connection] = opened as [HttpConnection];
  await connection.queues(); // Says now what is wrong with address or token.
  return {
    engine: {
      store: "unknown",
      transport: "http",
      place: connection.place,
      durability: null,
      redisVersion: null,
    },
    connection,
    url: new URL(url).origin,
    client: new OwnProcess(),
    notes: [
      "The server was not started by the benchmark: its process and its store could not be watched, and what others " +
        "asked of it meanwhile is in the figures.",
    ],
    newQueue() {
      const queue = queueNamed(`dibs-bench-${own}-${queues.length + 1}`);
      queues.push(queue);
      return queue;
    },
    async another() {
      opened.push(overHttp(url, wish));
      return opened.at(-1) as Connection;
    },
    close: once(() =>
      inTurn([
        ...queues.map((queue) => () => emptyQueue(connection, queue)),
        ...opened.map((each) => () => each.close()),
      ]),
    ),
  };
}

function overHttp(url: string, { token, timeoutMs }: PlaceWish): HttpConnection {
  const place = new URL(url);
  const shown = token ?? decodeURIComponent(place.password || place.username);
  return new HttpConnection(place, { answerMs: timeoutMs, ...(shown !== "" && { token: shown }) });
}

function queueNamed(name: string): QueueName {
  const queue = parseQueueName(name);
  if (queue === undefined) throw new Error(`"${name}" is no queue name`);
  return queue;
}

/** Takes every step, also after one that failed. @throws what the first of those threw. */
async function inTurn(steps: readonly (() => Promise<void> | undefined)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

function once(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined;
  return () => {
    closing ??= close();
    return closing;
  };
}
