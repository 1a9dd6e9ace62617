import type { Command } from "commander";
import type { Config } from "../config.ts";
import type { ServerLogger } from "../http/logger.ts";
import type { DibsServer } from "../http/server.ts";
import type { EmbeddedStorage } from "../storage/embedded/embedded-storage.ts";
import { CommandFailed, type ExitCode } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import { exitCodeAfter, interruption, perform, type Session, type SessionFlags } from "./session.ts";

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
      "host",
      "port",
      "tokens",
      "insecure",
      "logLevel",
      "payloadBytesMax",
      "tasksMax",
    ]),
    [
      "dibs serve",
      "dibs serve --store /var/lib/dibs --durability power",
      "DIBS_TOKENS=s3cret dibs serve --host 0.0.0.0",
    ],
    "0 after a drained SIGTERM, 130 after a drained Ctrl-C; a second signal exits at once, 143 or 130",
  );
}

export interface RunningServer {
  readonly url: string;
  /** Drains the server, then closes broker and store. Idempotent. */
  close(): Promise<void>;
}

export interface StartOptions {
  readonly logger: ServerLogger;
}

/**
 * Opens the store, puts the broker over it and the server over that. What was opened is closed again when a
 * later part fails.
 *
 * @throws {CommandFailed} when the port is taken, saying what to do.
 * @throws {StorageUnavailableError} when another process holds the folder.
 */
export async function startServer(config: Config, options: StartOptions): Promise<RunningServer> {
  // Loaded here and not above: the other commands start in half the time without them.
  const { Broker } = await import("../broker/broker.ts");
  const { createServer } = await import("../http/server.ts");
  const { assertLoopback } = await import("../http/loopback.ts");
  if (config.tokens.length === 0 && !config.insecure) assertLoopback(config.host);
  const storage = await openStorage(config, options);
  const broker = await orClose(storage, () =>
    Broker.open(storage, { payloadBytesMax: config.payloadBytesMax, logger: options.logger }),
  );
  return orClose(broker, async () => {
    const { tokens, insecure } = config;
    const server = await createServer(broker, { tokens, insecure, logger: options.logger });
    const url = await listen(server, config);
    await storage.setUrl(url);
    return { url, close: once(() => server.close().finally(() => broker.close())) };
  });
}

async function openStorage(config: Config, { logger }: StartOptions): Promise<EmbeddedStorage> {
  const { EmbeddedStorage } = await import("../storage/embedded/embedded-storage.ts");
  // Without durability nothing is to be found on disk later, so there is no folder to hold.
  const inMemory = config.store.kind === "memory" || config.durability === "none";
  return EmbeddedStorage.open({
    ...(config.store.kind === "folder" && !inMemory && { folder: config.store.folder }),
    durability: config.durability,
    tasksMax: config.tasksMax,
    onWait: (reason) => logger.warn({}, reason),
    onProgress: (done, total) => logger.debug({ done, total }, "Reading the journal"),
    onCut: (cut) => logger.warn({}, cut),
    onTrouble: (err) => logger.error({ err }, "The store is in trouble"),
  });
}

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
    throw explained(error, host, port);
  }
}

/** What can be done about an address that cannot be had. */
function explained(error: unknown, host: string, port: number): unknown {
  const why = {
    EADDRINUSE: `Port ${port} on ${host} is in use. Stop what listens there, or choose another port with --port or DIBS_PORT; --port 0 takes any free one.`,
    EACCES: `Port ${port} on ${host} is not allowed to this user. Choose a port of 1024 or more with --port or DIBS_PORT.`,
    EADDRNOTAVAIL: `${host} is no address of this machine. Choose another with --host or DIBS_HOST.`,
    ENOTFOUND: `${host} is no known host name. Choose another with --host or DIBS_HOST.`,
  }[(error as NodeJS.ErrnoException).code ?? ""];
  return why === undefined ? error : new CommandFailed(why, { cause: error });
}

function once(close: () => Promise<void>): () => Promise<void> {
  let closing: Promise<void> | undefined;
  return () => {
    closing ??= close();
    return closing;
  };
}

async function serve({ config, output, signal }: Session): Promise<ExitCode> {
  const { destination, pino } = await import("pino");
  // Synchronous, so that the last words of a process that fails are not lost with it.
  const logger = pino({ level: config.logLevel }, destination({ fd: 2, sync: true }));
  const server = await startServer(config, { logger });
  const { store, durability } = config;
  const place = store.kind === "memory" ? "memory:" : store.folder;
  output.emit({ event: "ready", url: server.url, store: place, durability, pid: process.pid });
  output.print(`dibs is ready at ${server.url}  (${storeText(config)}; ${guardText(config)}; Ctrl-C stops)`);
  const interrupted = await interruption(signal);
  output.note("Draining; once more exits at once.");
  await server.close();
  return exitCodeAfter(interrupted);
}

function storeText({ store, durability }: Config): string {
  if (store.kind === "memory") return "in memory, nothing survives a restart";
  if (durability === "none") return "in memory because durability is none, nothing survives a restart";
  return `store ${store.folder}, durability ${durability}`;
}

function guardText({ tokens, insecure }: Config): string {
  if (tokens.length > 0) return "with tokens";
  return insecure
    ? "no authentication, open to whoever reaches the port"
    : "no authentication, loopback only";
}
