import type { LeaseToken, QueueName, TaskId } from "../task/ids.ts";
import type { QueueSnapshot } from "../task/queue.ts";
import type { EpochMs, JsonText, NewTask, Task, TaskState } from "../task/task.ts";

/** What the doors ask of the broker, already checked against the schemas, and what they get. */
export type EnqueueRequest = Omit<NewTask, "id" | "payloadHash"> & { readonly queue: QueueName };

export interface PrunedTask {
  readonly id: TaskId;
  readonly queue: QueueName;
  readonly state: "pruned";
}

export interface EnqueueResult {
  readonly task: Task | PrunedTask;
  readonly deduplicated: boolean;
}

export interface ClaimRequest {
  /** 1 to 16, tried in this order. */
  readonly queues: readonly QueueName[];
  readonly max: number;
  readonly leaseMs?: number;
  /** 0: answer at once. */
  readonly waitMs: number;
  readonly worker?: string;
}

export type SettleRequest =
  | {
      readonly outcome: "complete";
      readonly id: TaskId;
      readonly token: LeaseToken;
      readonly result?: JsonText;
    }
  | {
      readonly outcome: "nack";
      readonly id: TaskId;
      readonly token: LeaseToken;
      readonly error?: string;
      readonly delayMs?: number;
    }
  | { readonly outcome: "refuse"; readonly id: TaskId; readonly token: LeaseToken; readonly error?: string }
  | { readonly outcome: "release"; readonly id: TaskId; readonly token: LeaseToken };

export interface SettleResult {
  readonly id: TaskId;
  readonly state: TaskState;
  /** Present with state `scheduled`. */
  readonly runAt?: EpochMs;
}

export interface HeartbeatRequest {
  readonly id: TaskId;
  readonly token: LeaseToken;
  readonly leaseMs?: number;
}

export interface HeartbeatResult {
  readonly id: TaskId;
  readonly expiresAt: EpochMs;
}

/** Milliseconds over the last minute; 0 when nothing was measured. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export interface QueueView extends QueueSnapshot {
  /** Claims parked on this queue now. */
  readonly waiting: number;
  readonly latency: { readonly claim: Percentiles; readonly wait: Percentiles };
}
