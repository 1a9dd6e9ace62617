import { connect, type Socket } from "node:net";
import { Broker } from "../../src/broker/broker.ts";
import { ManualClock } from "../../src/clock.ts";
import type { ServerLogger } from "../../src/http/logger.ts";
import { createServer, type DibsServer, type ServerOptions } from "../../src/http/server.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";

/** What a server answered. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as a value; undefined when it is not JSON. */
  readonly json: Json;
}

// A body that a test looks into: what is not there is undefined, and fails the test that expects it.
// biome-ignore lint/suspicious/noExplicitAny: a schema for each look would say less than the look.
export type Json = any;

export const SILENT: ServerLogger = Object.freeze({
  debug() {},
  info() {},
  warn() {},
  error() {},
  isLevelEnabled: () => false,
});

export interface ServingOptions extends ServerOptions {
  readonly payloadBytesMax?: number;
  /** Default: a clock that stands still. */
  readonly realTime?: boolean;
}

/** A real server on a free port, over a real broker and the embedded engine in memory. */
export class Serving implements AsyncDisposable {
  readonly url: string;
  readonly clock: ManualClock;
  readonly storage: EmbeddedStorage;
  readonly broker: Broker;
  readonly server: DibsServer;
  #queues = 0;

  private constructor(
    url: string,
    clock: ManualClock,
    storage: EmbeddedStorage,
    broker: Broker,
    server: DibsServer,
  ) {
    this.url = url;
    this.clock = clock;
    this.storage = storage;
    this.broker = broker;
    this.server = server;
  }

  static async start({
    payloadBytesMax,
    realTime = false,
    ...options
  }: ServingOptions = {}): Promise<Serving> {
    const clock = new ManualClock();
    const storage = await EmbeddedStorage.open(realTime ? {} : { clock });
    const broker = await Broker.open(storage, payloadBytesMax === undefined ? {} : { payloadBytesMax });
    const server = await createServer(broker, { logger: SILENT, ...options });
    const url = await server.listen({ host: "127.0.0.1", port: 0 });
    return new Serving(url, clock, storage, broker, server);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Moves time, and does what comes due by then. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.broker.runDue();
  }

  /** Asks over a real socket. A body that is not text is sent as JSON. */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Reply> {
    const response = await fetch(this.url + path, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: parsed(text) };
  }

  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply> {
    return this.ask("POST", path, body, headers);
  }

  get(path: string, headers?: Record<string, string>): Promise<Reply> {
    return this.ask("GET", path, undefined, headers);
  }

  /** Enqueues into `q` and answers the task. */
  async enqueue(fields: object = {}): Promise<Json> {
    return (await this.post("/v1/tasks", { queue: "q", ...fields })).json;
  }

  /** Claims from `q` and answers the tasks. */
  async claim(fields: object = {}): Promise<Json[]> {
    return (await this.post("/v1/claims", { queues: ["q"], ...fields })).json?.tasks ?? [];
  }

  /** Enqueues a task into a queue of its own and claims it. */
  async claimed(fields: object = {}): Promise<Json> {
    this.#queues += 1;
    const { queue } = await this.enqueue({ queue: `own-${this.#queues}`, ...fields });
    const [task] = await this.claim({ queues: [queue] });
    return task;
  }

  connect(): Promise<RawConnection> {
    return RawConnection.open(this.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.broker.close();
  }
}

/** A socket that speaks bytes, for what no client would send. */
export class RawConnection {
  readonly socket: Socket;
  /** All that came. */
  received = "";
  isClosed = false;
  readonly #changed = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.received += chunk.toString("latin1");
      this.#tell();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      this.#tell();
    });
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawConnection(socket)));
    });
  }

  write(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  /** The text of a request, with its length. */
  static request(method: string, path: string, body = "", headers: Record<string, string> = {}): string {
    const all = {
      host: "127.0.0.1",
      ...(body === "" ? {} : { "content-length": Buffer.byteLength(body) }),
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
    return `${[`${method} ${path} HTTP/1.1`, ...lines].join("\r\n")}\r\n\r\n${body}`;
  }

  /** Resolves when so many answers' heads came, with all their status codes. */
  async answers(count: number): Promise<number[]> {
    await this.until(() => this.#statuses().length >= count || this.isClosed);
    return this.#statuses();
  }

  async closed(): Promise<void> {
    await this.until(() => this.isClosed);
  }

  /** Resolves as soon as `condition` holds; it is asked again whenever something came. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => this.#changed.add(resolve));
    }
  }

  /** Closes at once, as a process does that dies. */
  vanish(): void {
    this.socket.resetAndDestroy();
  }

  #statuses(): number[] {
    return [...this.received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  }

  #tell(): void {
    for (const resolve of this.#changed) resolve();
    this.#changed.clear();
  }
}

/** Asks again until the answer satisfies; for what another connection does in its own time. */
export async function eventually<T>(look: () => Promise<T>, satisfied: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look();
    if (satisfied(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
