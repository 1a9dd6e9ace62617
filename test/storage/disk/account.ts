import type { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import type { QueueName, TaskId } from "../../../src/task/ids.ts";
import { type ClaimedTask, type NewTask, TASK_STATES, type Task } from "../../../src/task/task.ts";

/**
 * Stands before an engine and remembers what it was given and what it gave: every payload by its id, and of every task
 * the fence of its last claim. Throws at once when it gives something else.
 */
export class Account {
  readonly #payloads = new Map<TaskId, string>();
  readonly #fences = new Map<TaskId, number>();

  /** The engine, every enqueue and claim of which is looked at. */
  over(storage: EmbeddedStorage): EmbeddedStorage {
    return new Proxy(storage, {
      get: (target, verb) => {
        if (verb === "enqueue") {
          return async (queue: QueueName, tasks: readonly NewTask[]) => {
            const outcomes = await target.enqueue(queue, tasks);
            for (const [index, { kind }] of outcomes.entries()) {
              const { id, payload } = tasks[index] as NewTask;
              if (kind === "enqueued") this.#payloads.set(id, payload);
            }
            return outcomes;
          };
        }
        if (verb === "claim") {
          return async (...args: Parameters<EmbeddedStorage["claim"]>) => {
            const reply = await target.claim(...args);
            this.#claimed(reply.grants.flat());
            return reply;
          };
        }
        if (verb === "settle") {
          return async (...args: Parameters<EmbeddedStorage["settle"]>) => {
            const reply = await target.settle(...args);
            this.#claimed(reply.claim.grants.flat());
            return reply;
          };
        }
        const value = Reflect.get(target, verb, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  #claimed(tasks: readonly ClaimedTask[]): void {
    for (const { id, payload, lease } of tasks) {
      if (payload !== this.#payloads.get(id)) throw new Error(`${id} was handed out with another payload`);
      if (lease.fence <= (this.#fences.get(id) ?? 0))
        throw new Error(`${id} came again with fence ${lease.fence}`);
      this.#fences.set(id, lease.fence);
    }
  }

  /** Throws when a task is lost or doubled, has another payload, or is leased to nobody. */
  async expectKept(storage: EmbeddedStorage): Promise<void> {
    const listed = new Set<TaskId>();
    let pruned = 0;
    for (const queue of await storage.queues()) {
      pruned += (await storage.snapshot(queue))?.pruned ?? 0;
      for (const state of TASK_STATES) {
        for (const task of (await storage.list(queue, { state, limit: 1_000 })).tasks) {
          if (listed.has(task.id)) throw new Error(`${task.id} is there twice`);
          listed.add(task.id);
          this.#expectKnown(task);
        }
      }
    }
    const lost = this.#payloads.size - listed.size - pruned;
    if (lost !== 0) throw new Error(`${lost} tasks are lost`);
  }

  #expectKnown(task: Task): void {
    if (task.payload !== this.#payloads.get(task.id)) throw new Error(`${task.id} has another payload`);
    if (task.state === "leased" && task.lease.fence !== this.#fences.get(task.id))
      throw new Error(`${task.id} is leased to nobody`);
  }
}
