import type { Moment } from "./moment.ts";

/** A call as its caller saw it: what it asked, when, and what it was told. */
export interface Call {
  /** The participant: a name that is given once in a history. */
  readonly who: string;
  readonly invoked: Moment;
  readonly asked: Asked;
  /** Absent: the caller died before. */
  readonly answered?: Moment;
  /** Absent: whether it took effect, and whether it still will, is unknown. */
  readonly reply?: Reply;
  /** The error that stood in the place of a reply. */
  readonly error?: Refusal;
}

export interface EnqueueSent {
  /** Names the task for ever: it stands in the payload. */
  readonly number: number;
  readonly queue: string;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly delayMs?: number;
  readonly idempotencyKey?: string;
}

export interface ClaimSent {
  readonly queues: readonly string[];
  readonly max: number;
  readonly leaseMs: number;
  readonly waitMs: number;
}

export interface EndingSent {
  readonly id: string;
  readonly token: string;
  readonly outcome: "complete" | "nack" | "refuse" | "release";
  readonly delayMs?: number;
}

export interface BeatSent {
  readonly id: string;
  readonly token: string;
  readonly leaseMs: number;
}

export type Asked =
  | { readonly verb: "enqueue"; readonly items: readonly EnqueueSent[] }
  | { readonly verb: "claim"; readonly claim: ClaimSent }
  | { readonly verb: "settle"; readonly endings: readonly EndingSent[]; readonly claim?: ClaimSent }
  | { readonly verb: "heartbeat"; readonly beats: readonly BeatSent[] }
  | { readonly verb: "cancel" | "requeue" | "forceRelease"; readonly id: string };

/** A task as a claim handed it out. */
export interface Grant {
  readonly id: string;
  /** From the payload. */
  readonly number: number;
  readonly queue: string;
  readonly priority: number;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly runAt: number;
  readonly fence: number;
  readonly token: string;
  readonly claimedAt: number;
  readonly expiresAt: number;
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
  /** "no": the store says that it did nothing. */
  readonly applied?: string;
}

type Each<Answer> = readonly (Answer | { readonly error: Refusal })[];

/** The parts that a verb does not have are absent. Lists are in the order of what was asked. */
export interface Reply {
  readonly enqueued?: Each<{ readonly id: string; readonly runAt: number }>;
  readonly ended?: Each<{ readonly state: string; readonly runAt?: number }>;
  readonly beaten?: Each<{ readonly expiresAt: number }>;
  readonly tasks?: readonly Grant[];
  readonly moved?: { readonly state: string };
}

/** The caller itself let go of the call; what was claimed for it in that instant is given back. */
export const ABORTED = "aborted";

/** Errors that say that nothing happened; any other leaves it open. */
const NOTHING_HAPPENED: ReadonlySet<string> = new Set([
  "invalid_request",
  "lease_lost",
  "payload_too_large",
  "queue_full",
  "queue_not_found",
  "task_not_found",
  "wrong_state",
]);

/** Whether the call, or the item, surely had no effect. */
export function hadNoEffect(error: Refusal | undefined): boolean {
  return error !== undefined && (error.applied === "no" || NOTHING_HAPPENED.has(error.code));
}
