import { setTimeout as wait } from "node:timers/promises";
import { mark } from "../../../claim-marks.ts";
import { InvalidRequestError, StorageUnavailableError } from "../../../task/errors.ts";
import { Call, type CallHost } from "./call.ts";
import { checkServer } from "./checks.ts";
import { Cluster } from "./cluster.ts";
import { commandText, evalText } from "./command-text.ts";
import type { Connection, Login, TlsOptions } from "./connection.ts";
import type { KeptConnection } from "./kept-connection.ts";
import { ScriptReloads } from "./load-scripts.ts";
import { parseRedisUrl, type RedisPlace } from "./redis-url.ts";
import { refusal } from "./refusal.ts";
import { ReplyError } from "./reply-parser.ts";
import type { Routes } from "./routes.ts";
import type { Script } from "./script.ts";
import { Sentinels } from "./sentinel.ts";
import { SingleServer } from "./single-server.ts";
import { Subscriptions } from "./subscriptions.ts";
import { Watchdog } from "./watchdog.ts";

export interface RedisOptions {
  /**
   * redis://[user:password@]host[:port][/db], rediss:// (TLS), redis+cluster://host:port[,host:port…],
   * rediss+cluster://, redis+sentinel://host:port[,…]/masterName[/db], rediss+sentinel://; valkey:// and
   * valkeys:// mean the same.
   */
  readonly url: string;
  /** What all keys begin with. Default "dibs". */
  readonly prefix?: string;
  /** Connections for commands to each server, 1 to 16. Default 2; one more hears what is published. */
  readonly connections?: number;
  /** Makes what the start-up checks warn of an error. Default false. */
  readonly strict?: boolean;
  /**
   * Milliseconds until a call that is not answered rejects, 50 to 600,000. Default 5,000. Too small, and a
   * pause of Redis (a fork, a slow disk with appendfsync always) costs the connection and all its calls; too
   * large, and a dead one is noticed late.
   */
  readonly commandTimeoutMs?: number;
  readonly onWarning?: (text: string) => void;
  /** Told by each master at the start what an acknowledged call survives there, in a few words. */
  readonly onSurvival?: (text: string) => void;
  readonly tls?: TlsOptions;
}

/**
 * Two, so that the answer of one claim is read while the next is executed; see `lanes.ts`. More help where one core of
 * this process cannot keep up with TLS or large replies.
 */
const CONNECTIONS = 2;
const CONNECTIONS_MAX = 16;
const COMMAND_TIMEOUT_MS = 5_000;
/** How long a start waits for a Redis that reads its data from disk, and how often it looks. */
const LOADING_MS = 30_000;
const LOADING_CHECK_MS = 200;
/** Calls under way; more than this are refused, for a Redis that is so far behind will not catch up in time. */
const UNDER_WAY_MAX = 10_000;
/** A call goes on to another server, or waits for one in the middle of a move, at most this often. */
const AGAIN_MAX = 16;

type Sent = { key: string; name: string; script?: Script; text: string };

const NOT_APPLIED = { details: { applied: "no" } } as const;

/**
 * Everything between the engine and Redis: connections, their health, where a key belongs.
 *
 * A command that may have been executed is never sent again (I7, design: no blind retries): only replies that
 * say that it was not (NOSCRIPT, MOVED, ASK, TRYAGAIN) send it once more. Everything else rejects, with
 * `details.applied` "no" or "unknown".
 */
export class RedisLink implements CallHost {
  readonly connections: number;
  readonly #routes: Routes;
  readonly #subscriptions: Subscriptions;
  readonly #watchdog: Watchdog;
  readonly #timeoutMs: number;
  readonly #reloads = new ScriptReloads();
  #underWay = 0;
  #isClosed = false;
  #drained: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  private constructor(routesTo: (sent: () => void) => Routes, connections: number, timeoutMs: number) {
    this.connections = connections;
    this.#timeoutMs = timeoutMs;
    this.#watchdog = new Watchdog(timeoutMs, () => this.#all());
    const sent = () => this.#watchdog.wake();
    this.#routes = routesTo(sent);
    this.#subscriptions = new Subscriptions(() => this.#routes.dialSubscriber(), timeoutMs, sent);
  }

  /**
   * Connects, checks the server, loads the scripts on every master, opens the whole pool warm.
   * @throws InvalidRequestError for a wrong option, StorageUnavailableError for a server that cannot be used;
   * both say what to do, within seconds.
   */
  static async open(options: RedisOptions, scripts: readonly Script[]): Promise<RedisLink> {
    const place = parseRedisUrl(options.url);
    const size = within("connections", options.connections ?? CONNECTIONS, 1, CONNECTIONS_MAX);
    const timeoutMs = within("commandTimeoutMs", options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS, 50, 600_000);
    const login = loginOf(place, options);
    const link = new RedisLink((sent) => routesTo(place, login, size, scripts, sent), size, timeoutMs);
    try {
      await link.#open(options);
      return link;
    } catch (error) {
      link.#end("could not be opened");
      throw error;
    }
  }

  get isCluster(): boolean {
    return this.#routes.isCluster;
  }

  /**
   * Runs a script, on the connection of `keys[0]`: the calls of one key and lane are written in order, in this tick.
   * Replies are texts (UTF-8), numbers, null and lists of them.
   */
  run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    lane = 0,
  ): Promise<unknown> {
    const key = keys[0] as string;
    const text = evalText(script.sha, keys, args);
    return this.#callOn(this.#routes.of(key, lane), { key, name: script.name, script, text });
  }

  /** Runs one plain command whose first argument is `key`, by the same rules. */
  command(name: string, key: string, ...args: (string | number)[]): Promise<unknown> {
    return this.#callOn(this.#routes.of(key), { key, name, text: commandText(name, [key, ...args]) });
  }

  /** Runs a command that names no key on every master; their replies in any order. */
  everyMaster(name: string, ...args: (string | number)[]): Promise<unknown[]> {
    const masters = new Map([...this.#routes.all()].map((kept) => [kept.current?.where, kept]));
    const what = { key: "", name, text: commandText(name, args) };
    return Promise.all([...masters.values()].map((kept) => this.#callOn(kept, what)));
  }

  /**
   * Calls `listener` for what is published on a channel, from when it resolves, also after reconnects; what is
   * published in between is missed ({@link onReconnect}). Rejects while Redis is away.
   */
  async subscribe(channel: string, listener: (text: string) => void): Promise<() => void> {
    if (this.#isClosed) throw new StorageUnavailableError("The link to Redis is closed", NOT_APPLIED);
    return this.#subscriptions.subscribe(channel, listener);
  }

  /** Calls `listener` when subscriptions hear again after messages may have been missed. */
  onReconnect(listener: () => void): void {
    this.#subscriptions.onReconnect(listener);
  }

  /** Why not all is well; undefined when every connection stands. */
  trouble(): { readonly reason: string; readonly isFinal: boolean } | undefined {
    if (this.#isClosed) return { reason: "The link to Redis is closed", isFinal: true };
    for (const kept of [...this.#routes.all(), this.#subscriptions.kept])
      if (kept.trouble !== undefined) return { reason: kept.trouble, isFinal: false };
    return undefined;
  }

  /** Waits for what is under way, at most for its deadline, and lets go of everything. Again is harmless. */
  close(): Promise<void> {
    this.#closing ??= this.#drain().then(() => this.#end("the link to Redis is closed"));
    return this.#closing;
  }

  refused(call: Call, error: ReplyError, by: Connection): void {
    call.again += 1;
    if (call.again > AGAIN_MAX) call.fail(refusal(error, call.name));
    else if (error.code === "NOSCRIPT" && call.script !== undefined) void this.#reload(call, call.script, by);
    else if (!this.#routes.redirect(call, error, by)) call.fail(refusal(error, call.name));
    else this.#watchdog.wake();
  }

  settled(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#drained?.();
  }

  async #open({ strict = false, onWarning = () => undefined, onSurvival }: RedisOptions): Promise<void> {
    await whenLoaded(() => this.#routes.open());
    const masters = new Map([...this.#routes.all()].map(({ current }) => [current?.where, current]));
    for (const connection of masters.values())
      if (connection !== undefined)
        await checkServer(connection, { strict, onWarning, ...(onSurvival !== undefined && { onSurvival }) });
    await this.#subscriptions.kept.open();
  }

  #callOn(kept: KeptConnection | undefined, what: Sent): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const overload = this.#isClosed ? "The link to Redis is closed" : this.#overload();
      const connection = kept?.current;
      if (overload !== undefined) reject(new StorageUnavailableError(overload, NOT_APPLIED));
      else if (connection === undefined || connection.isChoked)
        reject(new StorageUnavailableError(whyNot(kept), NOT_APPLIED));
      else {
        this.#underWay += 1;
        const call = new Call(this, what, performance.now() + this.#timeoutMs, resolve, reject);
        mark("handed", call, connection);
        connection.send(what.text, call);
        this.#watchdog.wake();
      }
    });
  }

  #overload(): string | undefined {
    if (this.#underWay < UNDER_WAY_MAX) return undefined;
    return `${UNDER_WAY_MAX} calls of Redis are under way: it is too far behind to take more`;
  }

  /** Redis forgot the script (a restart, SCRIPT FLUSH), and so ran nothing: it is told again. */
  async #reload(call: Call, script: Script, by: Connection): Promise<void> {
    try {
      this.#watchdog.wake();
      await this.#reloads.reload(by, script);
      if (!by.isOpen)
        throw new StorageUnavailableError(`Lost the connection to Redis at ${by.where}`, NOT_APPLIED);
      by.send(call.text, call);
      this.#watchdog.wake();
    } catch (error) {
      call.fail(error as Error);
    }
  }

  *#all(): Iterable<Connection> {
    for (const { current } of this.#routes.all()) if (current !== undefined) yield current;
    const { current } = this.#subscriptions.kept;
    if (current !== undefined) yield current;
  }

  async #drain(): Promise<void> {
    this.#isClosed = true;
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  #end(reason: string): void {
    this.#isClosed = true;
    this.#watchdog.close();
    this.#routes.close(reason);
    this.#subscriptions.kept.close(reason);
  }
}

function whyNot(kept: KeptConnection | undefined): string {
  if (kept === undefined) return "No master of the cluster serves the slot of this queue now";
  return kept.trouble ?? "Redis does not take what is sent to it: too much is waiting already";
}

/** What a connection says of itself at a place. */
export function loginOf(
  { isTls, db, username, password }: RedisPlace,
  { tls }: Pick<RedisOptions, "tls">,
): Login {
  return {
    isTls,
    db,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls }),
  };
}

function routesTo(
  place: RedisPlace,
  login: Login,
  size: number,
  scripts: readonly Script[],
  sent: () => void,
): Routes {
  if (place.kind === "cluster") return new Cluster(place.addresses, login, size, scripts, sent);
  if (place.kind === "standalone")
    return new SingleServer(() => Promise.resolve(place.addresses[0]), login, size, scripts);
  const sentinels = new Sentinels(place, login);
  return new SingleServer(() => sentinels.master(), login, size, scripts);
}

/** A Redis that has just been started reads its data first: that is waited for, as nothing else is. */
async function whenLoaded(open: () => Promise<void>): Promise<void> {
  const end = performance.now() + LOADING_MS;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const { cause } = error as Error;
      const isLoading = cause instanceof ReplyError && cause.code === "LOADING";
      if (!isLoading || performance.now() > end) throw error;
      await wait(LOADING_CHECK_MS);
    }
  }
}

function within(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new InvalidRequestError(`Expected ${name} to be a whole number from ${min} to ${max}, got ${value}`);
}
