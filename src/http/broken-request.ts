import { randomUUID } from "node:crypto";
import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { InvalidRequestError } from "../task/errors.ts";
import { errorAnswer } from "./errors.ts";

/**
 * Answers what never became a request: bytes that are not HTTP, headers too long, or a request that did not
 * arrive in time. The connection ends with it, for where the next request would begin is unknown.
 */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  const before = (socket as Socket & { readonly _httpMessage?: ServerResponse | null })._httpMessage;
  if (error.code === "ECONNRESET" || !socket.writable || before?.headersSent === true) {
    socket.destroy();
  } else if (before?.req.complete === true) {
    // A whole request came first. Its answer must not be taken for this one, nor this one's for it.
    before.once("finish", () => socket.destroySoon());
  } else refuse(error, socket);
}

function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  const { status, text = "" } = errorAnswer(new InvalidRequestError(reasonOf(error)), randomUUID());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(text)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`, () => socket.destroy());
}

function reasonOf({ code }: NodeJS.ErrnoException): string {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return "The request did not arrive in time";
    case "HPE_HEADER_OVERFLOW":
      return "Expected headers of 16 kB or less, got more";
    default:
      return "Expected HTTP/1.1, got something else";
  }
}
