import type { ClaimedTaskMessage, PrunedMessage, TaskMessage } from "../protocol/messages.ts";

declare const resultType: unique symbol;

/** Remembers the type of a task's result for `waitForResult`; there is nothing of it at run time. */
export interface ResultOf<Result> {
  readonly [resultType]?: Result;
}

/** A task as a reader sees it, with the type of its payload. Times are epoch milliseconds. */
export type TaskView<Payload = unknown, Result = unknown> = Readonly<
  Omit<TaskMessage, "payload" | "result">
> & {
  readonly payload: Payload;
  readonly result?: Result;
} & ResultOf<Result>;

/** A task in the hands of the worker that claimed it. */
export type ClaimedTaskView<Payload = unknown> = Readonly<Omit<ClaimedTaskMessage, "payload">> & {
  readonly payload: Payload;
};

/**
 * The answer of an enqueue: the new task or, when its idempotency key was seen, the first one as it is now.
 * State `pruned` means that only the key is left of that one.
 */
export type EnqueuedTask<Payload = unknown, Result = unknown> = (
  | TaskView<Payload, Result>
  | (Readonly<PrunedMessage> & ResultOf<Result>)
) & { readonly deduplicated?: true };
