import type { MoveOutcome, Storage } from "../storage/storage.ts";
import { type QueueName, queueOf, type TaskId } from "../task/ids.ts";
import type { Task } from "../task/task.ts";
import type { Calls } from "./calls.ts";
import type { SettleResult } from "./requests.ts";
import { taskNotFound, wrongState } from "./task-errors.ts";

export interface MovesOptions {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly noteFinished: (queue: QueueName, count: number) => void;
}

/** What moves a single task by its id, whoever holds it. */
export class Moves {
  readonly #options: MovesOptions;

  constructor(options: MovesOptions) {
    this.#options = options;
  }

  async cancel(id: TaskId): Promise<Task> {
    const { storage, calls, noteFinished } = this.#options;
    const queue = queueOf(id);
    const [outcome] = await calls.run("cancel", () => storage.cancel(queue, [id]));
    const task = moved(id, "cancel", outcome);
    noteFinished(queue, 1);
    return task;
  }

  async requeue(id: TaskId): Promise<Task> {
    const { storage, calls } = this.#options;
    const [outcome] = await calls.run("requeue", () => storage.requeue(queueOf(id), [id]));
    return moved(id, "requeue", outcome);
  }

  async forceRelease(id: TaskId): Promise<SettleResult> {
    const { storage, calls } = this.#options;
    const [outcome] = await calls.run("forceRelease", () => storage.forceRelease(queueOf(id), [id]));
    if (outcome === undefined || outcome.kind === "not-found") throw taskNotFound(id);
    if (outcome.kind === "wrong-state") throw wrongState(id, "release", outcome.state);
    return { id, state: outcome.kind };
  }
}

function moved(id: TaskId, verb: string, outcome: MoveOutcome | undefined): Task {
  if (outcome === undefined || outcome.kind === "not-found") throw taskNotFound(id);
  if (outcome.kind === "wrong-state") throw wrongState(id, verb, outcome.state);
  return outcome.task;
}
