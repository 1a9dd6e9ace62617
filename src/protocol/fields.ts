import { Type } from "typebox";
import { LIMITS, QUEUE_NAME } from "../task/limits.ts";
import { TASK_STATES } from "../task/task.ts";

/** The fields that the messages are made of, with their bounds and what they mean. */

/** An object with no other fields than those named. */
export const strict = { additionalProperties: false } as const;

// Half of a surrogate pair cannot be written as UTF-8, so it would come back as another text.
export const wellFormed = "^\\P{Cs}*$";

export const whole = (minimum: number, maximum: number, description: string, more: object = {}) =>
  Type.Integer({ minimum, maximum, description, ...more });
export const text = (lengthMax: number, description: string) =>
  Type.String({ maxLength: lengthMax, pattern: wellFormed, description });

export const EpochMs = whole(0, LIMITS.runAtMax, "Epoch milliseconds.");
export const Json = Type.Unknown({ description: "Any JSON." });
export const QueueNameText = Type.String({
  pattern: QUEUE_NAME.source,
  description: "1 to 100 of A-Z a-z 0-9 . _ -, beginning with a letter or digit.",
});
export const LeaseTokenText = Type.String({
  minLength: 1,
  maxLength: 200,
  description: "The `lease.token` of the claim.",
});
export const IdText = Type.String({
  minLength: 1,
  maxLength: LIMITS.idLengthMax,
  description: "Of the task.",
});
export const WaitMs = (what: string) => whole(0, LIMITS.waitMsMax, what, { default: 0 });
export const LeaseMs = (what: string) => whole(LIMITS.leaseMsMin, LIMITS.leaseMsMax, what);
export const MaxAttempts = (what: string) => whole(LIMITS.maxAttemptsMin, LIMITS.maxAttemptsMax, what);
export const DelayMs = (what: string) => whole(0, LIMITS.delayMsMax, what);
export const Tags = Type.Unsafe<Readonly<Record<string, string>>>({
  type: "object",
  additionalProperties: { type: "string", maxLength: LIMITS.tagValueLengthMax, pattern: wellFormed },
  propertyNames: { type: "string", minLength: 1, maxLength: LIMITS.tagKeyLengthMax, pattern: wellFormed },
  maxProperties: LIMITS.tagsMax,
  description:
    `At most ${LIMITS.tagsMax} texts of at most ${LIMITS.tagValueLengthMax} characters, by names of at most ` +
    `${LIMITS.tagKeyLengthMax}. Kept with the task and shown; nothing is done with them.`,
});
export const State = Type.Enum([...TASK_STATES]);
export const StateButLeased = Type.Enum(["scheduled", "ready", "completed", "dead", "cancelled"], {
  description: "Of the tasks to delete. Leased ones belong to their workers.",
});

export const BackoffPatch = Type.Object(
  {
    type: Type.Optional(
      Type.Enum(["fixed", "linear", "exponential"], {
        description:
          "How the wait grows with the attempt: not, by `baseMs` each time, or doubling. Default exponential.",
      }),
    ),
    baseMs: Type.Optional(whole(0, LIMITS.backoffBaseMsMax, "The first wait. Default 1000.")),
    capMs: Type.Optional(whole(0, LIMITS.backoffCapMsMax, "The longest wait. Default 900000.")),
    jitter: Type.Optional(
      Type.Enum(["none", "equal", "full"], {
        description: "Where in that wait: at its end, in its upper half, or anywhere. Default full.",
      }),
    ),
  },
  { ...strict, description: "The wait between attempts; what is left out is the queue's." },
);

const count = (what: string) => whole(0, LIMITS.maxDepthMax, what);
const age = (what: string) => whole(0, LIMITS.delayMsMax, what);

export const RetentionPatch = Type.Object(
  {
    completedMs: Type.Optional(age("Age of completed tasks, and of cancelled ones. Default 3600000.")),
    completedMax: Type.Optional(count("Number of completed tasks, and of cancelled ones. Default 10000.")),
    deadMs: Type.Optional(age("Age of dead tasks. Default 1209600000.")),
    deadMax: Type.Optional(count("Number of dead tasks. Default 100000.")),
    bytesMax: Type.Optional(
      whole(0, Number.MAX_SAFE_INTEGER, "Payloads and results of all finished tasks. Default 268435456."),
    ),
  },
  {
    ...strict,
    description:
      "What is kept of finished tasks; over a limit the oldest goes first, 0 keeps none. " +
      "Each is kept at least 10 seconds. Merged field by field.",
  },
);

/** Parts of answers. */
export const FailureMessage = Type.Object({
  attempt: Type.Integer(),
  at: EpochMs,
  worker: Type.Optional(Type.String()),
  error: Type.String({ description: "Cut to 1 kB." }),
});

export const LeaseMessage = Type.Object({
  token: Type.Optional(Type.String({ description: "Only in the answer of a claim." })),
  expiresAt: EpochMs,
  ms: Type.Integer({ description: "Its length as claimed, to count from one's own clock." }),
  fence: Type.Integer({ description: "Grows with each claim of the task." }),
  claimedAt: EpochMs,
  worker: Type.Optional(Type.String()),
});

export const Percentiles = Type.Object({
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
