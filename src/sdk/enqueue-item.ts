import { DibsError } from "../task/errors.ts";
import type { EnqueueItem } from "./connection.ts";
import type { TaskDefaults, TaskDefinition } from "./definition.ts";
import { present, refuseUnknown } from "./options.ts";

export interface EnqueueOptions extends TaskDefaults {
  /** Not before this instant: epoch milliseconds, ISO 8601 with a zone, or a Date. Instead of `delayMs`. */
  readonly runAt?: number | string | Date;
  /** A second enqueue with the same key within 24 hours gives the first task. At most 200 characters. */
  readonly idempotencyKey?: string;
}

const OPTIONS = ["priority", "delayMs", "runAt", "maxAttempts", "backoff", "idempotencyKey", "tags"];

/**
 * What is sent for one task: the definition's defaults under what this enqueue asks for.
 *
 * @throws {InvalidPayload} @throws {InvalidRequestError}
 */
export async function itemOf(
  definition: TaskDefinition,
  payload: unknown,
  options: EnqueueOptions,
): Promise<EnqueueItem> {
  refuseUnknown("enqueue", options, OPTIONS);
  const payloadJson = await definition.payloadJson(payload);
  const { runAt, ...asked } = present(options);
  const { delayMs, ...defaults } = present(definition.defaults);
  return {
    queue: definition.queue,
    ...defaults,
    // An instant replaces the definition's delay; the two together are refused.
    ...(delayMs !== undefined && runAt === undefined && { delayMs }),
    ...asked,
    ...(runAt !== undefined && { runAt: runAt instanceof Date ? runAt.getTime() : runAt }),
    ...(payloadJson !== undefined && { payloadJson }),
  };
}

/** {@link itemOf}, with the error as a value. */
export async function itemOrError(
  definition: TaskDefinition,
  payload: unknown,
  options: EnqueueOptions,
): Promise<EnqueueItem | DibsError> {
  try {
    return await itemOf(definition, payload, options);
  } catch (error) {
    if (error instanceof DibsError) return error;
    throw error;
  }
}
