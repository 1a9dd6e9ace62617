import cluster from "node:cluster";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { type Config, type FlagValues, readConfig, tlsOf } from "../config.ts";
import type { RedisConnectOptions } from "../connect.ts";
import type { Connection } from "../sdk/connection.ts";
import { ConnectionLostError, type DibsError } from "../task/errors.ts";
import { EXIT, type ExitCode, exitCodeOf, UsageError } from "./exit.ts";
import { Output } from "./output.ts";

/**
 * What every command runs in: its settings, what it says, the tasks it talks to, and the way to end it.
 *
 * The first SIGINT or SIGTERM aborts `signal`; the second exits at once. A command that knows how to stop
 * (`graceful`) ends by itself after the first; any other is left where it stands, its connection is closed.
 */
export interface Session {
  readonly config: Config;
  readonly output: Output;
  readonly signal: AbortSignal;
  /** Connects where the flags say. Closed when the command ends. */
  connection(): Promise<Connection>;
}

export interface SessionFlags extends FlagValues {
  readonly json?: boolean;
}

export interface PerformOptions {
  readonly graceful?: boolean;
  /** With `--store`: the folder may be new. For what only looks, a mistyped one would look like lost tasks. */
  readonly makesStore?: boolean;
}

export type Action = (session: Session) => Promise<ExitCode>;

/** Why `signal` was aborted. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}`);
    this.signal = signal;
  }
}

/** Runs the action of a command and sets the exit code of the process. */
export async function perform(
  flags: SessionFlags,
  action: Action,
  options: PerformOptions = {},
): Promise<void> {
  const output = new Output(flags.json === true);
  const interruption = interruptible();
  try {
    process.exitCode = await attempt(flags, output, interruption.signal, action, options);
  } catch (error) {
    process.exitCode = error instanceof Interrupted ? EXIT.interrupted : failure(output, error, flags);
  } finally {
    interruption.stop();
  }
}

/** For what runs until it is told to stop: SIGTERM, from a supervisor, is its ordinary end. Ctrl-C is 130. */
export function exitCodeAfter({ signal }: Interrupted): ExitCode {
  return signal === "SIGTERM" ? EXIT.done : EXIT.interrupted;
}

async function attempt(
  flags: SessionFlags,
  output: Output,
  signal: AbortSignal,
  action: Action,
  options: PerformOptions,
): Promise<ExitCode> {
  const { config, warnings } = readConfig({ flags });
  // One of several processes of a server says nothing itself: the first has said it.
  if (!cluster.isWorker) for (const warning of warnings) output.warn(warning);
  let opened: Promise<Connection> | undefined;
  const connection = () => {
    opened ??= connect(flags, config, output, options.makesStore === true);
    return opened;
  };
  try {
    const running = action({ config, output, signal, connection });
    return await (options.graceful ? running : Promise.race([running, interrupted(signal)]));
  } finally {
    await opened?.then(
      (it) => it.close(),
      () => {}, // It never opened; the action has thrown why.
    );
  }
}

async function connect(
  flags: SessionFlags,
  config: Config,
  output: Output,
  makesStore: boolean,
): Promise<Connection> {
  const { url, token, store, durability } = config;
  if (flags.store !== undefined && flags.url !== undefined)
    throw new UsageError("--url and --store name two places: give one of them");
  if (flags.prefix !== undefined && flags.store === undefined)
    throw new UsageError("--prefix is that of a store in Redis: give --store redis://… too");
  const { openConnection } = await import("../connect.ts");
  const onWarning = (text: string) => output.warn(text);
  // Only the flag opens a store here: the one of DIBS_STORE is the server's.
  if (flags.store === undefined) return openConnection(url, token === undefined ? {} : { token });
  if (store.kind === "memory") return openConnection("memory:", {}, onWarning);
  if (store.kind === "redis") return openConnection(store.url, redisOptions(config), onWarning);
  const folder = resolve(store.folder);
  if (!makesStore && !existsSync(folder)) throw new UsageError(`There is no store at ${folder}`);
  return openConnection(folder, { durability }, onWarning);
}

function redisOptions(config: Config): RedisConnectOptions {
  const { prefix, redisConnections, strict, payloadBytesMax, cache, cacheTtlMs } = config;
  const tls = tlsOf(config);
  return {
    prefix,
    connections: redisConnections,
    strict,
    payloadBytesMax,
    cache,
    cacheTtlMs,
    ...(tls !== undefined && { tls }),
  };
}

function failure(output: Output, error: unknown, flags: SessionFlags): ExitCode {
  output.endProgress();
  output.error(explained(error, flags));
  // Whoever has to look into a fault of ours needs the stack; a user's mistake is said in its message.
  if (isUnexpected(error)) output.note((error as Error).stack ?? "");
  return exitCodeOf(error);
}

function isUnexpected(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

/** Adds what to do to the one error that every newcomer meets. */
function explained(error: unknown, flags: SessionFlags): unknown {
  const isOurs = error instanceof ConnectionLostError && flags.store === undefined;
  if (!isOurs) return error;
  const { message, details, cause } = error as DibsError;
  return new ConnectionLostError(
    `${message}\nStart a server with \`dibs serve\`, or name another one with --url or DIBS_URL.`,
    { details, cause },
  );
}

/** Resolves at the first signal. */
export function interruption(signal: AbortSignal): Promise<Interrupted> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

async function interrupted(signal: AbortSignal): Promise<never> {
  throw await interruption(signal);
}

function interruptible(): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    const interrupted = new Interrupted(signal);
    if (controller.signal.aborted) process.exit(signal === "SIGTERM" ? 143 : EXIT.interrupted);
    controller.abort(interrupted);
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    stop: () => process.off("SIGINT", onSignal).off("SIGTERM", onSignal),
  };
}
