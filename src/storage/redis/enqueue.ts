import type { QueueName, TaskId } from "../../task/ids.ts";
import { randomPartOf } from "../../task/ids.ts";
import type { EpochMs, NewTask, Task } from "../../task/task.ts";
import type { EnqueueOutcome } from "../storage.ts";
import { bodyOf, specOf, taskFrom } from "./record.ts";

/** What the enqueue script answers for one task: 1 when it was added. */
type Word = 1 | readonly [kind: string, ...rest: (string | number | null)[]];
export type EnqueueReply = [now: number, maxAttempts: number, woken: number, made: number, words: Word[]];

export function enqueueArgs(shift: number, self: string, tasks: readonly NewTask[]): (string | number)[] {
  const args: (string | number)[] = [shift, self];
  for (const task of tasks) args.push(randomPartOf(task.id), specOf(task), bodyOf(task));
  return args;
}

export function enqueueOutcomes(
  queue: QueueName,
  tasks: readonly NewTask[],
  [now, maxAttempts, , , words]: EnqueueReply,
): EnqueueOutcome[] {
  const outcomes: EnqueueOutcome[] = [];
  words.forEach((word, i) => {
    outcomes.push(
      word === 1
        ? { kind: "enqueued", task: newTask(queue, tasks[i] as NewTask, now, maxAttempts) }
        : knownOutcome(queue, word, outcomes),
    );
  });
  return outcomes;
}

function knownOutcome(
  queue: QueueName,
  word: Exclude<Word, 1>,
  before: readonly EnqueueOutcome[],
): EnqueueOutcome {
  const [kind, a, b] = word;
  switch (kind) {
    case "same": {
      const { task } = before[Number(b) - 1] as { readonly task: Task };
      return { kind: a as "enqueued" | "deduplicated", task };
    }
    case "conflict":
    case "pruned":
      return { kind, id: `${queue}~${a}` as TaskId };
    case "full":
      return { kind: "queue-full", depth: Number(a), limit: Number(b) };
    default:
      return { kind: kind as "enqueued" | "deduplicated", task: foundTask(queue, word) };
  }
}

function foundTask(queue: QueueName, [, random, ...fields]: Exclude<Word, 1>): Task {
  return taskFrom(queue, random as string, fields as (string | null)[]);
}

/** The task as the script has just written it. */
function newTask(queue: QueueName, wanted: NewTask, now: EpochMs, maxAttempts: number): Task {
  const runAt = Math.max(now, wanted.runAt ?? now + (wanted.delayMs ?? 0));
  const { idempotencyKey, tags } = wanted;
  return {
    id: wanted.id,
    queue,
    priority: wanted.priority ?? 0,
    payload: wanted.payload,
    attempt: 0,
    maxAttempts: wanted.maxAttempts ?? maxAttempts,
    createdAt: now,
    runAt,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(tags !== undefined && { tags }),
    failures: [],
    state: runAt > now ? "scheduled" : "ready",
  };
}
