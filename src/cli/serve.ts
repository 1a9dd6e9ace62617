import cluster from "node:cluster";
import type { Command } from "commander";
import type { OwnFigures, Peers } from "../broker/peers.ts";
import { type Config, memoryBoundOf, tlsOf } from "../config.ts";
import type { ServerLogger } from "../http/logger.ts";
import type { DibsServer } from "../http/server.ts";
import type { Storage } from "../storage/storage.ts";
import type { ExitCode } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import { explainedAddress } from "./listening.ts";
import { exitCodeAfter, interruption, perform, type Session, type SessionFlags } from "./session.ts";
import { startProgress } from "./start-progress.ts";

/** `dibs serve`: one of the two places where storage, broker and server are put together. */
export function addServe(dibs: Command): void {
  const command = dibs
    .command("serve")
    .summary("serve the HTTP API")
    .description(
      "Serves the HTTP API on a store that it opens, and makes on a first start. Nothing is to be set up.",
    )
    .action((flags: SessionFlags) => perform(flags, serve, { graceful: true }));
  withHelp(
    withSettings(command, [
      "store",
      "durability",
      "prefix",
      "redisConnections",
      "redisTlsCa",
      "redisTlsCert",
      "redisTlsKey",
      "strict",
      "cache",
      "cacheTtlMs",
      "processes",
      "host",
      "port",
      "tokens",
      "insecure",
      "logLevel",
      "payloadBytesMax",
      "tasksMax",
      "memoryBytesMax",
    ]),
    [
      "dibs serve",
      "dibs serve --store /var/lib/dibs --durability power",
      "DIBS_TOKENS=s3cret dibs serve --host 0.0.0.0",
      "dibs serve --store redis://127.0.0.1:6379 --processes 4",
    ],
    "0 after a drained SIGTERM, 130 after a drained Ctrl-C; a second signal exits at once, 143 or 130",
  );
}

export interface RunningServer {
  readonly url: string;
  /** What this process knows, for the others of the same server. */
  readonly figures: OwnFigures;
  /** Where the tasks are, without secrets, and what an acknowledged call survives there. */
  readonly store: OpenStore["shown"];
  /** Drains the server, then closes broker and store. Idempotent. */
  close(): Promise<void>;
}

export interface StartOptions {
  readonly logger: ServerLogger;
  /** Told what the operator of a Redis should know. */
  readonly onWarning?: (text: string) => void;
  /** Told, every two seconds, how far a long start is. */
  readonly onProgress?: (text: string) => void;
  /** Other processes of the same server. */
  readonly peers?: Peers;
}

interface OpenStore {
  readonly storage: Storage;
  readonly shown: { readonly place: string; readonly durability: string; readonly text: string };
  /** For whoever asks the store who serves it. */
  setUrl(url: string): Promise<void>;
}

/**
 * Opens the store, puts the broker over it and the server over that. What was opened is closed again when a
 * later part fails.
 *
 * @throws {CommandFailed} when the port is taken, saying what to do.
 * @throws {StorageUnavailableError} when another process holds the folder, or Redis cannot be used.
 */
export async function startServer(config: Config, options: StartOptions): Promise<RunningServer> {
  // Loaded here and not above: the other commands start in half the time without them.
  const { Broker } = await import("../broker/broker.ts");
  const { createServer } = await import("../http/server.ts");
  const { assertLoopback } = await import("../http/loopback.ts");
  if (config.tokens.length === 0 && !config.insecure) assertLoopback(config.host);
  const store = await openStore(config, options);
  const broker = await orClose(store.storage, () =>
    Broker.open(store.storage, {
      payloadBytesMax: config.payloadBytesMax,
      logger: options.logger,
      ...(options.peers !== undefined && { peers: options.peers }),
      cache: { mode: config.store.kind === "redis" ? config.cache : "off", ttlMs: config.cacheTtlMs },
    }),
  );
  return orClose(broker, async () => {
    const { tokens, insecure } = config;
    const server = await createServer(broker, { tokens, insecure, logger: options.logger });
    const url = await listen(server, config);
    await store.setUrl(url);
    const { figures } = broker;
    return {
      url,
      figures,
      store: store.shown,
      close: once(() => server.close().finally(() => broker.close())),
    };
  });
}

function openStore(config: Config, options: StartOptions): Promise<OpenStore> {
  return config.store.kind === "redis"
    ? openRedis(config, config.store.url, options)
    : openEmbedded(config, options);
}

async function openEmbedded(config: Config, { logger, onProgress }: StartOptions): Promise<OpenStore> {
  const { EmbeddedStorage } = await import("../storage/embedded/embedded-storage.ts");
  const { store, durability } = config;
  // Without durability nothing is to be found on disk later, so there is no folder to hold.
  const inMemory = store.kind === "memory" || durability === "none";
  const storage = await EmbeddedStorage.open({
    ...(store.kind === "folder" && !inMemory && { folder: store.folder }),
    durability,
    tasksMax: config.tasksMax,
    ...memoryBoundOf(config),
    onWait: (reason) => logger.warn({}, reason),
    onProgress: startProgress((text) => {
      logger.info({}, text);
      onProgress?.(text);
    }),
    onCut: (cut) => logger.warn({}, cut),
    onTrouble: (err) => logger.error({ err }, "The store is in trouble"),
  });
  const place = store.kind === "folder" ? store.folder : "memory:";
  const shown = { place, durability, text: embeddedText(config) };
  return { storage, shown, setUrl: (url) => storage.setUrl(url) };
}

async function openRedis(
  config: Config,
  url: string,
  { onWarning = () => {} }: StartOptions,
): Promise<OpenStore> {
  const [{ RedisStorage }, { parseRedisUrl }] = await Promise.all([
    import("../storage/redis/redis-storage.ts"),
    import("../storage/redis/link/redis-url.ts"),
  ]);
  const { prefix, redisConnections: connections, strict } = config;
  const place = parseRedisUrl(url).shown;
  const tls = tlsOf(config);
  const survivals = new Set<string>();
  const storage = await RedisStorage.open({
    url,
    prefix,
    connections,
    strict,
    ...(tls !== undefined && { tls }),
    onWarning,
    onSurvival: (text) => survivals.add(text),
  });
  const keys = prefix === DEFAULT_PREFIX ? "" : `, prefix ${prefix}`;
  const durability = [...survivals].join(" or ");
  const shown = { place, durability, text: `store ${place}${keys}, ${durability}` };
  return { storage, shown, setUrl: async () => {} };
}

const DEFAULT_PREFIX = "dibs";

async function orClose<T>(opened: { close(): Promise<void> }, next: () => Promise<T>): Promise<T> {
  try {
    return await next();
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function listen(server: DibsServer, { host, port }: Config): Promise<string> {
  try {
    return await server.listen({ host, port });
  } catch (error) {
    await server.close();
    throw explainedAddress(error, host, port);
  }
}

function once(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined;
  return () => {
    closing ??= close();
    return closing;
  };
}

async function serve(session: Session): Promise<ExitCode> {
  if (session.config.processes === 1) return serveAlone(session);
  const { serveAsOne, superviseAll } = await import("./serve-processes.ts");
  return cluster.isWorker ? serveAsOne(session) : superviseAll(session);
}

async function serveAlone({ config, output, signal }: Session): Promise<ExitCode> {
  const { logger } = await openLog(config);
  const onWarning = (text: string) => {
    logger.warn({}, text);
    output.warn(text);
  };
  const onProgress = (text: string) => output.progress(text);
  const server = await startServer(config, { logger, onWarning, onProgress });
  const { place, durability, text } = server.store;
  output.emit({ event: "ready", url: server.url, store: place, durability, pid: process.pid });
  output.print(`dibs is ready at ${server.url}  (${text}; ${guardText(config)}; Ctrl-C stops)`);
  const interrupted = await interruption(signal);
  output.note("Draining; once more exits at once.");
  await server.close();
  return exitCodeAfter(interrupted);
}

/** Writes lines of JSON, each with the pid of its process. */
export async function openLog({ logLevel }: Config): Promise<{ readonly logger: ServerLogger }> {
  const { destination, pino } = await import("pino");
  // Synchronous, so that the last words of a process that fails are not lost with it.
  return { logger: pino({ level: logLevel }, destination({ fd: 2, sync: true })) };
}

function embeddedText({ store, durability }: Config): string {
  if (store.kind !== "folder") return "in memory, nothing survives a restart";
  if (durability === "none") return "in memory because durability is none, nothing survives a restart";
  return `store ${store.folder}, durability ${durability}`;
}

/** Who may come in. */
export function guardText({ tokens, insecure }: Config): string {
  if (tokens.length > 0) return "with tokens";
  return insecure
    ? "no authentication, open to whoever reaches the port"
    : "no authentication, loopback only";
}
