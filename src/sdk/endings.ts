import type { DibsError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import { cutToBytes } from "../task/text.ts";
import type { OutcomeItem } from "./connection.ts";
import { errorText } from "./error-text.ts";
import { type AbortCode, type AttemptAborted, Refuse, RetryLater } from "./errors.ts";
import type { HeldTask } from "./held-task.ts";

/** What a handler's end means for the engine: an outcome without the claim that it ends. */
export type Ending = Omit<OutcomeItem, "id" | "leaseToken">;

/** The ending of an attempt whose handler threw. */
export function endingOf(held: HeldTask, error: unknown): Ending {
  if (Refuse.is(error))
    return { outcome: "nack", retry: false, error: cutToBytes(error.message, LIMITS.errorBytesMax) };
  if (RetryLater.is(error)) {
    return {
      outcome: "nack",
      delayMs: error.delayMs,
      error: cutToBytes(error.message, LIMITS.errorBytesMax),
    };
  }
  if (held.aborted !== undefined) return endingOfAborted(held);
  return { outcome: "nack", error: errorText(error) };
}

/** After an abort by `shutdown` the task goes back, after `timeout` the attempt has failed. */
export function endingOfAborted(held: HeldTask): Ending {
  const { code, message } = held.aborted as AttemptAborted;
  return code === "shutdown" ? { outcome: "release" } : { outcome: "nack", error: message };
}

/** Why a lease is lost, by the engine's answer. */
export function abortCodeOf(error: DibsError): AbortCode {
  const { state } = error.details as { state?: string };
  return state === "cancelled" ? "cancelled" : "lease-lost";
}
