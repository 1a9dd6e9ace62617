import type { BackoffPolicy } from "../task/backoff.ts";
import type { LeaseToken, TaskId } from "../task/ids.ts";
import type { EpochMs, Task } from "../task/task.ts";

/** All that an engine keeps of a task: what the port shows of it, and what it does not show. */
export interface StoredTask {
  readonly task: Task;
  readonly backoff: BackoffPolicy;
  /** SHA-256 (hex) of the payload's canonical JSON; present exactly while the queue remembers the task's own key. */
  readonly payloadHash?: string;
  /** Releases that gave an attempt back (I5). */
  readonly releases: number;
  /** Of the last claim; 0 before the first. The next one is greater, in whatever store (I2). */
  readonly fence: number;
  /**
   * Of the last claim, while it means something: of a leased task, whose holder shows it, and of a completed
   * one, whose holder may complete again.
   */
  readonly token?: LeaseToken;
}

/** An idempotency key that a queue remembers; its task may be gone. */
export interface StoredKey {
  readonly key: string;
  readonly id: TaskId;
  readonly payloadHash: string;
  readonly expiresAt: EpochMs;
}

export interface ExportRequest {
  /** From the page before, of the same engine; `InvalidRequestError` for one that it did not make. */
  readonly cursor?: string;
  /** 1 to `LIMITS.stepMax`: tasks and keys of a page together. */
  readonly limit: number;
  /** Bound on payloads and results of a page, bytes; the first task always fits. Default 16 MiB. */
  readonly bytesMax?: number;
}

export interface ExportPage {
  readonly keys: readonly StoredKey[];
  readonly tasks: readonly StoredTask[];
  /** Absent on the last page; a page may be empty and have one. */
  readonly cursor?: string;
}

export interface ImportBatch {
  /** At most `LIMITS.stepMax` of both together. */
  readonly keys?: readonly StoredKey[];
  readonly tasks?: readonly StoredTask[];
  /** What the queue's total of removed tasks becomes; `enqueued` moves with it (I1). */
  readonly pruned?: number;
}

export interface ImportReply {
  /** Tasks that were not there before. */
  readonly imported: number;
}
