import type { Storage, StorageEvent } from "../storage/storage.ts";
import { StorageUnavailableError } from "../task/errors.ts";
import { type QueueName, queueOf, type TaskId } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import { isFinished, type Task } from "../task/task.ts";
import type { Calls } from "./calls.ts";
import { EndWatch } from "./end-watch.ts";
import type { Logger } from "./logger.ts";
import { Loop } from "./loop.ts";
import { bytesOf } from "./sizes.ts";
import type { TaskCache } from "./task-cache.ts";
import { taskNotFound } from "./task-errors.ts";

/** How often those who wait are looked after, though nobody was told of an end: a message may get lost. */
const LOOK_MS = 5_000;
/** Bound on the payloads that one call of such a look brings. */
const LOOK_BYTES_MAX = 4 * 1024 * 1024;
/** Who waited when the storage failed asks again so much later. */
const RETRY_MS = 1_000;

/** A task that somebody waits for. */
interface Awaited {
  readonly watches: Set<EndWatch>;
  /** The engine was asked to tell of its end; undefined when it must be asked anew. */
  told: Promise<void> | undefined;
  payloadBytes: number;
}

export interface ResultsOptions {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly cache: TaskCache;
  readonly logger: Logger;
}

/**
 * Tells those who wait for a task's end. Who waits enters first and reads then, so that an end in between is
 * not missed. The engine says who finished; with several processes, only of tasks that were asked for.
 */
export class Results {
  readonly #options: ResultsOptions;
  readonly #loop: Loop;
  readonly #awaited = new Map<TaskId, Awaited>();
  #isDraining = false;

  constructor(options: ResultsOptions) {
    this.#options = options;
    this.#loop = new Loop({ name: "result", round: () => this.#round(), logger: options.logger });
  }

  start(): void {
    this.#loop.start(LOOK_MS);
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /**
   * The task once it is finished, or as it is after `waitMs`, when the caller went away, or when the broker
   * drains. A storage that fails meanwhile is asked again; only the first and the last look must succeed.
   *
   * @throws {TaskNotFoundError} when there is none, or none any more.
   */
  async wait(id: TaskId, waitMs: number, signal: AbortSignal | undefined): Promise<Task> {
    if (waitMs <= 0) return this.read(id);
    const deadline = performance.now() + waitMs;
    for (let isFirst = true; ; isFirst = false) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || signal?.aborted || this.#isDraining) return this.#readAnew(id);
      const watch = this.#enter(id, signal);
      try {
        const task = await this.#look(id);
        if (isFinished(task.state)) return task;
        await watch.ended(deadline - performance.now());
      } catch (error) {
        if (isFirst || !(error instanceof StorageUnavailableError)) throw error;
        await watch.ended(Math.min(leftMs, RETRY_MS));
      } finally {
        this.#leave(id, watch);
      }
    }
  }

  /** The task as the cache knows it, while that is on. */
  async read(id: TaskId): Promise<Task> {
    return found(id, await this.#options.cache.read(id));
  }

  heard(event: StorageEvent): void {
    if (event.kind === "finished" && this.#awaited.size > 0) this.#tell(event.id);
  }

  /** Lets all who wait for tasks of a queue look again: tasks were removed. */
  recheck(queue: QueueName): void {
    for (const id of this.#awaited.keys()) if (queueOf(id) === queue) this.#tell(id);
  }

  drain(): void {
    this.#isDraining = true;
    for (const id of this.#awaited.keys()) this.#tell(id);
  }

  /** Looks after all who wait, whatever was told. */
  async runOnce(): Promise<void> {
    const { storage, calls } = this.#options;
    for (const [queue, ids] of this.#portions()) {
      const tasks = await calls.run("get", () => storage.get(queue, ids));
      for (const [place, task] of tasks.entries()) {
        if (task === undefined || isFinished(task.state)) this.#tell(ids[place] as TaskId);
      }
    }
  }

  async #round(): Promise<number> {
    if (this.#awaited.size > 0) await this.runOnce();
    return LOOK_MS;
  }

  /** The awaited tasks in portions that fit one call. */
  #portions(): [QueueName, TaskId[]][] {
    const portions: [QueueName, TaskId[]][] = [];
    const open = new Map<QueueName, { ids: TaskId[]; bytes: number }>();
    for (const [id, { payloadBytes }] of this.#awaited) {
      const queue = queueOf(id);
      let portion = open.get(queue);
      const isFull =
        portion !== undefined &&
        (portion.ids.length >= LIMITS.batchMax || portion.bytes + payloadBytes > LOOK_BYTES_MAX);
      if (portion === undefined || isFull) {
        portion = { ids: [], bytes: 0 };
        open.set(queue, portion);
        portions.push([queue, portion.ids]);
      }
      portion.ids.push(id);
      portion.bytes += payloadBytes;
    }
    return portions;
  }

  /** Asks to be told and reads, both in the same moment: a task that has ended already costs no second trip. */
  async #look(id: TaskId): Promise<Task> {
    const awaited = this.#awaited.get(id) as Awaited;
    awaited.told ??= this.#options.calls.run("awaitEnd", () => this.#options.storage.awaitEnd(id));
    const [task] = await Promise.all([this.#readAnew(id), awaited.told]).catch((error: unknown) => {
      awaited.told = undefined;
      throw error;
    });
    awaited.payloadBytes = bytesOf(task.payload);
    return task;
  }

  async #readAnew(id: TaskId): Promise<Task> {
    return found(id, await this.#options.cache.readAnew(id));
  }

  #tell(id: TaskId): void {
    const awaited = this.#awaited.get(id);
    if (awaited === undefined) return;
    awaited.told = undefined;
    for (const watch of awaited.watches) watch.end();
  }

  #enter(id: TaskId, signal: AbortSignal | undefined): EndWatch {
    const watch = new EndWatch(signal);
    const awaited = this.#awaited.get(id);
    if (awaited !== undefined) awaited.watches.add(watch);
    else this.#awaited.set(id, { watches: new Set([watch]), told: undefined, payloadBytes: 0 });
    return watch;
  }

  #leave(id: TaskId, watch: EndWatch): void {
    watch.end();
    const watches = this.#awaited.get(id)?.watches;
    watches?.delete(watch);
    if (watches?.size === 0) this.#awaited.delete(id);
  }
}

function found(id: TaskId, task: Task | undefined): Task {
  if (task === undefined) throw taskNotFound(id);
  return task;
}
