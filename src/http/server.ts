import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { pino } from "pino";
import type { Broker } from "../broker/broker.ts";
import type { ClaimedTask } from "../task/task.ts";
import { admission } from "./admission.ts";
import { guardedApp } from "./app.ts";
import { Tokens } from "./auth.ts";
import { claimRoutes } from "./claims.ts";
import { Connections } from "./connections.ts";
import { docsRoutes } from "./docs.ts";
import { healthRoutes } from "./health.ts";
import type { ServerLogger } from "./logger.ts";
import { assertLoopback } from "./loopback.ts";
import { queueRoutes } from "./queues.ts";
import { Responder } from "./respond.ts";
import { register } from "./router.ts";
import { taskRoutes } from "./tasks.ts";
import { Waits } from "./waits.ts";

export interface ServerOptions {
  /** Static tokens; every route but the health checks asks for one of them. Default: none, no authentication. */
  readonly tokens?: readonly string[];
  /** Without tokens: listen beyond loopback, and answer the pages of other sites. Default false. */
  readonly insecure?: boolean;
  /** Default: pino at level `info` on standard output. A claim is a line at `debug` only. */
  readonly logger?: ServerLogger;
  /** How long `close()` waits for requests that have begun, milliseconds. Default 10,000. */
  readonly drainMs?: number;
  /**
   * How long a request may take to arrive, milliseconds. Default 120,000: 16 MiB at 1.2 Mbit/s. Too small
   * refuses large bodies over slow lines; too large lets clients that say nothing keep their connections.
   */
  readonly requestTimeoutMs?: number;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

export interface DibsServer {
  /** Resolves to the URL. @throws {InvalidRequestError} for a host beyond loopback without tokens. */
  listen(options: ListenOptions): Promise<string>;
  /**
   * Drains: takes no new requests, answers at once those that wait, finishes the others, closes the
   * connections. Leases stay as they are, and so does the broker.
   */
  close(): Promise<void>;
  /** Serves a request that does not come from the network. */
  readonly inject: FastifyInstance["inject"];
  readonly app: FastifyInstance;
}

const DRAIN_MS = 10_000;
/** The HTTP server over a broker, ready to listen. */
export async function createServer(broker: Broker, options: ServerOptions = {}): Promise<DibsServer> {
  return new HttpServer(broker, options);
}

class HttpServer implements DibsServer {
  readonly app: FastifyInstance;
  readonly inject: FastifyInstance["inject"];
  readonly #broker: Broker;
  readonly #logger: ServerLogger;
  readonly #drainMs: number;
  readonly #isGuarded: boolean;
  readonly #connections: Connections;
  readonly #waits = new Waits();
  #isDraining = false;
  #closing: Promise<void> | undefined;

  constructor(broker: Broker, options: ServerOptions) {
    const { insecure = false, logger = pino() } = options;
    const tokens = new Tokens(options.tokens ?? []);
    const isDraining = (): boolean => this.#isDraining;
    const responder = new Responder({ logger, isDraining, giveBack: (tasks) => this.#giveBack(tasks) });
    this.#broker = broker;
    this.#logger = logger;
    this.#drainMs = options.drainMs ?? DRAIN_MS;
    this.#isGuarded = tokens.required || insecure;
    this.app = guardedApp(responder, admission({ tokens, insecure, isDraining }), options.requestTimeoutMs);
    this.inject = this.app.inject.bind(this.app) as FastifyInstance["inject"];
    this.#connections = new Connections(this.app.server);
    register(this.app, responder, this.#waits, {
      ...taskRoutes(broker),
      ...claimRoutes(broker),
      ...queueRoutes(broker),
      ...healthRoutes(broker, isDraining),
      ...docsRoutes(tokens.required),
    });
  }

  async listen({ host, port }: ListenOptions): Promise<string> {
    if (!this.#isGuarded) assertLoopback(host);
    // The name means two addresses on most machines; the server has one.
    await this.app.listen({ host: host === "localhost" ? "127.0.0.1" : host, port });
    const url = urlOf(this.app.server.address() as AddressInfo);
    this.#logger.debug({ url }, `Listening on ${url}`);
    return url;
  }

  close(): Promise<void> {
    this.#isDraining = true;
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    this.#logger.info({ drainMs: this.#drainMs }, "Draining");
    this.#broker.drain();
    this.#waits.endAll();
    const closed = this.app.close();
    this.#connections.closeWithin(this.#drainMs);
    await closed;
    this.#logger.info({}, "Closed");
  }

  #giveBack(tasks: readonly ClaimedTask[]): void {
    this.#broker.giveBack(tasks).catch((err: unknown) => {
      this.#logger.warn({ err }, "Tasks that never arrived wait for the end of their leases");
    });
  }
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
