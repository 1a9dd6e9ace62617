import type { QueueMessage, QueuePatchBody } from "../protocol/messages.ts";
import { LIMITS } from "../task/limits.ts";
import type { TaskState } from "../task/task.ts";
import type { Connection } from "./connection.ts";
import type { TaskView } from "./task-view.ts";

/** A queue as its operator sees it. Counts come from maintained counters: reading them is cheap. */
export type QueueView = Readonly<QueueMessage>;
/** A change of a queue's configuration; `backoff` and `retention` are merged field by field. */
export type QueuePatch = Readonly<QueuePatchBody>;

export interface TasksOptions {
  readonly state: TaskState;
  /** At most so many tasks. Default: all. */
  readonly limit?: number;
}

/** One queue, for operating it. It need not exist: its first task or its first configuration makes it. */
export class QueueHandle {
  readonly name: string;
  readonly #connection: () => Connection;

  constructor(name: string, connection: () => Connection) {
    this.name = name;
    this.#connection = connection;
  }

  /** @throws {QueueNotFoundError} */
  async get(): Promise<QueueView> {
    return this.#connection().queue(this.name);
  }

  async configure(patch: QueuePatch): Promise<QueueView> {
    return this.#connection().configure(this.name, patch);
  }

  /** Claims give nothing until `resume`; enqueueing goes on. */
  async pause(): Promise<QueueView> {
    return this.#connection().pause(this.name);
  }

  async resume(): Promise<QueueView> {
    return this.#connection().resume(this.name);
  }

  /**
   * The tasks of a state: ready ones in claim order, others by time. Reads page after page while you iterate;
   * a task that stays in the state all the while is given exactly once.
   */
  async *tasks(options: TasksOptions): AsyncGenerator<TaskView, void, undefined> {
    const { state } = options;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    let cursor: string | undefined;
    while (left > 0) {
      const limit = Math.min(left, LIMITS.listMax);
      const query = cursor === undefined ? { state, limit } : { state, limit, cursor };
      const page = await this.#connection().list(this.name, query);
      yield* page.tasks as TaskView[];
      left -= page.tasks.length;
      cursor = page.cursor;
      if (cursor === undefined) return;
    }
  }

  /** Brings back at most `limit` dead tasks (default and most 10,000), oldest first; gives their number. */
  async requeueDead(limit?: number): Promise<number> {
    return this.#connection().requeueDead(this.name, limit);
  }

  /** Removes all tasks of a state, whatever the retention; gives their number. Not for `leased`. */
  async purge(state: Exclude<TaskState, "leased">): Promise<number> {
    return this.#connection().purge(this.name, state);
  }
}
