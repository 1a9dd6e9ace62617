import { type BackoffPolicy, DEFAULT_BACKOFF } from "./backoff.ts";
import type { QueueName } from "./ids.ts";
import type { EpochMs, TaskState } from "./task.ts";

/** How long finished tasks are kept. Over any limit the oldest finished goes first; 0 keeps none. */
export interface Retention {
  /** Age of a completed (and, counted apart, of a cancelled) task, milliseconds. */
  readonly completedMs: number;
  /** Number of completed (and, counted apart, of cancelled) tasks. */
  readonly completedMax: number;
  readonly deadMs: number;
  readonly deadMax: number;
  /** Bytes of payload and result of all finished tasks of the queue together. */
  readonly bytesMax: number;
}

/** A queue's configuration with every value in force. */
export interface QueueConfig {
  readonly maxAttempts: number;
  readonly backoff: BackoffPolicy;
  readonly leaseMs: number;
  /** Bound on scheduled + ready + leased; null is unlimited. Holds for new tasks only. */
  readonly maxDepth: number | null;
  readonly retention: Retention;
}

export const DEFAULT_QUEUE_CONFIG: QueueConfig = Object.freeze({
  maxAttempts: 5,
  backoff: DEFAULT_BACKOFF,
  leaseMs: 30_000,
  maxDepth: null,
  retention: Object.freeze({
    completedMs: 60 * 60 * 1_000,
    completedMax: 10_000,
    deadMs: 14 * 24 * 60 * 60 * 1_000,
    deadMax: 100_000,
    bytesMax: 256 * 1024 * 1024,
  }),
});

/** A change to a queue: `backoff` and `retention` are merged field by field. */
export interface QueueConfigPatch {
  readonly maxAttempts?: number;
  readonly backoff?: Partial<BackoffPolicy>;
  readonly leaseMs?: number;
  readonly maxDepth?: number | null;
  readonly retention?: Partial<Retention>;
}

/** The configuration after a change. */
export function patchedConfig(config: QueueConfig, patch: QueueConfigPatch): QueueConfig {
  return {
    ...config,
    ...patch,
    backoff: { ...config.backoff, ...patch.backoff },
    retention: { ...config.retention, ...patch.retention },
  };
}

export type StateCounts = Readonly<Record<TaskState, number>>;

/** A queue at one moment, from maintained counters: its cost does not depend on the number of tasks. */
export interface QueueSnapshot {
  readonly queue: QueueName;
  readonly paused: boolean;
  readonly config: QueueConfig;
  readonly counts: StateCounts;
  /** Tasks ever accepted. I1: enqueued = the sum of `counts` + pruned. */
  readonly enqueued: number;
  /** Tasks ever removed, by retention or by an operator. */
  readonly pruned: number;
  /** When the task that waits longest became ready; absent when none is ready. */
  readonly oldestReadyAt?: EpochMs;
}
