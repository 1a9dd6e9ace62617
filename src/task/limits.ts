/**
 * Every bound of the product in one place: the schemas, the broker and the engines read them here.
 * Sizes are bytes of UTF-8 unless the name says `Length` (characters). Durations are milliseconds.
 */
export const LIMITS = {
  priorityMin: 0,
  priorityMax: 9,
  maxAttemptsMin: 1,
  maxAttemptsMax: 100,
  idLengthMax: 128,
  queueLengthMax: 100,
  idempotencyKeyLengthMax: 200,
  /** How long an idempotency key is remembered, counted from its first enqueue. */
  idempotencyKeyMs: 24 * 60 * 60 * 1_000,
  /** A payload or a result; the server may be configured lower or higher. */
  payloadBytesMax: 1024 * 1024,
  /** A request body, the payloads of one claim, and a page of a listing. */
  bodyBytesMax: 16 * 1024 * 1024,
  /** How deep arrays and objects may nest in a body: deeper ones break the parsers of other languages. */
  jsonDepthMax: 512,
  batchMax: 1_000,
  claimMax: 1_000,
  claimQueuesMax: 16,
  leaseMsMin: 1_000,
  leaseMsMax: 12 * 60 * 60 * 1_000,
  waitMsMax: 60_000,
  workerLengthMax: 100,
  errorBytesMax: 10 * 1024,
  failuresMax: 10,
  failureErrorBytesMax: 1024,
  releasesMax: 100,
  tagsMax: 32,
  tagKeyLengthMax: 100,
  tagValueLengthMax: 1_000,
  /** Ten years: a longer delay is a unit mistake more often than a wish. */
  delayMsMax: 10 * 366 * 24 * 60 * 60 * 1_000,
  /** The last millisecond of the year 9999, the end of what ISO 8601 writes with four digits. */
  runAtMax: 253_402_300_799_999,
  backoffBaseMsMax: 24 * 60 * 60 * 1_000,
  backoffCapMsMax: 30 * 24 * 60 * 60 * 1_000,
  listMax: 200,
  requeueMax: 10_000,
  /** Items of one step of a loop or of an admin call (I9). */
  stepMax: 500,
  /** A finished record lives at least so long, so that a waiting reader always sees the end. */
  retentionMsMin: 10_000,
  maxDepthMax: 1_000_000_000,
} as const;

/** What a queue name looks like; it never contains `~`, which separates it from the rest of a task id. */
export const QUEUE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
