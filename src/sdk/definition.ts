import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { BackoffPolicy } from "../task/backoff.ts";
import { InvalidRequestError } from "../task/errors.ts";
import { parseQueueName } from "../task/ids.ts";
import type { JsonText } from "../task/task.ts";
import { InvalidPayload, issueText } from "./errors.ts";
import { toJsonText } from "./json-text.ts";
import { refuseUnknown } from "./options.ts";
import type { Handler, TaskHandler } from "./task-handler.ts";
import type { ResultOf } from "./task-view.ts";

/** What every task of a definition starts with; an enqueue may say otherwise. */
export interface TaskDefaults {
  /** 0 to 9, 9 is most urgent. Default 0. */
  readonly priority?: number;
  /** Wait before the first attempt, milliseconds. Default 0. */
  readonly delayMs?: number;
  /** 1 to 100. Default: the queue's, which is 5 until configured. */
  readonly maxAttempts?: number;
  /** Default: the queue's. */
  readonly backoff?: Partial<BackoffPolicy>;
  readonly tags?: Readonly<Record<string, string>>;
}

export interface DefinitionOptions extends TaskDefaults {
  /** The queue that the tasks go to. */
  readonly queue: string;
}

export interface SchemaDefinitionOptions<
  Schema extends StandardSchemaV1,
  ResultSchema extends StandardSchemaV1,
> extends DefinitionOptions {
  /** Checks payloads at the enqueue and before the handler, and gives their type. Any Standard Schema. */
  readonly schema: Schema;
  /** Checks what the handler returns, before it is sent as it is, and gives the type of `waitForResult`. */
  readonly resultSchema?: ResultSchema;
}

/**
 * A kind of task: its queue, the type of its payload and of its result.
 * `Input` is what an enqueue takes, `Payload` what the schema makes of it for the handler.
 */
export interface TaskDefinition<Input = unknown, Payload = Input, Result = unknown> extends ResultOf<Result> {
  readonly queue: string;
  readonly defaults: TaskDefaults;

  /** Binds a handler, for a worker of several kinds of task. A URL is a module that runs in threads. */
  handler(handle: Handler<Payload, Result> | URL): TaskHandler;

  /**
   * The payload as JSON text.
   * @throws {InvalidPayload} when it does not fit the schema once it went through JSON.
   */
  payloadJson(input: Input): Promise<JsonText | undefined>;

  /** @throws {InvalidPayload} when a stored payload does not fit the schema. */
  readPayload(stored: unknown): Payload | Promise<Payload>;

  /** @throws {InvalidRequestError} when what the handler returned does not fit the result's schema. */
  checkResult(returned: unknown): void | Promise<void>;
}

/**
 * Describes a kind of task, once, for its producers and its workers.
 *
 * With a schema, payloads are checked on both sides. The payload is sent as given and the schema's
 * transformations are made before the handler, so they are made once.
 *
 * @throws {InvalidRequestError} for a bad queue name or an unknown option.
 */
export function defineTask<
  Schema extends StandardSchemaV1,
  ResultSchema extends StandardSchemaV1 = StandardSchemaV1<unknown>,
>(
  options: SchemaDefinitionOptions<Schema, ResultSchema>,
): TaskDefinition<
  StandardSchemaV1.InferInput<Schema>,
  StandardSchemaV1.InferOutput<Schema>,
  StandardSchemaV1.InferInput<ResultSchema>
>;
export function defineTask<Payload = unknown, Result = unknown>(
  options: DefinitionOptions & { readonly schema?: undefined; readonly resultSchema?: undefined },
): TaskDefinition<Payload, Payload, Result>;
export function defineTask(
  options: DefinitionOptions & {
    readonly schema?: StandardSchemaV1 | undefined;
    readonly resultSchema?: StandardSchemaV1 | undefined;
  },
): unknown {
  refuseUnknown("defineTask", options, OPTIONS);
  const { queue, schema, resultSchema, ...defaults } = options;
  if (parseQueueName(queue) === undefined) {
    throw new InvalidRequestError(`Expected queue to be 1 to 100 of A-Z a-z 0-9 . _ -, got ${String(queue)}`);
  }
  const definition: TaskDefinition = {
    queue,
    defaults,
    handler: (handle) => ({ definition, handle: handle as Handler<unknown, unknown> | URL }),
    payloadJson: (input) => payloadJson(queue, schema, input),
    readPayload: (stored) => (schema === undefined ? stored : fitted(queue, schema, stored)),
    checkResult: (returned) => resultSchema && fittedResult(queue, resultSchema, returned),
  };
  return Object.freeze(definition);
}

const OPTIONS: readonly string[] = [
  "queue",
  "schema",
  "resultSchema",
  "priority",
  "delayMs",
  "maxAttempts",
  "backoff",
  "tags",
];

async function payloadJson(
  queue: string,
  schema: StandardSchemaV1 | undefined,
  input: unknown,
): Promise<JsonText | undefined> {
  const text = toJsonText(`The payload for queue ${queue}`, input);
  // What is checked is what the worker will read: JSON turns a Date into text and leaves undefined out.
  if (schema !== undefined) await fitted(queue, schema, JSON.parse(text ?? "null"));
  return text;
}

function fitted(queue: string, schema: StandardSchemaV1, value: unknown): unknown {
  const outcome = schema["~standard"].validate(value);
  return outcome instanceof Promise ? outcome.then((late) => valueIn(queue, late)) : valueIn(queue, outcome);
}

function valueIn(queue: string, outcome: StandardSchemaV1.Result<unknown>): unknown {
  if (outcome.issues !== undefined) throw new InvalidPayload(queue, outcome.issues);
  return outcome.value;
}

async function fittedResult(queue: string, schema: StandardSchemaV1, returned: unknown): Promise<void> {
  const outcome = await schema["~standard"].validate(returned);
  if (outcome.issues === undefined) return;
  const lines = outcome.issues.map(issueText);
  throw new InvalidRequestError(
    `The result does not fit the definition of queue ${queue}: ${lines.join("; ")}`,
    { details: { queue, issues: lines } },
  );
}
