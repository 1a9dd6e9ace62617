import { type Static, Type } from "typebox";
import { LIMITS } from "../task/limits.ts";
import { TASK_STATES } from "../task/task.ts";
import {
  BackoffPatch,
  DelayMs,
  EpochMs,
  FailureMessage,
  IdText,
  Json,
  LeaseMessage,
  LeaseMs,
  LeaseTokenText,
  MaxAttempts,
  Percentiles,
  QueueConfigMessage,
  QueueNameText,
  RetentionPatch,
  State,
  StateButLeased,
  strict,
  Tags,
  text,
  WaitMs,
  wellFormed,
  whole,
} from "./fields.ts";

/**
 * What crosses the wire, once: these schemas validate requests, type both ends, and become the OpenAPI
 * document. Payloads and results are any JSON. Unknown fields are refused.
 */
export const EnqueueBody = Type.Object(
  {
    queue: QueueNameText,
    payload: Type.Optional(
      Type.Unknown({
        description: "Any JSON, handed to the worker as it was written; 1 MiB by default.",
        default: null,
      }),
    ),
    priority: Type.Optional(
      whole(LIMITS.priorityMin, LIMITS.priorityMax, "9 is most urgent.", { default: LIMITS.priorityMin }),
    ),
    delayMs: Type.Optional(DelayMs("Not to be claimed before so long from now.")),
    runAt: Type.Optional(
      Type.Union([EpochMs, Type.String({ maxLength: 40, description: "ISO 8601 with a zone." })], {
        description:
          "Not to be claimed before then: epoch milliseconds, or ISO 8601 with a zone. Not with `delayMs`.",
      }),
    ),
    maxAttempts: Type.Optional(
      MaxAttempts("Claims before it is dead. Default the queue's, which is 5 until configured."),
    ),
    backoff: Type.Optional(BackoffPatch),
    idempotencyKey: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: LIMITS.idempotencyKeyLengthMax,
        pattern: wellFormed,
        description:
          "A second enqueue with it, within 24 hours and in the same queue, answers the first task.",
      }),
    ),
    tags: Type.Optional(Tags),
  },
  strict,
);
export type EnqueueBody = Static<typeof EnqueueBody>;

export const EnqueueBatchBody = Type.Object(
  {
    tasks: Type.Array(EnqueueBody, {
      minItems: 1,
      maxItems: LIMITS.batchMax,
      description: "Each with the fields of `POST /v1/tasks`, of any queues.",
    }),
  },
  strict,
);
export type EnqueueBatchBody = Static<typeof EnqueueBatchBody>;

export const ClaimBody = Type.Object(
  {
    queues: Type.Array(QueueNameText, {
      minItems: 1,
      maxItems: LIMITS.claimQueuesMax,
      description: "Tried in this order.",
    }),
    max: Type.Optional(
      whole(1, LIMITS.claimMax, "Fewer come only when no more are ready or 16 MiB are full.", { default: 1 }),
    ),
    leaseMs: Type.Optional(LeaseMs("Default each queue's, which is 30000 until configured.")),
    waitMs: Type.Optional(WaitMs("How long to wait when nothing is ready.")),
    worker: Type.Optional(text(LIMITS.workerLengthMax, "A label that is shown with the lease.")),
  },
  strict,
);
export type ClaimBody = Static<typeof ClaimBody>;

const Result = Type.Unknown({
  description: "Any JSON, kept with the task; limited like a payload. Default none.",
});
const Failed = Type.String({ description: "What went wrong, at most 10 kB of UTF-8; becomes `lastError`." });
const RetryDelayMs = DelayMs("Wait before the next attempt, instead of the backoff; 0 is at once.");
const Retry = Type.Boolean({ description: "false: to the dead letters now.", default: true });

export const CompleteBody = Type.Object(
  { leaseToken: LeaseTokenText, result: Type.Optional(Result) },
  strict,
);
export type CompleteBody = Static<typeof CompleteBody>;

export const NackBody = Type.Object(
  {
    leaseToken: LeaseTokenText,
    error: Type.Optional(Failed),
    delayMs: Type.Optional(RetryDelayMs),
    retry: Type.Optional(Retry),
  },
  strict,
);
export type NackBody = Static<typeof NackBody>;

export const ReleaseBody = Type.Object(
  {
    leaseToken: Type.Optional(LeaseTokenText),
    force: Type.Optional(
      Type.Boolean({
        description: "true, by an operator: takes the task from its holder; a token is not needed then.",
        default: false,
      }),
    ),
  },
  strict,
);
export type ReleaseBody = Static<typeof ReleaseBody>;

const Extension = LeaseMs("The lease ends so long from now. Default as claimed; holds for this once.");

export const HeartbeatBody = Type.Object(
  { leaseToken: LeaseTokenText, leaseMs: Type.Optional(Extension) },
  strict,
);
export type HeartbeatBody = Static<typeof HeartbeatBody>;

export const OutcomeBody = Type.Object(
  {
    id: IdText,
    leaseToken: LeaseTokenText,
    outcome: Type.Enum(["complete", "nack", "release"], {
      description: "What to do; the other fields are those of that route.",
    }),
    result: Type.Optional(Result),
    error: Type.Optional(Failed),
    delayMs: Type.Optional(RetryDelayMs),
    retry: Type.Optional(Retry),
  },
  strict,
);
export type OutcomeBody = Static<typeof OutcomeBody>;

export const SettleBody = Type.Object(
  {
    outcomes: Type.Array(OutcomeBody, {
      minItems: 1,
      maxItems: LIMITS.batchMax,
      description: "Applied in this order.",
    }),
    claim: Type.Optional(ClaimBody),
  },
  strict,
);
export type SettleBody = Static<typeof SettleBody>;

export const HeartbeatsBody = Type.Object(
  {
    leases: Type.Array(
      Type.Object({ id: IdText, leaseToken: LeaseTokenText, leaseMs: Type.Optional(Extension) }, strict),
      { minItems: 1, maxItems: LIMITS.batchMax },
    ),
  },
  strict,
);
export type HeartbeatsBody = Static<typeof HeartbeatsBody>;

export const QueuePatchBody = Type.Object(
  {
    maxAttempts: Type.Optional(MaxAttempts("For tasks that do not say their own. Default 5.")),
    backoff: Type.Optional(BackoffPatch),
    leaseMs: Type.Optional(LeaseMs("For claims that do not say their own. Default 30000.")),
    maxDepth: Type.Optional(
      Type.Union([Type.Null(), Type.Integer({ minimum: 1, maximum: LIMITS.maxDepthMax })], {
        description:
          "Bound on scheduled, ready and leased tasks together, for new ones; null is none. Default null.",
      }),
    ),
    retention: Type.Optional(RetentionPatch),
  },
  strict,
);
export type QueuePatchBody = Static<typeof QueuePatchBody>;

export const RequeueBody = Type.Object(
  {
    state: Type.Literal("dead"),
    limit: Type.Optional(whole(1, LIMITS.requeueMax, "How many at most.", { default: LIMITS.requeueMax })),
  },
  strict,
);
export type RequeueBody = Static<typeof RequeueBody>;

/** For routes that take nothing. */
export const NoFields = Type.Object({}, strict);
export const QueueParams = Type.Object({ queue: QueueNameText }, strict);
export const TaskParams = Type.Object({ id: Type.String({ description: "Of the task." }) }, strict);
export const ResultQuery = Type.Object(
  { waitMs: Type.Optional(WaitMs("How long to wait for the end of the task.")) },
  strict,
);
export const DEFAULT_LIST_LIMIT = 50;
export const ListQuery = Type.Object(
  {
    state: Type.Enum([...TASK_STATES], {
      description: "`ready` is listed in claim order, the others by their time, earliest first.",
    }),
    cursor: Type.Optional(Type.String({ maxLength: 200, description: "From the page before." })),
    limit: Type.Optional(
      whole(1, LIMITS.listMax, "A page ends early at 16 MiB.", { default: DEFAULT_LIST_LIMIT }),
    ),
  },
  strict,
);
export const PurgeQuery = Type.Object({ state: StateButLeased }, strict);

/** The answers. */
export const TaskMessage = Type.Object({
  id: Type.String({ description: "Opaque, URL-safe, at most 128 characters." }),
  queue: Type.String(),
  state: State,
  priority: Type.Integer({ description: "0 to 9, 9 is most urgent." }),
  payload: Json,
  attempt: Type.Integer({ description: "How many times it was claimed; a release gives one back." }),
  maxAttempts: Type.Integer({ description: "After so many it is dead." }),
  createdAt: EpochMs,
  runAt: Type.Integer({
    description: "Earliest start of the next, or present, attempt. Epoch milliseconds.",
  }),
  idempotencyKey: Type.Optional(Type.String()),
  tags: Type.Optional(Type.Record(Type.String(), Type.String())),
  lastError: Type.Optional(
    Type.String({ description: "Of the last nack that had one, or of an expired lease." }),
  ),
  failures: Type.Optional(
    Type.Array(FailureMessage, { description: "The last 10, oldest first. An expired lease is one too." }),
  ),
  result: Type.Optional(Json),
  finishedAt: Type.Optional(EpochMs),
  deadReason: Type.Optional(
    Type.Enum(["attempts", "refused"], { description: "Its attempts are used up, or a worker refused it." }),
  ),
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
