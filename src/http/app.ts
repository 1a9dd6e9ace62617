import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { DibsError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import { answerBrokenRequest } from "./broken-request.ts";
import { requestIds } from "./request-id.ts";
import type { Responder } from "./respond.ts";
import { unmatched } from "./unmatched.ts";

/** The Fastify instance under the server: its bounds in time and size, and what stands before every route. */

const REQUEST_TIMEOUT_MS = 120_000;
const HEADERS_TIMEOUT_MS = 20_000;
/** Longer than the longest wait; ends connections whose other side neither reads nor writes any more. */
const SILENCE_MS = LIMITS.waitMsMax + 60_000;
/** Longer than the 60 s of common load balancers, which must be the first to close. */
const KEEP_ALIVE_MS = 72_000;
const CHECK_INTERVAL_MS = 2_000;
/** Beyond any id, so that a path with a long one is answered by its route. */
const PARAM_LENGTH_MAX = 16_384;

type Refusal = (request: FastifyRequest) => DibsError | undefined;

/** An app without routes, which lets no request in that `refusal` has an error for. */
export function guardedApp(
  responder: Responder,
  refusal: Refusal,
  requestTimeoutMs = REQUEST_TIMEOUT_MS,
): FastifyInstance {
  const app = fastify(requestTimeoutMs, (error, request, reply) =>
    responder.fail(request, reply, refusal(request) ?? error),
  );
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
  return app;
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
