import type { StorageEvent } from "../storage/storage.ts";
import { type QueueName, queueOf, type TaskId } from "../task/ids.ts";
import { isFinished, type Task } from "../task/task.ts";
import type { TaskCache } from "./task-cache.ts";
import { taskNotFound } from "./task-errors.ts";

/** The longest delay that a timer takes; more would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * Tells those who wait for a task's end. Who waits enters first and reads then, so that an end in between is
 * not missed; the engine says who finished, and with several processes it will say it only for tasks that
 * somebody entered for.
 */
export class Results {
  readonly #tasks: TaskCache;
  readonly #awaited = new Map<TaskId, Set<Watch>>();
  #isDraining = false;

  constructor(tasks: TaskCache) {
    this.#tasks = tasks;
  }

  /**
   * The task once it is finished, or as it is after `waitMs`, when the caller went away, or when the broker
   * drains.
   *
   * @throws {TaskNotFoundError} when there is none, or none any more.
   */
  async wait(id: TaskId, waitMs: number, signal: AbortSignal | undefined): Promise<Task> {
    if (waitMs <= 0) return this.read(id);
    const deadline = performance.now() + waitMs;
    for (;;) {
      const watch = this.#enter(id, signal);
      try {
        const task = found(id, await this.#tasks.readAnew(id));
        const leftMs = deadline - performance.now();
        if (isFinished(task.state) || leftMs <= 0 || signal?.aborted || this.#isDraining) return task;
        await watch.ended(leftMs);
      } finally {
        this.#leave(id, watch);
      }
    }
  }

  /** The task as the cache knows it, while that is on. */
  async read(id: TaskId): Promise<Task> {
    return found(id, await this.#tasks.read(id));
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

  #tell(id: TaskId): void {
    for (const watch of this.#awaited.get(id) ?? []) watch.end();
  }

  #enter(id: TaskId, signal: AbortSignal | undefined): Watch {
    const watch = new Watch(signal);
    const watches = this.#awaited.get(id);
    if (watches === undefined) this.#awaited.set(id, new Set([watch]));
    else watches.add(watch);
    return watch;
  }

  #leave(id: TaskId, watch: Watch): void {
    watch.end();
    const watches = this.#awaited.get(id);
    watches?.delete(watch);
    if (watches?.size === 0) this.#awaited.delete(id);
  }
}

function found(id: TaskId, task: Task | undefined): Task {
  if (task === undefined) throw taskNotFound(id);
  return task;
}

/** One look out for the end of a task: over when the end is told, the time is up, or the caller goes away. */
class Watch {
  readonly #signal: AbortSignal | undefined;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;
  #resolve: (() => void) | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  ended(leftMs: number): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#timer = setTimeout(this.end, Math.min(leftMs, TIMER_MS_MAX));
      this.#signal?.addEventListener("abort", this.end);
    });
  }

  readonly end = (): void => {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.end);
    this.#resolve?.();
  };
}
