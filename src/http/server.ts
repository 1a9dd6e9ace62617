import type { AddressInfo } from "node:net";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { pino } from "pino";
import type { Broker } from "../broker/broker.ts";
import { LIMITS } from "../task/limits.ts";
import type { ClaimedTask } from "../task/task.ts";
import { admission } from "./admission.ts";
import { Tokens } from "./auth.ts";
import { answerBrokenRequest } from "./broken-request.ts";
import { claimRoutes } from "./claims.ts";
import { Connections } from "./connections.ts";
import { docsRoutes } from "./docs.ts";
import { healthRoutes } from "./health.ts";
import type { ServerLogger } from "./logger.ts";
import { assertLoopback } from "./loopback.ts";
import { queueRoutes } from "./queues.ts";
import { requestIds } from "./request-id.ts";
import { Responder } from "./respond.ts";
import { register } from "./router.ts";
import { taskRoutes } from "./tasks.ts";
import { unmatched } from "./unmatched.ts";
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
const REQUEST_TIMEOUT_MS = 120_000;
const HEADERS_TIMEOUT_MS = 20_000;
/** Longer than the longest wait; ends connections whose other side neither reads nor writes any more. */
const SILENCE_MS = LIMITS.waitMsMax + 60_000;
/** Longer than the 60 s of common load balancers, which must be the first to close. */
const KEEP_ALIVE_MS = 72_000;
const CHECK_INTERVAL_MS = 2_000;
/** Beyond any id, so that a path with a long one is answered by its route. */
const PARAM_LENGTH_MAX = 16_384;

/** The HTTP server over a broker, ready to listen. */
export async function createServer(broker: Broker, options: ServerOptions = {}): Promise<DibsServer> {
  const { tokens = [], insecure = false, logger = pino(), drainMs = DRAIN_MS } = options;
  const guard = new Tokens(tokens);
  const waits = new Waits();
  let draining: Promise<void> | undefined;
  const isDraining = (): boolean => draining !== undefined;
  const giveBack = (tasks: readonly ClaimedTask[]): void => {
    broker
      .giveBack(tasks)
      .catch((err: unknown) =>
        logger.warn({ err }, "Tasks that never arrived wait for the end of their leases"),
      );
  };
  const responder = new Responder({ logger, isDraining, giveBack });

  const refusal = admission({ tokens: guard, insecure, isDraining });
  const app = fastify(options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS, (error, request, reply) =>
    responder.fail(request, reply, refusal(request) ?? error),
  );
  const connections = new Connections(app.server);
  guardAndCatch(app, responder, refusal);
  register(app, responder, waits, {
    ...taskRoutes(broker),
    ...claimRoutes(broker),
    ...queueRoutes(broker),
    ...healthRoutes(broker, isDraining),
    ...docsRoutes(guard.required),
  });

  const drain = async (): Promise<void> => {
    logger.info({ drainMs }, "Draining");
    broker.drain();
    waits.endAll();
    const closed = app.close();
    connections.closeWithin(drainMs);
    await closed;
    logger.info({}, "Closed");
  };

  return {
    app,
    inject: app.inject.bind(app) as FastifyInstance["inject"],
    async listen({ host, port }) {
      if (!guard.required && !insecure) assertLoopback(host);
      // The name means two addresses on most machines; the server has one.
      await app.listen({ host: host === "localhost" ? "127.0.0.1" : host, port });
      const url = urlOf(app.server.address() as AddressInfo);
      logger.info({ url }, `Listening on ${url}`);
      return url;
    },
    close() {
      draining ??= drain();
      return draining;
    },
  };
}

type OnFault = (error: unknown, request: FastifyRequest, reply: FastifyReply) => void;

/** `onBadPath` answers requests whose path cannot be read, which never come to a route. */
function fastify(requestTimeout: number, onBadPath: OnFault): FastifyInstance {
  return Fastify({
    // Requests are logged where they are answered, with their ids; a logger of Fastify's for each costs more.
    logger: false,
    bodyLimit: LIMITS.bodyBytesMax,
    connectionTimeout: SILENCE_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout,
    // Draining has its own answer.
    return503OnClosing: false,
    genReqId: requestIds(),
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: onBadPath,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    http: {
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeout),
      connectionsCheckingInterval: Math.min(CHECK_INTERVAL_MS, requestTimeout),
      keepAlive: true,
    },
  });
}

function guardAndCatch(
  app: FastifyInstance,
  responder: Responder,
  refusal: ReturnType<typeof admission>,
): void {
  app.removeAllContentTypeParsers();
  // Whatever its type is called, a body is JSON: `curl -d` calls it a form.
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("onRequest", (request, reply, done) => {
    const error = refusal(request);
    if (error === undefined) done();
    else responder.fail(request, reply, error);
  });
  app.setErrorHandler((error, request, reply) => responder.fail(request, reply, error));
  app.setNotFoundHandler((request, reply) => {
    try {
      responder.answer(request, reply, unmatched(request));
    } catch (error) {
      responder.fail(request, reply, error);
    }
  });
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
