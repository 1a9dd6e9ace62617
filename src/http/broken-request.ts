import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { InvalidRequestError } from "../task/errors.ts";
import { errorAnswer } from "./errors.ts";

/**
 * Answers what never became a request: bytes that are not HTTP, headers too long, or a request that did not
 * arrive in time. The connection ends with it, for where the next request would begin is unknown.
 */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable || hasAnswered(socket)) {
    socket.destroy();
    return;
  }
  const { status, text = "" } = errorAnswer(new InvalidRequestError(reasonOf(error)), randomUUID());
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(text)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`, () => socket.destroy());
}

// An answer that has begun must not get another one into its middle.
function hasAnswered(socket: Socket): boolean {
  const { _httpMessage: message } = socket as Socket & {
    readonly _httpMessage?: { readonly headersSent: boolean };
  };
  return message?.headersSent === true;
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
