import type { TaskId } from "../../task/ids.ts";
import type { Engine } from "./engine.ts";
import type { QueueState } from "./queue-state.ts";
import { Step } from "./step.ts";

/**
 * The step of a call that names tasks by id: one, unless a task comes twice. Then what came before is
 * committed, so that the second mention sees what the first one did.
 */
export class Steps {
  readonly #engine: Engine;
  readonly #queue: QueueState;
  #first: TaskId | undefined;
  #seen: Set<TaskId> | undefined;
  last: Step;

  constructor(engine: Engine, queue: QueueState) {
    this.#engine = engine;
    this.#queue = queue;
    this.last = new Step(engine, queue);
  }

  /** The step that the move of this task belongs to. */
  for(id: TaskId): Step {
    if (this.#first === undefined) {
      this.#first = id;
      return this.last;
    }
    this.#seen ??= new Set([this.#first]);
    if (this.#seen.has(id)) {
      this.last.commit(true);
      this.last = new Step(this.#engine, this.#queue);
      this.#seen.clear();
    }
    this.#seen.add(id);
    return this.last;
  }
}
