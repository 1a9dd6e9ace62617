import { setMaxListeners } from "node:events";
import type {
  ClaimBody,
  ClaimedTaskMessage,
  EnqueueItemAnswer,
  ErrorMessage,
  HeartbeatsBody,
  OutcomeBody,
  SettledAnswer,
  SettleItemAnswer,
} from "../protocol/messages.ts";
import { DibsError, errorFromCode, InvalidRequestError } from "../task/errors.ts";
import type { Connection, EnqueueItem, OutcomeItem } from "./connection.ts";
import { defineTask, type TaskDefinition } from "./definition.ts";
import { type EnqueueOptions, itemOf, itemOrError } from "./enqueue-item.ts";
import { toJsonText } from "./json-text.ts";
import { present } from "./options.ts";
import { QueueHandle, type QueueView } from "./queue-handle.ts";
import { type WaitOptions, waitForResult } from "./result-waiter.ts";
import type { Handler, TaskHandler } from "./task-handler.ts";
import type { ClaimedTaskView, EnqueuedTask, ResultOf, TaskView } from "./task-view.ts";
import { Worker } from "./worker.ts";
import type { WorkerOptions } from "./worker-options.ts";

/** What became of one item of `enqueueMany`: `error` is undefined exactly when it was accepted. */
export type EnqueueOutcome<Payload = unknown, Result = unknown> =
  | { readonly task: EnqueuedTask<Payload, Result>; readonly error?: undefined }
  | { readonly task?: undefined; readonly error: DibsError };

export type ClaimOptions = Readonly<ClaimBody> & { readonly signal?: AbortSignal };
/** The end of one claim. */
export type SettleOutcome = Readonly<OutcomeBody>;
export type SettledOutcome =
  | (Readonly<SettledAnswer> & { readonly error?: undefined })
  | { readonly id: string; readonly error: DibsError };
export type HeartbeatOutcome =
  | { readonly id: string; readonly expiresAt: number; readonly error?: undefined }
  | { readonly id: string; readonly error: DibsError };

type AnyTask<Result> = string | ({ readonly id: string } & ResultOf<Result>);

/**
 * Dibs as a program sees it: the same over HTTP, on a folder and in memory. Made by `connect()`.
 *
 * Every rejection is a `DibsError` with a `code`; `retryable` says whether the same call can succeed later.
 */
export class Dibs {
  readonly #connection: Connection;
  readonly #workers = new Set<Worker>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
    // Every call that waits listens to it, so there is no number of listeners that means a leak.
    setMaxListeners(0, this.#closing.signal);
  }

  /** The URL or folder that this client is connected to, without credentials. */
  get place(): string {
    return this.#connection.place;
  }

  /**
   * Adds a task. It is as durable as the store promises when the promise resolves.
   *
   * @throws {InvalidPayload} when the payload does not fit the definition's schema.
   * @throws {IdempotencyConflictError} when the key was used with another payload.
   * @throws {QueueFullError} when the queue's `maxDepth` is reached.
   */
  enqueue(queue: string, payload?: unknown, options?: EnqueueOptions): Promise<EnqueuedTask>;
  enqueue<Input, Payload, Result>(
    definition: TaskDefinition<Input, Payload, Result>,
    payload: NoInfer<Input>,
    options?: EnqueueOptions,
  ): Promise<EnqueuedTask<Input, Result>>;
  async enqueue(
    queue: string | TaskDefinition,
    payload?: unknown,
    options: EnqueueOptions = {},
  ): Promise<EnqueuedTask> {
    const item = await itemOf(definitionOf(queue), payload, options);
    return (await this.#open().enqueue(item)) as EnqueuedTask;
  }

  /**
   * Adds many tasks, any number of them, in order; one outcome each, in order. `options` may be a function of
   * the payload and its index. Rejects when nothing could be sent at all.
   */
  enqueueMany<Input>(
    queue: string,
    payloads: readonly Input[],
    options?: EnqueueOptions | ((payload: Input, index: number) => EnqueueOptions),
  ): Promise<EnqueueOutcome<Input>[]>;
  enqueueMany<Input, Payload, Result>(
    definition: TaskDefinition<Input, Payload, Result>,
    payloads: readonly NoInfer<Input>[],
    options?: EnqueueOptions | ((payload: Input, index: number) => EnqueueOptions),
  ): Promise<EnqueueOutcome<Input, Result>[]>;
  async enqueueMany(
    queue: string | TaskDefinition,
    payloads: readonly unknown[],
    options: EnqueueOptions | ((payload: unknown, index: number) => EnqueueOptions) = {},
  ): Promise<EnqueueOutcome[]> {
    const definition = definitionOf(queue);
    const optionsAt = typeof options === "function" ? options : () => options;
    const items: (EnqueueItem | DibsError)[] = [];
    for (const [index, payload] of payloads.entries()) {
      items.push(await itemOrError(definition, payload, optionsAt(payload, index)));
    }
    const sound = items.filter((item): item is EnqueueItem => !(item instanceof DibsError));
    const answers = sound.length === 0 ? [] : await this.#open().enqueueMany(sound);
    const inOrder = answers.values();
    return items.map((item) =>
      item instanceof DibsError ? { error: item } : outcomeOf(inOrder.next().value as EnqueueItemAnswer),
    );
  }

  /**
   * Waits until a task is finished and gives its result; undefined when the handler returned nothing.
   *
   * @throws {TaskDead} @throws {TaskCancelled}
   * @throws {TimeoutError} after `timeoutMs`; the task goes on.
   */
  async waitForResult<Result = unknown>(task: AnyTask<Result>, options: WaitOptions = {}): Promise<Result> {
    const signal = this.#untilClosed(options.signal);
    return (await waitForResult(this.#open(), idOf(task), { ...options, signal })) as Result;
  }

  /** @throws {TaskNotFoundError} */
  async task<Result = unknown>(task: AnyTask<Result>): Promise<TaskView<unknown, Result>> {
    return (await this.#open().task(idOf(task))) as TaskView<unknown, Result>;
  }

  /** Ends an unfinished task; the signal of its handler, if one runs, aborts with `cancelled`. */
  async cancel(task: AnyTask<unknown>): Promise<TaskView> {
    return (await this.#open().cancel(idOf(task))) as TaskView;
  }

  /** Brings a dead, cancelled or scheduled task to ready now, with its attempts begun anew. */
  async requeue(task: AnyTask<unknown>): Promise<TaskView> {
    return (await this.#open().requeue(idOf(task))) as TaskView;
  }

  /** Takes a leased task from its holder, without a token: for an operator and a stuck long lease. */
  async forceRelease(task: AnyTask<unknown>): Promise<SettledAnswer> {
    return this.#open().forceRelease(idOf(task));
  }

  async queues(): Promise<QueueView[]> {
    return this.#open().queues();
  }

  queue(name: string | TaskDefinition): QueueHandle {
    return new QueueHandle(typeof name === "string" ? name : name.queue, () => this.#open());
  }

  /**
   * Takes ready tasks under a lease: for programs that cannot use a worker. Aborting `signal` gives back what
   * was claimed in that instant; an answer that was already arriving is still given.
   */
  async claim<Payload = unknown>(options: ClaimOptions): Promise<ClaimedTaskView<Payload>[]> {
    const { signal, ...body } = options;
    const tasks = await this.#open().claim(present(body), this.#untilClosed(signal));
    return tasks as ClaimedTaskView<Payload>[];
  }

  /** Ends claims, and claims the next tasks when asked to, in one call. */
  async settle(
    outcomes: readonly SettleOutcome[],
    claim?: ClaimOptions,
  ): Promise<{ readonly results: SettledOutcome[]; readonly tasks: ClaimedTaskView[] }> {
    const items = outcomes.map(({ result, ...item }): OutcomeItem => {
      const resultJson = toJsonText(`The result of task ${item.id}`, result);
      return resultJson === undefined ? present(item) : { ...present(item), resultJson };
    });
    const { signal, ...body } = claim ?? { queues: [] };
    const next = claim === undefined || signal?.aborted ? undefined : present(body);
    const until = this.#untilClosed(signal);
    const reply = await this.#open().settle(items, next, () => until);
    return { results: reply.results.map(settledOf), tasks: reply.tasks as ClaimedTaskMessage[] };
  }

  /** Moves the end of held leases to now + `leaseMs`. */
  async heartbeat(leases: HeartbeatsBody["leases"]): Promise<HeartbeatOutcome[]> {
    const items = await this.#open().heartbeats({ leases: leases.map(present) });
    return items.map((item) => ("error" in item ? { id: item.id, error: errorOf(item.error) } : item));
  }

  /**
   * Starts a worker: it claims tasks, runs the handler with each, and settles them. A URL is a module whose
   * default export is the handler; it runs in worker threads, for work that is heavy on the CPU.
   */
  work(queue: string, handle: Handler | URL, options?: WorkerOptions): Worker;
  /** Starts a worker for several kinds of task with one set of slots; queues are tried in this order. */
  work(handlers: readonly TaskHandler[], options?: WorkerOptions): Worker;
  work<Input, Payload, Result>(
    definition: TaskDefinition<Input, Payload, Result>,
    handle: Handler<Payload, NoInfer<Result>> | URL,
    options?: WorkerOptions,
  ): Worker;
  work(
    what: string | TaskDefinition | readonly TaskHandler[],
    handleOrOptions?: Handler | URL | WorkerOptions,
    lastOptions?: WorkerOptions,
  ): Worker {
    const several = Array.isArray(what);
    const handlers = several
      ? (what as readonly TaskHandler[])
      : [definitionOf(what as string | TaskDefinition).handler(handleOrOptions as Handler | URL)];
    const options = (several ? handleOrOptions : lastOptions) as WorkerOptions | undefined;
    if (this.#closed !== undefined) throw closedError(this.place);
    const worker = new Worker(this.#open(), handlers, options);
    this.#workers.add(worker);
    worker.once("closed", () => this.#workers.delete(worker));
    worker.start();
    return worker;
  }

  /** Closes the workers of this client, each after its drain, and then the connection. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.close()));
    this.#closing.abort(closedError(this.place));
    await this.#connection.close();
  }

  /** Handlers that end while the workers drain may still call. */
  #open(): Connection {
    this.#closing.signal.throwIfAborted();
    return this.#connection;
  }

  /** What waits for long ends when the client is closed. */
  #untilClosed(signal?: AbortSignal): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
  }
}

function closedError(place: string): InvalidRequestError {
  return new InvalidRequestError(`This client of ${place} is closed`);
}

function definitionOf(queue: string | TaskDefinition): TaskDefinition {
  return typeof queue === "string" ? defineTask({ queue }) : queue;
}

function outcomeOf(answer: EnqueueItemAnswer): EnqueueOutcome {
  if ("error" in answer) return { error: errorOf(answer.error) };
  const { task, deduplicated } = answer;
  return { task: (deduplicated ? { ...task, deduplicated } : task) as EnqueuedTask };
}

function settledOf(item: SettleItemAnswer): SettledOutcome {
  return "error" in item ? { id: item.id, error: errorOf(item.error) } : item;
}

function errorOf({ code, message, details }: ErrorMessage): DibsError {
  return errorFromCode(code, message, details === undefined ? {} : { details });
}

function idOf(task: AnyTask<unknown>): string {
  return typeof task === "string" ? task : task.id;
}
