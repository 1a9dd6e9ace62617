import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { PREFIX } from "./config-values.ts";
import { Dibs } from "./sdk/client.ts";
import type { Connection } from "./sdk/connection.ts";
import { HttpConnection } from "./sdk/http-connection.ts";
import { checkWhole, present, refuseUnknown } from "./sdk/options.ts";
import { isRedisUrl, parseRedisUrl } from "./storage/redis/link/redis-url.ts";
import { InvalidRequestError } from "./task/errors.ts";
import { LIMITS } from "./task/limits.ts";

/** For a server over HTTP. */
export interface HttpConnectOptions {
  /** Sent as `Authorization: Bearer …`. It may also stand in the URL: `https://:token@host`. */
  readonly token?: string;
}

/** For a store in this process: a folder, or memory. */
export interface EmbeddedConnectOptions {
  /**
   * What an acknowledged call survives. `process` (default): the end of the process; a power cut costs at most a
   * second. `power`: a power cut too. `none`: nothing, there is no disk. Only for a folder.
   */
  readonly durability?: "process" | "power" | "none";
  /** The largest payload or result, bytes. Default 1 MiB, at most 16 MiB. */
  readonly payloadBytesMax?: number;
}

/** For a store in Redis, used by this process without a server between. */
export interface RedisConnectOptions {
  /** What its keys begin with; two prefixes are two stores. Default "dibs". */
  readonly prefix?: string;
  /** Connections for commands to each Redis, 1 to 16; one more hears wake-ups. Default 2. */
  readonly connections?: number;
  /**
   * Rejects when Redis is set up so that tasks may be lost: eviction, no persistence. Default false: it is told
   * as a warning of the process.
   */
  readonly strict?: boolean;
  /** The largest payload or result, bytes. Default 1 MiB, at most 16 MiB. */
  readonly payloadBytesMax?: number;
  /** Whether tasks that are read by id may be kept for a moment, while that pays. Default `auto`. */
  readonly cache?: "auto" | "off";
  /** How old such a task may be as to what other processes did, milliseconds, 1 to 60,000. Default 1,000. */
  readonly cacheTtlMs?: number;
  /** For rediss://: each a path, or the PEM itself. `rejectUnauthorized: false` trusts any certificate. */
  readonly tls?: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly rejectUnauthorized?: boolean;
  };
}

export type ConnectOptions = HttpConnectOptions | EmbeddedConnectOptions | RedisConnectOptions;

/** A single Redis, a Redis Cluster or a Redis behind Sentinel; rediss and valkeys speak TLS. */
export type RedisUrl =
  `${"redis" | "rediss" | "valkey" | "valkeys"}${"" | "+cluster" | "+sentinel" | "-cluster" | "-sentinel"}://${string}`;

/**
 * Connects to the place where the tasks are.
 *
 * `http://…`, `https://…`: a server. `./folder`, an absolute path or a `file:` URL: the embedded store in this
 * process. `memory:`: the same without a disk. `redis://…`: a store in Redis that any number of processes share,
 * also `rediss://` (TLS), `redis+cluster://host:port,host:port` and `redis+sentinel://host:port/mymaster`; it must be
 * there already. A server over HTTP need not run yet: the first call finds out.
 *
 * @throws {InvalidRequestError} for another kind of place, and for an option that the place does not know.
 * @throws {StorageUnavailableError} when another process holds the folder, or Redis cannot be used; it says what to do.
 */
export function connect(
  url: `http://${string}` | `https://${string}`,
  options?: HttpConnectOptions,
): Promise<Dibs>;
export function connect(url: "memory:", options?: Omit<EmbeddedConnectOptions, "durability">): Promise<Dibs>;
export function connect(
  url: `file:${string}` | `.${string}`,
  options?: EmbeddedConnectOptions,
): Promise<Dibs>;
export function connect(url: RedisUrl, options?: RedisConnectOptions): Promise<Dibs>;
export function connect(url: string, options?: ConnectOptions): Promise<Dibs>;
export async function connect(url: string, options: ConnectOptions = {}): Promise<Dibs> {
  return new Dibs(await openConnection(url, options));
}

/** Told what the operator of a store should know. */
export type OnWarning = (text: string) => void;

/** What {@link connect} puts under a client; for programs that speak in the objects of the wire. */
export async function openConnection(
  url: string,
  options: ConnectOptions = {},
  onWarning: OnWarning = (text) => process.emitWarning(text, "DibsWarning"),
): Promise<Connection> {
  const place = placeOf(url);
  switch (place.kind) {
    case "http":
      refuseUnknown(`A connection to ${place.url.protocol}//`, options, ["token"]);
      return httpConnection(place.url, options as HttpConnectOptions);
    case "folder":
      refuseUnknown("A connection to a folder", options, ["durability", "payloadBytesMax"]);
      return embeddedConnection(url, place.folder, options as EmbeddedConnectOptions, onWarning);
    case "memory":
      refuseUnknown("A connection to memory:", options, ["payloadBytesMax"]);
      return embeddedConnection(url, undefined, options as EmbeddedConnectOptions, onWarning);
    case "redis":
      return redisConnection(url, checkedRedis(options), onWarning);
  }
}

type Place =
  | { readonly kind: "http"; readonly url: URL }
  | { readonly kind: "folder"; readonly folder: string }
  | { readonly kind: "memory" }
  | { readonly kind: "redis" };

function placeOf(text: string): Place {
  if (text === "memory:") return { kind: "memory" };
  if (/^\.{1,2}([\\/]|$)/.test(text) || isAbsolute(text)) return { kind: "folder", folder: text };
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase() ?? "";
  if (scheme === "file") return { kind: "folder", folder: fileURLToPath(text) };
  if (scheme === "http" || scheme === "https") return { kind: "http", url: urlOf(text) };
  if (isRedisUrl(text)) return { kind: "redis" };
  throw new InvalidRequestError(
    `Expected a place to connect to: http://…, https://…, ./folder, an absolute path, file:…, memory: or redis://…, got ${JSON.stringify(text)}`,
  );
}

function urlOf(text: string): URL {
  if (URL.canParse(text)) return new URL(text);
  throw new InvalidRequestError(`Expected a URL like http://127.0.0.1:4510, got ${JSON.stringify(text)}`);
}

function httpConnection(url: URL, options: HttpConnectOptions): Connection {
  const token = options.token ?? decodeURIComponent(url.password || url.username);
  if (!/^[\x21-\x7e]*$/.test(token)) {
    throw new InvalidRequestError("Expected token to be printable ASCII without spaces");
  }
  return new HttpConnection(url, token === "" ? {} : { token });
}

/** The engine is loaded when it is asked for: a client over HTTP needs none of it. */
async function embeddedConnection(
  place: string,
  folder: string | undefined,
  options: EmbeddedConnectOptions,
  onWarning: OnWarning,
): Promise<Connection> {
  const { durability, payloadBytesMax } = options;
  checkEmbedded(options);
  const [{ EmbeddedStorage }, { Broker }, { LocalConnection }] = await Promise.all([
    import("./storage/embedded/embedded-storage.ts"),
    import("./broker/broker.ts"),
    import("./local-connection.ts"),
  ]);
  const storage = await EmbeddedStorage.open({
    ...(folder !== undefined && { folder }),
    ...(durability !== undefined && { durability }),
    onTrouble: (error) => onWarning(`The store ${place}: ${error.message}`),
  });
  const broker = await Broker.open(storage, payloadBytesMax === undefined ? {} : { payloadBytesMax });
  return new LocalConnection(broker, place);
}

/** Loaded when it is asked for, like the embedded engine. */
async function redisConnection(
  url: string,
  options: RedisConnectOptions,
  onWarning: OnWarning,
): Promise<Connection> {
  const { payloadBytesMax, cache = "auto", cacheTtlMs, ...linkOptions } = options;
  const { shown } = parseRedisUrl(url);
  const [{ RedisStorage }, { Broker }, { LocalConnection }] = await Promise.all([
    import("./storage/redis/redis-storage.ts"),
    import("./broker/broker.ts"),
    import("./local-connection.ts"),
  ]);
  const storage = await RedisStorage.open({ ...linkOptions, url, onWarning });
  const broker = await orClose(storage, () =>
    Broker.open(storage, {
      ...(payloadBytesMax !== undefined && { payloadBytesMax }),
      cache: { mode: cache, ...(cacheTtlMs !== undefined && { ttlMs: cacheTtlMs }) },
    }),
  );
  return new LocalConnection(broker, shown);
}

async function orClose<T>(opened: { close(): Promise<void> }, next: () => Promise<T>): Promise<T> {
  try {
    return await next();
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** The options of a store in Redis, none of them undefined. */
function checkedRedis(given: ConnectOptions): RedisConnectOptions {
  const options = present(given) as RedisConnectOptions;
  if ("durability" in options) {
    throw new InvalidRequestError(
      "A connection to Redis has no option durability: durability is Redis's own, set by its appendonly and appendfsync",
      { details: { option: "durability" } },
    );
  }
  refuseUnknown("A connection to Redis", options, REDIS_OPTIONS);
  const { prefix, connections, strict, payloadBytesMax, cache, cacheTtlMs, tls } = options;
  if (prefix !== undefined && !PREFIX.pattern.test(prefix)) throw wrong("prefix", PREFIX.bound, prefix);
  if (strict !== undefined && typeof strict !== "boolean") throw wrong("strict", "true or false", strict);
  if (cache !== undefined && cache !== "auto" && cache !== "off") throw wrong("cache", "auto or off", cache);
  checkWhole("connections", connections, 1, 16);
  checkWhole("payloadBytesMax", payloadBytesMax, 1, LIMITS.bodyBytesMax);
  checkWhole("cacheTtlMs", cacheTtlMs, 1, 60_000);
  if (tls !== undefined) refuseUnknown("tls", tls, ["ca", "cert", "key", "rejectUnauthorized"]);
  return options;
}

const REDIS_OPTIONS: readonly (keyof RedisConnectOptions)[] = [
  "prefix",
  "connections",
  "strict",
  "payloadBytesMax",
  "cache",
  "cacheTtlMs",
  "tls",
];

function wrong(name: string, bound: string, value: unknown): InvalidRequestError {
  return new InvalidRequestError(`Expected ${name} to be ${bound}, got ${JSON.stringify(value)}`, {
    details: { field: name, bound, value },
  });
}

function checkEmbedded({ durability, payloadBytesMax }: EmbeddedConnectOptions): void {
  if (durability !== undefined && !["process", "power", "none"].includes(durability)) {
    throw new InvalidRequestError(
      `Expected durability to be process, power or none, got ${String(durability)}`,
    );
  }
  checkWhole("payloadBytesMax", payloadBytesMax, 1, LIMITS.bodyBytesMax);
}
