import type { EnqueueOutcome, Storage } from "../storage/storage.ts";
import { type DibsError, IdempotencyConflictError, QueueFullError } from "../task/errors.ts";
import { newTaskId, type QueueName } from "../task/ids.ts";
import { assertNever, type NewTask } from "../task/task.ts";
import { type Answers, ManyAnswers, OneAnswer } from "./answers.ts";
import { type Group, Groups } from "./groups.ts";
import type { Line } from "./line.ts";
import type { Lines } from "./lines.ts";
import type { MergedCall } from "./merger.ts";
import { payloadHash } from "./payload-hash.ts";
import type { EnqueueRequest, EnqueueResult } from "./requests.ts";
import { bytesOf, tooLarge } from "./sizes.ts";

/** What accepts new tasks: makes their ids, sees to their size, and says what became of each. */
export class Enqueues {
  readonly #lines: Lines;
  readonly #payloadBytesMax: number;

  constructor(lines: Lines, payloadBytesMax: number) {
    this.#lines = lines;
    this.#payloadBytesMax = payloadBytesMax;
  }

  one(request: EnqueueRequest): Promise<EnqueueResult> {
    const answer = new OneAnswer<EnqueueResult>();
    const fault = tooLarge("payload", request.payload, this.#payloadBytesMax);
    if (fault === undefined) {
      const line = this.#lines.of(request.queue);
      const bytes = bytesOf(request.payload);
      line.enqueues.add(new EnqueueCall(line, [newTask(request)], FIRST, bytes, answer));
    } else answer.take(fault);
    return answer.promise;
  }

  many(requests: readonly EnqueueRequest[]): Promise<(EnqueueResult | DibsError)[]> {
    const answers = new ManyAnswers<EnqueueResult>(requests.length);
    for (const group of this.#grouped(requests, answers)) {
      const line = this.#lines.of(group.queue);
      line.enqueues.add(new EnqueueCall(line, group.items, group.places, group.bytes, answers));
    }
    return answers.promise;
  }

  #grouped(requests: readonly EnqueueRequest[], answers: Answers<EnqueueResult>): readonly Group<NewTask>[] {
    const groups = new Groups<NewTask>();
    for (const [place, request] of requests.entries()) {
      const fault = tooLarge("payload", request.payload, this.#payloadBytesMax);
      if (fault !== undefined) answers.take(fault, place);
      else groups.add(request.queue, newTask(request), place, bytesOf(request.payload));
    }
    return groups.all();
  }
}

const FIRST: readonly number[] = [0];

/** The task of a request, field by field: what a spread makes is five times slower to read in the engine. */
function newTask(request: EnqueueRequest): NewTask {
  const { payload, priority, runAt, delayMs, maxAttempts, backoff, idempotencyKey, tags } = request;
  const task: { -readonly [K in keyof NewTask]: NewTask[K] } = { id: newTaskId(request.queue), payload };
  if (priority !== undefined) task.priority = priority;
  if (runAt !== undefined) task.runAt = runAt;
  if (delayMs !== undefined) task.delayMs = delayMs;
  if (maxAttempts !== undefined) task.maxAttempts = maxAttempts;
  if (backoff !== undefined) task.backoff = backoff;
  if (tags !== undefined) task.tags = tags;
  if (idempotencyKey !== undefined) {
    task.idempotencyKey = idempotencyKey;
    task.payloadHash = payloadHash(payload);
  }
  return task;
}

/** New tasks of one caller for one queue. */
export class EnqueueCall implements MergedCall<readonly EnqueueOutcome[]> {
  readonly tasks: readonly NewTask[];
  readonly bytes: number;
  /** Where this caller's outcomes begin in the reply. */
  from = 0;
  readonly #line: Line;
  readonly #places: readonly number[];
  readonly #answers: Answers<EnqueueResult>;
  readonly #startedAt = performance.now();

  constructor(
    line: Line,
    tasks: readonly NewTask[],
    places: readonly number[],
    bytes: number,
    answers: Answers<EnqueueResult>,
  ) {
    this.#line = line;
    this.tasks = tasks;
    this.#places = places;
    this.bytes = bytes;
    this.#answers = answers;
  }

  get weight(): number {
    return this.tasks.length;
  }

  deal(reply: readonly EnqueueOutcome[], now: number): void {
    this.#line.meters.enqueueSeconds.record((now - this.#startedAt) / 1_000);
    for (let index = 0; index < this.tasks.length; index += 1) {
      const outcome = reply[this.from + index] as EnqueueOutcome;
      const answer = this.#answer(outcome, this.tasks[index] as NewTask);
      this.#answers.take(answer, this.#places[index] as number);
    }
  }

  fail(error: DibsError): void {
    for (const place of this.#places) this.#answers.take(error, place);
  }

  #answer(outcome: EnqueueOutcome, task: NewTask): EnqueueResult | DibsError {
    switch (outcome.kind) {
      case "enqueued":
        this.#line.meter.enqueued += 1;
        if (outcome.task.state === "scheduled") this.#line.expectDue(outcome.task.runAt);
        return { task: outcome.task, deduplicated: false };
      case "deduplicated":
        return { task: outcome.task, deduplicated: true };
      case "pruned": {
        const pruned = { id: outcome.id, queue: this.#line.queue, state: "pruned" } as const;
        return { task: pruned, deduplicated: true };
      }
      case "conflict":
        return conflict(this.#line.queue, task, outcome);
      case "queue-full":
        return queueFull(this.#line.queue, outcome);
      case "store-full":
        return storeFull(this.#line.queue, outcome);
      case "memory-full":
        return memoryFull(this.#line.queue, outcome);
      default:
        return assertNever(outcome);
    }
  }
}

/** Sends the tasks of many callers as one. */
export function sendEnqueues(
  storage: Storage,
  queue: QueueName,
  calls: readonly EnqueueCall[],
): Promise<EnqueueOutcome[]> {
  if (calls.length === 1) return storage.enqueue(queue, (calls[0] as EnqueueCall).tasks);
  const tasks: NewTask[] = [];
  for (const call of calls) {
    call.from = tasks.length;
    for (const task of call.tasks) tasks.push(task);
  }
  return storage.enqueue(queue, tasks);
}

type OutcomeOf<K extends EnqueueOutcome["kind"]> = Extract<EnqueueOutcome, { kind: K }>;

function conflict(queue: QueueName, task: NewTask, { id }: OutcomeOf<"conflict">): DibsError {
  const key = task.idempotencyKey;
  return new IdempotencyConflictError(
    `Idempotency key ${JSON.stringify(key)} of queue ${queue} belongs to task ${id}, which has another payload`,
    { details: { queue, idempotencyKey: key, id } },
  );
}

function queueFull(queue: QueueName, { depth, limit }: OutcomeOf<"queue-full">): DibsError {
  return new QueueFullError(`Queue ${queue} is full: ${depth} unfinished tasks, the limit is ${limit}`, {
    details: { queue, depth, limit },
  });
}

function storeFull(queue: QueueName, { tasks, limit }: OutcomeOf<"store-full">): DibsError {
  return new QueueFullError(
    `The store is full: ${tasks} tasks of all queues, finished ones included, the limit is ${limit}`,
    { details: { queue, tasks, limit } },
  );
}

function memoryFull(queue: QueueName, { tasks, keys, bytes, limit }: OutcomeOf<"memory-full">): DibsError {
  return new QueueFullError(
    `The store is full: ${tasks} tasks and ${keys} idempotency keys of all queues, those of removed tasks included, take about ${bytes} bytes of memory, the limit is ${limit} (memoryBytesMax)`,
    { details: { queue, tasks, keys, memoryBytes: bytes, limit } },
  );
}
