/**
 * Every error that a user can meet, each with its stable code. The HTTP status of a code stands in
 * `protocol/status.ts`; the client rebuilds the same class from the code with {@link errorFromCode}.
 */
export type ErrorCode =
  | "invalid_request"
  | "unauthorized"
  | "forbidden"
  | "task_not_found"
  | "queue_not_found"
  | "not_found"
  | "lease_lost"
  | "wrong_state"
  | "idempotency_conflict"
  | "payload_too_large"
  | "rate_limited"
  | "queue_full"
  | "storage_unavailable"
  | "shutting_down"
  | "timeout"
  | "connection_lost"
  | "internal_error";

export type ErrorDetails = Readonly<Record<string, unknown>>;

export interface DibsErrorOptions extends ErrorOptions {
  readonly details?: ErrorDetails;
  readonly requestId?: string;
}

const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  "rate_limited",
  "queue_full",
  "storage_unavailable",
  "shutting_down",
  "timeout",
  "connection_lost",
]);

/** The base of all errors of Dibs. `message` names the thing, the bound and the value. */
export class DibsError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  /** The id of the request that failed, when it crossed HTTP. */
  declare readonly requestId?: string;

  constructor(code: ErrorCode, message: string, options: DibsErrorOptions = {}) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.details = options.details ?? {};
    if (options.requestId !== undefined) this.requestId = options.requestId;
  }

  /** True when the same call can succeed later without a change. */
  get retryable(): boolean {
    return RETRYABLE.has(this.code);
  }
}

type Construct = new (message: string, options?: DibsErrorOptions) => DibsError;

function coded(code: ErrorCode): Construct {
  return class extends DibsError {
    constructor(message: string, options?: DibsErrorOptions) {
      super(code, message, options);
    }
  };
}

export class InvalidRequestError extends coded("invalid_request") {}
export class UnauthorizedError extends coded("unauthorized") {}
export class ForbiddenError extends coded("forbidden") {}
export class TaskNotFoundError extends coded("task_not_found") {}
export class QueueNotFoundError extends coded("queue_not_found") {}
export class NotFoundError extends coded("not_found") {}
export class LeaseLostError extends coded("lease_lost") {}
export class WrongStateError extends coded("wrong_state") {}
export class IdempotencyConflictError extends coded("idempotency_conflict") {}
export class PayloadTooLargeError extends coded("payload_too_large") {}
export class RateLimitedError extends coded("rate_limited") {}
export class QueueFullError extends coded("queue_full") {}
export class StorageUnavailableError extends coded("storage_unavailable") {}
export class ShuttingDownError extends coded("shutting_down") {}
export class TimeoutError extends coded("timeout") {}
export class ConnectionLostError extends coded("connection_lost") {}
export class InternalError extends coded("internal_error") {}

const BY_CODE: Readonly<Record<ErrorCode, Construct>> = {
  invalid_request: InvalidRequestError,
  unauthorized: UnauthorizedError,
  forbidden: ForbiddenError,
  task_not_found: TaskNotFoundError,
  queue_not_found: QueueNotFoundError,
  not_found: NotFoundError,
  lease_lost: LeaseLostError,
  wrong_state: WrongStateError,
  idempotency_conflict: IdempotencyConflictError,
  payload_too_large: PayloadTooLargeError,
  rate_limited: RateLimitedError,
  queue_full: QueueFullError,
  storage_unavailable: StorageUnavailableError,
  shutting_down: ShuttingDownError,
  timeout: TimeoutError,
  connection_lost: ConnectionLostError,
  internal_error: InternalError,
};

/** All codes, for the test that compares them with `docs/protocol.md`. */
export const ERROR_CODES = Object.keys(BY_CODE) as readonly ErrorCode[];

/** Rebuilds the error of a code that came over the wire; an unknown code becomes `internal_error`. */
export function errorFromCode(code: string, message: string, options?: DibsErrorOptions): DibsError {
  const known = Object.hasOwn(BY_CODE, code) ? BY_CODE[code as ErrorCode] : InternalError;
  return new known(message, options);
}
