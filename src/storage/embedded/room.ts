import type { NewTask } from "../../task/task.ts";
import type { EnqueueOutcome } from "../storage.ts";
import type { Engine } from "./engine.ts";
import { COST, keyCost } from "./memory.ts";
import type { QueueState } from "./queue-state.ts";

/** What one call may add before it meets a bound: its queue's, that on all tasks, that on memory. */
export class Room {
  readonly #engine: Engine;
  readonly #queue: QueueState;
  #added = 0;
  #bytes = 0;

  constructor(engine: Engine, queue: QueueState) {
    this.#engine = engine;
    this.#queue = queue;
  }

  /** The bound that is reached; undefined, and the room taken, when there is none. */
  take(task: NewTask): EnqueueOutcome | undefined {
    const refusal = this.#fullness();
    if (refusal !== undefined) return refusal;
    this.#added += 1;
    this.#bytes += COST.task + (task.idempotencyKey === undefined ? 0 : keyCost(task.idempotencyKey));
    return undefined;
  }

  #fullness(): EnqueueOutcome | undefined {
    const { maxDepth } = this.#queue.config;
    const depth = this.#queue.depth + this.#added;
    if (maxDepth !== null && depth >= maxDepth) return { kind: "queue-full", depth, limit: maxDepth };
    const { table, memory, options } = this.#engine;
    const tasks = table.size + this.#added;
    if (tasks >= options.tasksMax) return { kind: "store-full", tasks, limit: options.tasksMax };
    const bytes = memory.bytes + this.#bytes;
    if (bytes < options.memoryBytesMax) return undefined;
    return { kind: "memory-full", ...memory.use, tasks, bytes, limit: options.memoryBytesMax };
  }
}
