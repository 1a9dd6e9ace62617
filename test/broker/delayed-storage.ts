import { setImmediate as nextTurn } from "node:timers/promises";
import type { Storage } from "../../src/storage/storage.ts";
import type { QueueName, TaskId } from "../../src/task/ids.ts";
import type { Task } from "../../src/task/task.ts";
import type { Random } from "../crash/random.ts";

type Verb = keyof Storage;

/** Verbs that answer with a promise. */
const SLOW: readonly Verb[] = [
  "enqueue",
  "claim",
  "settle",
  "heartbeat",
  "promoteDue",
  "reapExpired",
  "prune",
  "purge",
  "cancel",
  "requeue",
  "requeueDead",
  "forceRelease",
  "get",
];

/** What a task looked like, as text that can be compared; a dash when there was none. */
export function looks(task: Task | undefined): string {
  return task === undefined ? "-" : JSON.stringify(task);
}

/**
 * A store as far away as chance wants: each call travels for some turns of the event loop to the engine, and its
 * answer back. It remembers how the tasks looked after each call that reached the engine, and for each task the last
 * call that changed it and has been answered.
 */
export class DelayedStorage {
  readonly storage: Storage;
  readonly ids: TaskId[] = [];
  readonly #engine: Storage;
  readonly #queue: QueueName;
  readonly #random: Random;
  readonly #history: ReadonlyMap<TaskId, string>[] = [];
  readonly #answered = new Map<TaskId, number>();

  constructor(engine: Storage, queue: QueueName, random: Random) {
    this.#engine = engine;
    this.#queue = queue;
    this.#random = random;
    this.storage = new Proxy(engine, {
      get: (target, verb: Verb) => {
        const field: unknown = target[verb];
        if (typeof field !== "function") return field;
        const call = (args: unknown[]): unknown => field.apply(target, args);
        return SLOW.includes(verb)
          ? (...args: unknown[]) => this.#far(() => call(args))
          : (...args: unknown[]) => call(args);
      },
    });
  }

  /** The place in the history of the last answered call that changed the task. */
  answered(id: TaskId): number {
    return this.#answered.get(id) ?? 0;
  }

  /** How the task looked since that place, oldest first, each look once. */
  looksSince(place: number, id: TaskId): string[] {
    return [...new Set(this.#history.slice(place).map((looked) => looked.get(id) ?? "-"))];
  }

  async #far(call: () => unknown): Promise<unknown> {
    await this.#travel();
    const reply = call();
    // The engine in memory does a call when it is called, so nothing comes in between.
    const look = this.#engine.get(this.#queue, this.ids);
    const place = this.#history.push(new Map()) - 1;
    const ids = [...this.ids];
    const tasks = await look;
    this.#history[place] = new Map(ids.map((id, at) => [id, looks(tasks[at])]));
    await this.#travel();
    try {
      return await reply;
    } finally {
      for (const id of ids) if (this.#isChanged(id, place)) this.#answered.set(id, place);
    }
  }

  #isChanged(id: TaskId, place: number): boolean {
    const [before, after] = [place - 1, place].map((each) => this.#history[each]?.get(id));
    return before !== after && place > this.answered(id);
  }

  async #travel(): Promise<void> {
    for (let turns = this.#random.below(4); turns > 0; turns -= 1) await nextTurn();
  }
}
