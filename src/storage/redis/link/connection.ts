import { readFileSync } from "node:fs";
import * as net from "node:net";
import * as tls from "node:tls";
import { mark } from "../../../claim-marks.ts";
import { InvalidRequestError, StorageUnavailableError } from "../../../task/errors.ts";
import { commandText } from "./command-text.ts";
import { whyNoConnection } from "./connect-trouble.ts";
import type { Address, RedisPlace } from "./redis-url.ts";
import { shownAddress } from "./redis-url.ts";
import { type Reply, ReplyError, ReplyParser } from "./reply-parser.ts";

/** Somebody who waits for one reply; exactly one of the three is called, once. */
export interface Waiter {
  /** Until when the reply must be here, `performance.now()` milliseconds. */
  readonly dueAt: number;
  answered(value: Reply): void;
  refused(error: ReplyError, by: Connection): void;
  /** The connection ended first: whether the command was executed is not known. */
  lost(reason: string): void;
}

export interface TlsOptions {
  /** Each a path, or the PEM text itself. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Default true. */
  readonly rejectUnauthorized?: boolean;
}

/** Who we are on a server. */
export interface Login extends Pick<RedisPlace, "isTls" | "username" | "password" | "db"> {
  readonly tls?: TlsOptions;
}

/** What a server says of itself when we come in. */
export interface Greeting {
  readonly version: string;
  readonly mode: string;
  readonly role: string;
}

/** TCP, TLS and the greeting together. Longer than any healthy network takes, short enough to wait for at a start. */
const CONNECT_MS = 4_000;
/** For the kernel's own probes, which also keep a NAT or firewall from forgetting us. */
const KEEPALIVE_MS = 15_000;
/** What may wait for a socket that takes no more, before further calls are refused. */
const UNSENT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * One connection to one server, from its greeting to its end; it is never opened again.
 *
 * What is sent within one tick is written at its end, in order, as one write: a system call costs more than
 * making a command. Replies come in the order of the commands. Nothing is ever sent twice.
 */
export class Connection {
  readonly address: Address;
  readonly #socket: net.Socket;
  readonly #parser: ReplyParser;
  #waiters: Waiter[] = [];
  #first = 0;
  #out = "";
  #end: string | undefined;
  #greeting: Greeting = { version: "", mode: "", role: "" };
  /** When bytes last came, `performance.now()` milliseconds. */
  heardAt = performance.now();
  onPush: (items: Reply[]) => void = () => undefined;
  onEnd: (reason: string) => void = () => undefined;
  readonly #flush = () => {
    mark("flushed", this);
    const out = this.#out;
    this.#out = "";
    if (this.#end === undefined) this.#socket.write(out);
  };

  private constructor(address: Address, socket: net.Socket) {
    this.address = address;
    this.#socket = socket;
    this.#parser = new ReplyParser(
      (reply) => this.#reply(reply),
      (items) => this.#push(items),
    );
    socket.setNoDelay(true).setKeepAlive(true, KEEPALIVE_MS);
    socket.on("data", (bytes: Buffer) => this.#data(bytes));
    socket.on("error", (error) => this.end(error.message));
    socket.on("close", () => this.end("Redis closed it"));
  }

  /** Connects and logs in. @throws StorageUnavailableError that says why not, and what to do. */
  static async open(address: Address, login: Login): Promise<Connection> {
    let connection: Connection | undefined;
    const socket = socketTo(address, login);
    let expired = false;
    const timer = setTimeout(() => {
      expired = true;
      if (connection === undefined) socket.destroy(new Error("no answer"));
      else connection.end("no answer");
    }, CONNECT_MS);
    try {
      await connected(socket, login.isTls ? "secureConnect" : "connect");
      connection = new Connection(address, socket);
      await connection.#greet(login);
      return connection;
    } catch (error) {
      socket.destroy();
      throw whyNoConnection(error, address, login, { expired, wasConnected: connection !== undefined });
    } finally {
      clearTimeout(timer);
    }
  }

  get greeting(): Greeting {
    return this.#greeting;
  }

  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /** How many replies are waited for. */
  get waiting(): number {
    return this.#waiters.length - this.#first;
  }

  /** When the oldest reply that is waited for is due; undefined when none is. */
  get dueAt(): number | undefined {
    return this.#waiters[this.#first]?.dueAt;
  }

  get isChoked(): boolean {
    return this.#socket.writableLength > UNSENT_BYTES_MAX;
  }

  /** Sends a command of {@link commandText}. The connection must be open. */
  send(text: string, waiter: Waiter): void {
    this.#waiters.push(waiter);
    if (this.#out === "") process.nextTick(this.#flush);
    this.#out += text;
  }

  /** Sends one command and waits; rejects with a `ReplyError`, or when the connection ends or is late. */
  ask(name: string, args: readonly (string | number)[], timeoutMs = CONNECT_MS): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const lost = (reason: string) =>
        reject(new StorageUnavailableError(`Lost the connection to Redis at ${this.where}: ${reason}`));
      if (this.#end !== undefined) return lost(this.#end);
      const dueAt = performance.now() + timeoutMs;
      this.send(commandText(name, args), { dueAt, answered: resolve, refused: reject, lost });
    });
  }

  get where(): string {
    return shownAddress(this.address);
  }

  /** Ends it at once; all who wait are told. */
  end(reason: string): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#out = "";
    this.#socket.destroy();
    const waiters = this.#waiters.slice(this.#first);
    this.#waiters = [];
    this.#first = 0;
    for (const waiter of waiters) waiter.lost(reason);
    this.onEnd(reason);
  }

  async #greet({ username = "default", password, db }: Login): Promise<void> {
    const auth = password === undefined ? [] : ["AUTH", username, password];
    const hello = this.ask("HELLO", [3, ...auth, "SETNAME", "dibs"]);
    const select = db === 0 ? undefined : this.ask("SELECT", [db]);
    const [facts] = await Promise.all([hello, select]);
    const said = (name: string) => {
      const list = Array.isArray(facts) ? facts : [];
      return String(list[list.indexOf(name) + 1] ?? "");
    };
    this.#greeting = { version: said("version"), mode: said("mode"), role: said("role") };
  }

  #data(bytes: Buffer): void {
    this.heardAt = performance.now();
    try {
      this.#parser.feed(bytes);
    } catch (error) {
      this.end(error instanceof Error ? error.message : String(error));
    }
  }

  #reply(reply: Reply): undefined {
    const waiter = this.#waiters[this.#first];
    if (waiter === undefined) throw new Error("Redis answered what nobody asked");
    this.#first += 1;
    if (this.#first === this.#waiters.length) {
      this.#waiters.length = 0;
      this.#first = 0;
    } else if (this.#first === 4_096) {
      this.#waiters.splice(0, this.#first);
      this.#first = 0;
    }
    if (reply instanceof ReplyError) waiter.refused(reply, this);
    else waiter.answered(reply);
  }

  /** Redis confirms a subscription by a push, in the place of a reply. */
  #push(items: Reply[]): undefined {
    if (items[0] === "subscribe" || items[0] === "unsubscribe") this.#reply(items);
    else this.onPush(items);
  }
}

function socketTo({ host, port }: Address, { isTls, tls: options = {} }: Login): net.Socket {
  if (!isTls) return net.connect({ host, port });
  const { ca, cert, key, rejectUnauthorized = true } = options;
  return tls.connect({
    host,
    port,
    rejectUnauthorized,
    ...(net.isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca: pem("ca", ca) }),
    ...(cert !== undefined && { cert: pem("cert", cert) }),
    ...(key !== undefined && { key: pem("key", key) }),
  });
}

function pem(name: string, pathOrText: string): string {
  if (pathOrText.includes("-----BEGIN ")) return pathOrText;
  try {
    return readFileSync(pathOrText, "utf8");
  } catch (cause) {
    throw new InvalidRequestError(`Cannot read tls.${name} from ${pathOrText}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function connected(socket: net.Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(new Error("it closed the connection"));
    socket.once("error", reject).once("close", closed);
    socket.once(event, () => {
      socket.off("error", reject).off("close", closed);
      resolve();
    });
  });
}
