import type { OutgoingHttpHeaders } from "node:http";
import type { FastifyReply } from "fastify";

/** How long the rest of a request that was answered early is still taken in. */
const LINGER_MS = 2_000;

/**
 * Answers a request whose body is still on its way, takes in what comes of it for a moment, and closes the
 * connection. Closed at once, with bytes unread, it would be reset, and the client would lose the answer.
 * Source: RFC 9112, section 9.6.
 */
export function answerEarly(reply: FastifyReply, text = ""): void {
  reply.hijack();
  const { raw: response } = reply;
  const { raw: request } = reply.request;
  response.writeHead(response.statusCode, {
    ...(reply.getHeaders() as OutgoingHttpHeaders),
    "content-length": Buffer.byteLength(text),
    connection: "close",
  });
  response.write(text);
  const end = (): void => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, LINGER_MS);
  request.once("close", end);
  request.resume();
}
