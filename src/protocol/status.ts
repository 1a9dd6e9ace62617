import type { ErrorCode } from "../task/errors.ts";

/** The HTTP status of each code. The last two are made by the client and never cross the wire. */
export const STATUS: Readonly<Record<ErrorCode, number>> = Object.freeze({
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  task_not_found: 404,
  queue_not_found: 404,
  not_found: 404,
  lease_lost: 409,
  wrong_state: 409,
  idempotency_conflict: 409,
  payload_too_large: 413,
  rate_limited: 429,
  queue_full: 429,
  internal_error: 500,
  storage_unavailable: 503,
  shutting_down: 503,
  timeout: 504,
  connection_lost: 504,
});
