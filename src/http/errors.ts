import { errorMessage } from "../protocol/json.ts";
import { STATUS } from "../protocol/status.ts";
import { DibsError, InternalError, InvalidRequestError, PayloadTooLargeError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import type { Answer } from "./answer.ts";

/** Seconds after which a refusal for lack of room or time is worth another try. */
const RETRY_AFTER_SECONDS = "1";
const TELLS_WHEN = new Set([429, 503]);

/** The one form that every error takes on the wire. */
export function errorAnswer(error: DibsError, requestId: string): Answer {
  const status = STATUS[error.code];
  return {
    status,
    text: JSON.stringify({ error: errorMessage(error), requestId }),
    headers: {
      ...headersOf(error),
      ...(TELLS_WHEN.has(status) ? { "retry-after": RETRY_AFTER_SECONDS } : {}),
    },
  };
}

/** Headers that belong to an error wherever it is answered. */
const HEADERS = new WeakMap<DibsError, Readonly<Record<string, string>>>();

export function withHeaders<E extends DibsError>(error: E, headers: Readonly<Record<string, string>>): E {
  HEADERS.set(error, headers);
  return error;
}

function headersOf(error: DibsError): Readonly<Record<string, string>> {
  return HEADERS.get(error) ?? {};
}

/**
 * Whatever was thrown, as an error with a code. The faults that Fastify finds in a request are its user's;
 * anything unknown is ours: it becomes `internal_error` with the cause for the log, and says nothing of it.
 */
export function codedError(thrown: unknown): DibsError {
  if (thrown instanceof DibsError) return thrown;
  const { code, statusCode, message } = (thrown ?? {}) as FrameworkError;
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") return bodyTooLarge();
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE")
    return malformed("the `Content-Type` header", "a media type");
  if (code === "FST_ERR_BAD_URL") return malformed("the path", "percent-encoded UTF-8");
  if (code === "FST_ERR_CTP_INVALID_CONTENT_LENGTH")
    return malformed("the body", "as long as `Content-Length` says");
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new InvalidRequestError(message ?? "The request is malformed");
  }
  return new InternalError("The server met an error that it does not know; its log has the details", {
    cause: thrown,
  });
}

interface FrameworkError {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message?: string;
}

function malformed(what: string, expected: string): InvalidRequestError {
  return new InvalidRequestError(`Expected ${what} to be ${expected}`);
}

function bodyTooLarge(): PayloadTooLargeError {
  return new PayloadTooLargeError(`Expected a body of ${LIMITS.bodyBytesMax} bytes or less, got more`, {
    details: { field: "body", bound: LIMITS.bodyBytesMax },
  });
}
