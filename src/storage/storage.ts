import type { Clock } from "../clock.ts";
import type { LeaseToken, QueueName, TaskId } from "../task/ids.ts";
import type { QueueConfigPatch, QueueSnapshot } from "../task/queue.ts";
import type {
  ClaimedTask,
  DeadReason,
  EpochMs,
  FinishedState,
  JsonText,
  NewTask,
  Task,
  TaskState,
} from "../task/task.ts";
import type { ExportPage, ExportRequest, ImportBatch, ImportReply } from "./stored-task.ts";

/**
 * The storage port: where tasks are, and the atomic steps that move them.
 *
 * - A call touches one queue, takes arrays and answers in their order. It is one atomic step: either all of
 *   its effects are there, or none. It is as durable as the engine's mode promises before it resolves, and
 *   what a read saw is as durable as that too (I7).
 * - What can legitimately happen is a value. A call throws only when the engine cannot do its work:
 *   `StorageUnavailableError` when nothing was changed and it may work later, anything else when it is broken.
 * - An array has at most `LIMITS.batchMax` items, a `limit` at most `LIMITS.stepMax` (I9); the broker splits
 *   what is larger. Callers pass values within `LIMITS`; engines do not check them again.
 * - An empty array does nothing, and makes no queue. An id that comes twice in one call is taken twice, in
 *   order: the second time sees what the first one did.
 * - Time is the engine's own clock. A task is due from its `runAt` on. A lease lives while now < `expiresAt`,
 *   reaped or not; a record or a key is kept while its age is below its limit.
 * - A queue exists from its first enqueue or configure, and for ever. A verb on a queue that does not exist
 *   behaves as on an empty one, except `snapshot`, which says undefined.
 *
 * What each verb means, to the last corner, is defined by the contract suite in `contract/`.
 */
export interface Storage {
  /** The engine's own time, as well as this process knows it. */
  readonly clock: Clock;

  /** So many calls of one verb and one queue are best under way at a time: 1 when a second one would gain nothing. */
  readonly callsInFlight: number;

  /**
   * Adds tasks: ready at the tail of their priority, or scheduled when their time has not come.
   * What a task leaves out comes from the queue's configuration at this moment; a `runAt` in the past becomes
   * now. Two tasks with one idempotency key, in one call too, are one task (I8). A task whose id is there
   * already is the same one sent again: it is answered `enqueued` as it is now, and nothing is added.
   */
  enqueue(queue: QueueName, tasks: readonly NewTask[]): Promise<EnqueueOutcome[]>;

  /**
   * Leases ready tasks: highest priority first, first in first out within it (I6). Each ask is filled in
   * turn, from 0 to `max` tasks; an ask gets fewer only when no more are ready, or when its next task
   * would bring it over `bytesMax` or all asks of the call together over `LIMITS.bodyBytesMax`; the first task
   * of the call always fits. The attempt is counted here (I5). A paused queue gives nothing.
   */
  claim(queue: QueueName, asks: readonly ClaimAsk[]): Promise<ClaimReply>;

  /**
   * Ends claims, in order, and then serves `asks` in the same atomic step.
   * Several releases in one call are claimed again in the order given. A task that a nack makes ready at once
   * has its `runAt` moved to now; a released one keeps it. A release adds no failure.
   */
  settle(
    queue: QueueName,
    settlements: readonly Settlement[],
    asks?: readonly ClaimAsk[],
  ): Promise<SettleReply>;

  /** Moves the end of held leases to now + `leaseMs`. */
  heartbeat(queue: QueueName, beats: readonly Heartbeat[]): Promise<HeartbeatOutcome[]>;

  /**
   * Moves at most `limit` scheduled tasks whose time has come to ready, earliest first; those of one
   * millisecond in the order in which they were scheduled. They keep their `runAt`.
   */
  promoteDue(queue: QueueName, limit: number): Promise<PromoteReply>;

  /**
   * Takes at most `limit` expired leases back, earliest first (those of one millisecond in any order): to ready
   * with `runAt` now, or to dead after the last attempt.
   */
  reapExpired(queue: QueueName, limit: number): Promise<ReapReply>;

  /** Removes at most `limit` finished tasks that the queue's retention no longer keeps, and old idempotency keys. */
  prune(queue: QueueName, limit: number): Promise<PruneReply>;

  /**
   * Removes at most `limit` tasks of a state, in the order of a listing, at an operator's wish and whatever the
   * retention; counted as pruned.
   */
  purge(queue: QueueName, state: Exclude<TaskState, "leased">, limit: number): Promise<PruneReply>;

  /** Ends unfinished tasks, attempts and failures kept. A leased one ends at once; its holder learns it at its next call. */
  cancel(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]>;

  /**
   * Brings dead, cancelled or scheduled tasks to ready now, at the tail in the order given, with attempts and
   * releases begun anew. Failures and `lastError` stay; the fence goes on.
   */
  requeue(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]>;

  /** Requeues at most `limit` dead tasks, oldest first. */
  requeueDead(queue: QueueName, limit: number): Promise<RequeueDeadReply>;

  /** Takes leased tasks from their holders without a token, expired or not: a release by an operator. */
  forceRelease(queue: QueueName, ids: readonly TaskId[]): Promise<ForceReleaseOutcome[]>;

  /** Reads tasks by id; undefined where there is none. */
  get(queue: QueueName, ids: readonly TaskId[]): Promise<(Task | undefined)[]>;

  /**
   * One page of the tasks of a state: ready in claim order, scheduled by due time, leased by end of lease,
   * finished by time of finishing, earliest first. The cursor stays valid while tasks come and go: a task
   * that stays in the state for the whole listing is listed exactly once (a leased one, when no heartbeat moves
   * it meanwhile). A page ends early at `bytesMax`, counted over payloads and results.
   */
  list(queue: QueueName, request: ListRequest): Promise<ListPage>;

  /**
   * Counts, configuration and totals of a queue, from maintained counters. `oldestReadyAt` is the earliest `runAt`
   * among the first ready tasks of the priorities.
   */
  snapshot(queue: QueueName): Promise<QueueSnapshot | undefined>;

  /** Names of all queues, sorted. */
  queues(): Promise<QueueName[]>;

  /** Changes a queue's configuration, or pauses and resumes it; creates the queue. */
  configure(queue: QueueName, change: QueueChange): Promise<QueueSnapshot>;

  /**
   * One page of all that a queue keeps, for another store: first the tasks, state by state, each state in the order
   * of a listing, then the idempotency keys that it remembers, those of present tasks too. Changes nothing. Whole only while nothing else
   * changes the queue.
   */
  exportTasks(queue: QueueName, request: ExportRequest): Promise<ExportPage>;

  /**
   * Takes over what another store exported, and creates the queue. A task whose id is there already is left as it
   * is, so the same batch again changes nothing; any other enters as it was, behind all others of its state (for a
   * ready one: of its priority; for a scheduled one: of its time). A key that is remembered for as long or longer
   * is left too. Whatever the configuration's `maxDepth` and retention say.
   */
  importTasks(queue: QueueName, batch: ImportBatch): Promise<ImportReply>;

  /**
   * The queues whose scheduled tasks or leases come due soonest, at most `limit` of them, soonest first. Never too
   * late; too early when what came due then has gone another way since, until `promoteDue` or `reapExpired` looked.
   */
  nextDueAt(limit: number): Promise<DueQueue[]>;

  /**
   * Calls `listener` when tasks may have become ready in a queue, a queue was resumed, a task finished, or
   * something comes due earlier than before. At least once for each such move by a call of this process, before
   * that call resolves or shortly after it. For what other processes do: `ready` while somebody waits here
   * (`setWaiting`), `finished` for the tasks that were asked for (`awaitEnd`). Returns the way to stop it.
   */
  subscribe(listener: (event: StorageEvent) => void): () => void;

  /**
   * Tells whether anybody waits here for ready tasks of a queue. While it is so, a claim that leaves somebody
   * empty also sees to it, in the same atomic step, that what makes tasks ready next in any process is heard here.
   * What was heard, and not followed by a claim of the queue before somebody stops waiting last, is passed on to
   * another process that waits.
   */
  setWaiting(queue: QueueName, waiting: boolean): void;

  /**
   * Asks to hear of the end of a task, whichever process brings it; once, and for a minute at least. No end is missed
   * after it resolved, nor after a `get` of the task that was asked for behind it in the same moment.
   */
  awaitEnd(id: TaskId): Promise<void>;

  /** What an operator should know of the engine's health; undefined when all is well. */
  trouble(): Trouble | undefined;

  /**
   * Finishes what is under way, makes it durable and lets go of all resources. Again is harmless; every other
   * call after it throws `StorageUnavailableError`.
   */
  close(): Promise<void>;
}

export interface Trouble {
  readonly reason: string;
  /** True when only opening the engine again can end it. */
  readonly isFinal: boolean;
}

export type EnqueueOutcome =
  | { readonly kind: "enqueued"; readonly task: Task }
  /** The key was seen with the same payload: the first task as it is now. */
  | { readonly kind: "deduplicated"; readonly task: Task }
  /** The key was seen, its task has been removed since. */
  | { readonly kind: "pruned"; readonly id: TaskId }
  /** The key was seen with another payload. */
  | { readonly kind: "conflict"; readonly id: TaskId }
  /** The queue's `maxDepth` is reached. */
  | { readonly kind: "queue-full"; readonly depth: number; readonly limit: number }
  /** The engine's own bound on tasks, finished ones included, is reached. */
  | { readonly kind: "store-full"; readonly tasks: number; readonly limit: number }
  /** The engine's own bound on memory is reached: by so many tasks, and so many keys that it remembers. */
  | {
      readonly kind: "memory-full";
      readonly tasks: number;
      readonly keys: number;
      readonly bytes: number;
      readonly limit: number;
    };

export interface ClaimAsk {
  /** 0 to `LIMITS.claimMax`. */
  readonly max: number;
  /** Default: the queue's. */
  readonly leaseMs?: number;
  readonly worker?: string;
  /** Bound on the payload bytes of this ask's tasks together; its first task always fits. Default 16 MiB. */
  readonly bytesMax?: number;
}

export interface ClaimReply {
  /** One list for each ask, in order. */
  readonly grants: readonly (readonly ClaimedTask[])[];
  /** True when ready tasks remain that may be claimed now. */
  readonly more: boolean;
}

export type Settlement =
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
      /** At most 10 kB. Absent: `lastError` stays, the failure's error is "". */
      readonly error?: string;
      /** Wait before the next attempt; overrides the backoff, 0 is at once. */
      readonly delayMs?: number;
      /** The number in [0, 1) that draws the backoff's jitter. */
      readonly random: number;
    }
  /** A failure after which a retry is useless: dead at once, reason `refused`. */
  | { readonly outcome: "refuse"; readonly id: TaskId; readonly token: LeaseToken; readonly error?: string }
  | {
      readonly outcome: "release";
      readonly id: TaskId;
      readonly token: LeaseToken;
      /** For what its claimer never received: does not count towards the hundred releases. */
      readonly undelivered?: boolean;
    };

export type SettleOutcome =
  /** The same answer again when the same token completes again. */
  | { readonly kind: "completed"; readonly ranMs: number; readonly repeated: boolean }
  | { readonly kind: "ready"; readonly ranMs: number }
  | { readonly kind: "scheduled"; readonly ranMs: number; readonly runAt: EpochMs }
  | { readonly kind: "dead"; readonly ranMs: number; readonly reason: DeadReason }
  /** The token is not that of the live lease; `state` is where the task is. */
  | { readonly kind: "lease-lost"; readonly state: TaskState }
  | { readonly kind: "not-found" };

export interface SettleReply {
  readonly outcomes: readonly SettleOutcome[];
  readonly claim: ClaimReply;
}

export interface Heartbeat {
  readonly id: TaskId;
  readonly token: LeaseToken;
  /** Default: as claimed. Holds for this extension only. */
  readonly leaseMs?: number;
}

export type HeartbeatOutcome =
  | { readonly kind: "extended"; readonly expiresAt: EpochMs }
  | { readonly kind: "lease-lost"; readonly state: TaskState }
  | { readonly kind: "not-found" };

export interface PromoteReply {
  /** How late each promoted task became ready, milliseconds. */
  readonly latenessMs: readonly number[];
  /** True when more are due now. */
  readonly more: boolean;
}

export interface ReapReply {
  readonly reaped: readonly { readonly id: TaskId; readonly state: "ready" | "dead" }[];
  readonly more: boolean;
}

export interface PruneReply {
  /** Tasks, not keys. */
  readonly pruned: number;
  /** False when nothing more can go now; after a full step of `prune` it may be true for nothing. */
  readonly more: boolean;
}

export type MoveOutcome =
  | { readonly kind: "moved"; readonly task: Task }
  | { readonly kind: "wrong-state"; readonly state: TaskState }
  | { readonly kind: "not-found" };

export type ForceReleaseOutcome =
  /** A hundred releases later the attempt counts, and the last one ends the task. */
  | { readonly kind: "ready" | "dead" }
  | { readonly kind: "wrong-state"; readonly state: TaskState }
  | { readonly kind: "not-found" };

export interface RequeueDeadReply {
  readonly requeued: number;
  readonly more: boolean;
}

export interface ListRequest {
  readonly state: TaskState;
  /** From the page before; an engine throws `InvalidRequestError` for one that it did not make. */
  readonly cursor?: string;
  /** 1 to `LIMITS.listMax`. */
  readonly limit: number;
  readonly bytesMax?: number;
}

export interface ListPage {
  readonly tasks: readonly Task[];
  /** Absent on the last page. */
  readonly cursor?: string;
}

export interface QueueChange {
  readonly config?: QueueConfigPatch;
  readonly paused?: boolean;
}

export interface DueQueue {
  readonly queue: QueueName;
  readonly at: EpochMs;
}

export type StorageEvent =
  | { readonly kind: "ready"; readonly queue: QueueName }
  | { readonly kind: "finished"; readonly id: TaskId; readonly state: FinishedState }
  /** Another process made something come due at `at`, earlier than anything in the queue before. */
  | { readonly kind: "due"; readonly queue: QueueName; readonly at: EpochMs };
