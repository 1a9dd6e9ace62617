import { type Static, Type } from "typebox";
import { LIMITS, QUEUE_NAME } from "../task/limits.ts";
import { TASK_STATES } from "../task/task.ts";

/**
 * What crosses the wire, once: these schemas validate requests, type both ends, and become the OpenAPI
 * document. Payloads and results are any JSON. Unknown fields are refused.
 */
const strict = { additionalProperties: false } as const;

// Half of a surrogate pair cannot be written as UTF-8, so it would come back as another text.
const wellFormed = "^\\P{Cs}*$";

const EpochMs = Type.Integer({ minimum: 0, maximum: LIMITS.runAtMax, description: "Epoch milliseconds." });
const Json = Type.Unknown({ description: "Any JSON." });
const QueueNameText = Type.String({
  pattern: QUEUE_NAME.source,
  description: "1 to 100 of A-Z a-z 0-9 . _ -, beginning with a letter or digit.",
});
const LeaseTokenText = Type.String({
  minLength: 1,
  maxLength: 200,
  description: "From the claim's `lease.token`.",
});
const IdText = Type.String({ minLength: 1, maxLength: LIMITS.idLengthMax });
const WorkerLabel = Type.String({ maxLength: LIMITS.workerLengthMax, pattern: wellFormed });
const WaitMs = Type.Integer({ minimum: 0, maximum: LIMITS.waitMsMax });
const LeaseMs = Type.Integer({ minimum: LIMITS.leaseMsMin, maximum: LIMITS.leaseMsMax });
const DelayMs = Type.Integer({ minimum: 0, maximum: LIMITS.delayMsMax });
const MaxAttempts = Type.Integer({ minimum: LIMITS.maxAttemptsMin, maximum: LIMITS.maxAttemptsMax });
const Tags = Type.Unsafe<Readonly<Record<string, string>>>({
  type: "object",
  additionalProperties: { type: "string", maxLength: LIMITS.tagValueLengthMax, pattern: wellFormed },
  propertyNames: { type: "string", minLength: 1, maxLength: LIMITS.tagKeyLengthMax, pattern: wellFormed },
  maxProperties: LIMITS.tagsMax,
  description: "Text values by name.",
});
const State = Type.Enum([...TASK_STATES]);
const StateButLeased = Type.Enum(["scheduled", "ready", "completed", "dead", "cancelled"]);

export const BackoffPatch = Type.Object(
  {
    type: Type.Optional(Type.Enum(["fixed", "linear", "exponential"])),
    baseMs: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.backoffBaseMsMax })),
    capMs: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.backoffCapMsMax })),
    jitter: Type.Optional(Type.Enum(["none", "equal", "full"])),
  },
  strict,
);

export const EnqueueBody = Type.Object(
  {
    queue: QueueNameText,
    payload: Type.Optional(Json),
    priority: Type.Optional(Type.Integer({ minimum: LIMITS.priorityMin, maximum: LIMITS.priorityMax })),
    delayMs: Type.Optional(DelayMs),
    runAt: Type.Optional(
      Type.Union([EpochMs, Type.String({ maxLength: 40, description: "ISO 8601 with a zone." })]),
    ),
    maxAttempts: Type.Optional(MaxAttempts),
    backoff: Type.Optional(BackoffPatch),
    idempotencyKey: Type.Optional(
      Type.String({ minLength: 1, maxLength: LIMITS.idempotencyKeyLengthMax, pattern: wellFormed }),
    ),
    tags: Type.Optional(Tags),
  },
  strict,
);
export type EnqueueBody = Static<typeof EnqueueBody>;

export const EnqueueBatchBody = Type.Object(
  { tasks: Type.Array(EnqueueBody, { minItems: 1, maxItems: LIMITS.batchMax }) },
  strict,
);
export type EnqueueBatchBody = Static<typeof EnqueueBatchBody>;

export const ClaimBody = Type.Object(
  {
    queues: Type.Array(QueueNameText, { minItems: 1, maxItems: LIMITS.claimQueuesMax }),
    max: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.claimMax })),
    leaseMs: Type.Optional(LeaseMs),
    waitMs: Type.Optional(WaitMs),
    worker: Type.Optional(WorkerLabel),
  },
  strict,
);
export type ClaimBody = Static<typeof ClaimBody>;

export const CompleteBody = Type.Object({ leaseToken: LeaseTokenText, result: Type.Optional(Json) }, strict);
export type CompleteBody = Static<typeof CompleteBody>;

export const NackBody = Type.Object(
  {
    leaseToken: LeaseTokenText,
    error: Type.Optional(Type.String()),
    delayMs: Type.Optional(DelayMs),
    retry: Type.Optional(Type.Boolean({ description: "false: dead letter now." })),
  },
  strict,
);
export type NackBody = Static<typeof NackBody>;

export const ReleaseBody = Type.Object(
  {
    leaseToken: Type.Optional(LeaseTokenText),
    force: Type.Optional(Type.Boolean({ description: "By an operator: needs no token." })),
  },
  strict,
);
export type ReleaseBody = Static<typeof ReleaseBody>;

export const HeartbeatBody = Type.Object(
  { leaseToken: LeaseTokenText, leaseMs: Type.Optional(LeaseMs) },
  strict,
);
export type HeartbeatBody = Static<typeof HeartbeatBody>;

export const OutcomeBody = Type.Object(
  {
    id: IdText,
    leaseToken: LeaseTokenText,
    outcome: Type.Enum(["complete", "nack", "release"]),
    result: Type.Optional(Json),
    error: Type.Optional(Type.String()),
    delayMs: Type.Optional(DelayMs),
    retry: Type.Optional(Type.Boolean()),
  },
  strict,
);
export type OutcomeBody = Static<typeof OutcomeBody>;

export const SettleBody = Type.Object(
  {
    outcomes: Type.Array(OutcomeBody, { minItems: 1, maxItems: LIMITS.batchMax }),
    claim: Type.Optional(ClaimBody),
  },
  strict,
);
export type SettleBody = Static<typeof SettleBody>;

export const HeartbeatsBody = Type.Object(
  {
    leases: Type.Array(
      Type.Object({ id: IdText, leaseToken: LeaseTokenText, leaseMs: Type.Optional(LeaseMs) }, strict),
      { minItems: 1, maxItems: LIMITS.batchMax },
    ),
  },
  strict,
);
export type HeartbeatsBody = Static<typeof HeartbeatsBody>;

const count = Type.Integer({ minimum: 0, maximum: LIMITS.maxDepthMax });
const duration = Type.Integer({ minimum: 0, maximum: LIMITS.delayMsMax });

export const RetentionPatch = Type.Object(
  {
    completedMs: Type.Optional(duration),
    completedMax: Type.Optional(count),
    deadMs: Type.Optional(duration),
    deadMax: Type.Optional(count),
    bytesMax: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  },
  strict,
);

export const QueuePatchBody = Type.Object(
  {
    maxAttempts: Type.Optional(MaxAttempts),
    backoff: Type.Optional(BackoffPatch),
    leaseMs: Type.Optional(LeaseMs),
    maxDepth: Type.Optional(
      Type.Union([Type.Null(), Type.Integer({ minimum: 1, maximum: LIMITS.maxDepthMax })]),
    ),
    retention: Type.Optional(RetentionPatch),
  },
  strict,
);
export type QueuePatchBody = Static<typeof QueuePatchBody>;

export const RequeueBody = Type.Object(
  {
    state: Type.Literal("dead"),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.requeueMax })),
  },
  strict,
);
export type RequeueBody = Static<typeof RequeueBody>;

/** For routes that take nothing. */
export const NoFields = Type.Object({}, strict);
export const QueueParams = Type.Object({ queue: QueueNameText }, strict);
export const TaskParams = Type.Object({ id: Type.String() }, strict);
export const ResultQuery = Type.Object({ waitMs: Type.Optional(WaitMs) }, strict);
export const ListQuery = Type.Object(
  {
    state: State,
    cursor: Type.Optional(Type.String({ maxLength: 200 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.listMax })),
  },
  strict,
);
export const PurgeQuery = Type.Object({ state: StateButLeased }, strict);

/** The answers. */
export const FailureMessage = Type.Object({
  attempt: Type.Integer(),
  at: EpochMs,
  worker: Type.Optional(Type.String()),
  error: Type.String(),
});

export const LeaseMessage = Type.Object({
  token: Type.Optional(Type.String({ description: "Only in the answer of a claim." })),
  expiresAt: EpochMs,
  ms: Type.Integer(),
  fence: Type.Integer(),
  claimedAt: EpochMs,
  worker: Type.Optional(Type.String()),
});

export const TaskMessage = Type.Object({
  id: Type.String(),
  queue: Type.String(),
  state: State,
  priority: Type.Integer(),
  payload: Json,
  attempt: Type.Integer(),
  maxAttempts: Type.Integer(),
  createdAt: EpochMs,
  runAt: EpochMs,
  idempotencyKey: Type.Optional(Type.String()),
  tags: Type.Optional(Type.Record(Type.String(), Type.String())),
  lastError: Type.Optional(Type.String()),
  failures: Type.Optional(Type.Array(FailureMessage)),
  result: Type.Optional(Json),
  finishedAt: Type.Optional(EpochMs),
  deadReason: Type.Optional(Type.Enum(["attempts", "refused"])),
  lease: Type.Optional(LeaseMessage),
});
export type TaskMessage = Static<typeof TaskMessage>;
/** A task from a claim: its lease carries the token. */
export type ClaimedTaskMessage = TaskMessage & {
  state: "leased";
  lease: Static<typeof LeaseMessage> & { token: string };
};
/** What is left of a task whose record is gone while its idempotency key is remembered. */
export const PrunedMessage = Type.Object({
  id: Type.String(),
  queue: Type.String(),
  state: Type.Literal("pruned"),
});
export type PrunedMessage = Static<typeof PrunedMessage>;

export const ErrorMessage = Type.Object({
  code: Type.String(),
  message: Type.String(),
  details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});
export type ErrorMessage = Static<typeof ErrorMessage>;
export const ErrorAnswer = Type.Object({ error: ErrorMessage, requestId: Type.String() });
export type ErrorAnswer = Static<typeof ErrorAnswer>;

export type EnqueueAnswer = (TaskMessage | PrunedMessage) & { deduplicated?: true };
export const EnqueueReply = Type.Union([
  Type.Intersect([TaskMessage, Type.Object({ deduplicated: Type.Optional(Type.Literal(true)) })]),
  Type.Intersect([PrunedMessage, Type.Object({ deduplicated: Type.Literal(true) })]),
]);
export type EnqueueItemAnswer =
  | { task: TaskMessage | PrunedMessage; deduplicated?: true }
  | { error: ErrorMessage };
export const EnqueueBatchAnswer = Type.Object({
  results: Type.Array(
    Type.Object({
      task: Type.Optional(Type.Union([TaskMessage, PrunedMessage])),
      deduplicated: Type.Optional(Type.Literal(true)),
      error: Type.Optional(ErrorMessage),
    }),
  ),
});

export const HealthAnswer = Type.Object({ status: Type.Literal("ok") });
export const ResultAnswer = Type.Object({
  state: State,
  result: Type.Optional(Json),
  lastError: Type.Optional(Type.String()),
  finishedAt: Type.Optional(EpochMs),
});
export type ResultAnswer = Static<typeof ResultAnswer>;

export const ClaimAnswer = Type.Object({ tasks: Type.Array(TaskMessage) });
export const SettledAnswer = Type.Object({ id: Type.String(), state: State, runAt: Type.Optional(EpochMs) });
export type SettledAnswer = Static<typeof SettledAnswer>;
export type SettleItemAnswer = SettledAnswer | { id: string; error: ErrorMessage };
export const SettleAnswer = Type.Object({
  results: Type.Array(
    Type.Object({
      id: Type.String(),
      state: Type.Optional(State),
      runAt: Type.Optional(EpochMs),
      error: Type.Optional(ErrorMessage),
    }),
  ),
  tasks: Type.Array(TaskMessage),
});
export const HeartbeatAnswer = Type.Object({ expiresAt: EpochMs });
export type HeartbeatItemAnswer = { id: string; expiresAt: number } | { id: string; error: ErrorMessage };
export const HeartbeatsAnswer = Type.Object({
  results: Type.Array(
    Type.Object({
      id: Type.String(),
      expiresAt: Type.Optional(EpochMs),
      error: Type.Optional(ErrorMessage),
    }),
  ),
});

const Percentiles = Type.Object({
  p50: Type.Number(),
  p99: Type.Number(),
  p999: Type.Number(),
});
export const QueueConfigMessage = Type.Object({
  maxAttempts: Type.Integer(),
  backoff: Type.Object({
    type: Type.Enum(["fixed", "linear", "exponential"]),
    baseMs: Type.Integer(),
    capMs: Type.Integer(),
    jitter: Type.Enum(["none", "equal", "full"]),
  }),
  leaseMs: Type.Integer(),
  maxDepth: Type.Union([Type.Null(), Type.Integer()]),
  retention: Type.Object({
    completedMs: Type.Integer(),
    completedMax: Type.Integer(),
    deadMs: Type.Integer(),
    deadMax: Type.Integer(),
    bytesMax: Type.Integer(),
  }),
});
export const QueueMessage = Type.Object({
  queue: Type.String(),
  paused: Type.Boolean(),
  counts: Type.Object({
    scheduled: Type.Integer(),
    ready: Type.Integer(),
    leased: Type.Integer(),
    completed: Type.Integer(),
    dead: Type.Integer(),
    cancelled: Type.Integer(),
  }),
  enqueued: Type.Integer({ description: "Tasks ever accepted." }),
  pruned: Type.Integer({ description: "Tasks ever removed." }),
  oldestReadyAt: Type.Optional(EpochMs),
  waiting: Type.Integer({ description: "Parked claims." }),
  config: Type.Optional(QueueConfigMessage),
  latency: Type.Optional(Type.Object({ claim: Percentiles, wait: Percentiles })),
});
export type QueueMessage = Static<typeof QueueMessage>;
export const QueuesAnswer = Type.Object({ queues: Type.Array(QueueMessage) });
export const ListAnswer = Type.Object({
  tasks: Type.Array(TaskMessage),
  cursor: Type.Optional(Type.String()),
});
export type ListAnswer = Static<typeof ListAnswer>;
export const RequeuedAnswer = Type.Object({ requeued: Type.Integer() });
export const DeletedAnswer = Type.Object({ deleted: Type.Integer() });
