import type {
  ClaimBody,
  ClaimedTaskMessage,
  EnqueueAnswer,
  EnqueueBody,
  EnqueueItemAnswer,
  HeartbeatItemAnswer,
  HeartbeatsBody,
  ListAnswer,
  OutcomeBody,
  QueueMessage,
  QueuePatchBody,
  ResultAnswer,
  SettledAnswer,
  SettleItemAnswer,
  TaskMessage,
} from "../protocol/messages.ts";
import type { JsonText, TaskState } from "../task/task.ts";

/**
 * What the client and the worker need of the place where the tasks are: a server over HTTP, or a broker in
 * this process. Both speak in the objects of the wire and throw the same errors, so one scenario suite
 * runs through them.
 *
 * Payloads and results go in as JSON text, written once by the caller: a place that stores text never
 * parses them, and a body's size is known before it is sent. They come out as values.
 *
 * An aborted `signal` rejects the call with the signal's reason. Aborting a claim loses nothing: what was
 * claimed for it in that instant is given back.
 */
export interface Connection {
  /** The URL or folder, for messages. */
  readonly place: string;

  enqueue(item: EnqueueItem): Promise<EnqueueAnswer>;
  /** Any number of items; one outcome each, in order. Rejects only when nothing was sent. */
  enqueueMany(items: readonly EnqueueItem[]): Promise<EnqueueItemAnswer[]>;

  task(id: string): Promise<TaskMessage>;
  /** Answers as soon as the task is finished, else with its present state after `waitMs`. */
  result(id: string, waitMs: number, signal?: AbortSignal): Promise<ResultAnswer>;
  cancel(id: string): Promise<TaskMessage>;
  requeue(id: string): Promise<TaskMessage>;
  forceRelease(id: string): Promise<SettledAnswer>;

  claim(body: ClaimBody, signal?: AbortSignal): Promise<ClaimedTaskMessage[]>;
  /** At most 1,000 outcomes and 16 MiB. The signal is asked for when the call goes over a network, or its claim waits. */
  settle(
    outcomes: readonly OutcomeItem[],
    claim?: ClaimBody,
    signal?: () => AbortSignal,
  ): Promise<SettleReply>;
  heartbeats(body: HeartbeatsBody, signal?: AbortSignal): Promise<HeartbeatItemAnswer[]>;

  queues(): Promise<QueueMessage[]>;
  queue(name: string): Promise<QueueMessage>;
  configure(name: string, patch: QueuePatchBody): Promise<QueueMessage>;
  pause(name: string): Promise<QueueMessage>;
  resume(name: string): Promise<QueueMessage>;
  list(name: string, query: ListQuery): Promise<ListAnswer>;
  requeueDead(name: string, limit?: number): Promise<number>;
  purge(name: string, state: TaskState): Promise<number>;

  /** Idempotent. */
  close(): Promise<void>;
}

/** An enqueue whose payload is already JSON text; absent is null. */
export type EnqueueItem = Omit<EnqueueBody, "payload"> & { payloadJson?: JsonText };

/** An outcome whose result is already JSON text. */
export type OutcomeItem = Omit<OutcomeBody, "result"> & { resultJson?: JsonText };

export interface SettleReply {
  /** One for each outcome, in order. */
  readonly results: readonly SettleItemAnswer[];
  readonly tasks: readonly ClaimedTaskMessage[];
}

export interface ListQuery {
  readonly state: TaskState;
  readonly cursor?: string;
  readonly limit?: number;
}
