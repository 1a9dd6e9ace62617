import type { QueueName, TaskId } from "../../task/ids.ts";
import type { TaskState } from "../../task/task.ts";
import type { PromoteReply, PruneReply, ReapReply } from "../storage.ts";
import { SCRIPTS } from "./scripts.ts";
import type { Store } from "./store.ts";
import type { WakeUps } from "./wake-ups.ts";

/**
 * Tasks that one script of a step takes. Redis serves nobody else meanwhile: reaping 500 at once took it 6 ms with a
 * million tasks pending, purging them 5.5 (`npm run bench -- redis-longest`), where 5 ms are allowed.
 */
const SCRIPT_TASKS_MAX = 250;

/** The verbs that take what is due, ended or too old, a bounded step at a time. */
export class Steps {
  readonly #store: Store;
  readonly #wakeUps: WakeUps;

  constructor(store: Store, wakeUps: WakeUps) {
    this.#store = store;
    this.#wakeUps = wakeUps;
  }

  async promoteDue(queue: QueueName, limit: number): Promise<PromoteReply> {
    const [, more, woken, latenessMs] = await this.#store.timed<[number, number, number, number[]]>(
      SCRIPTS.promote,
      queue,
      [this.#store.shift, this.#wakeUps.self(queue), limit],
    );
    if (latenessMs.length > 0) this.#wakeUps.readied(queue, woken);
    return { latenessMs, more: more === 1 };
  }

  async reapExpired(queue: QueueName, limit: number): Promise<ReapReply> {
    const replies = await inScripts(
      limit,
      (some) => this.#reap(queue, some),
      ({ reaped }) => reaped.length,
    );
    return { reaped: replies.flatMap(({ reaped }) => reaped), more: replies.at(-1)?.more ?? false };
  }

  async prune(queue: QueueName, limit: number): Promise<PruneReply> {
    const args = [this.#store.shift, limit];
    const [, pruned] = await this.#store.timed<[number, number]>(SCRIPTS.prune, queue, args);
    return { pruned, more: pruned === limit };
  }

  async purge(queue: QueueName, state: Exclude<TaskState, "leased">, limit: number): Promise<PruneReply> {
    const replies = await inScripts(
      limit,
      (some) => this.#purge(queue, state, some),
      ({ pruned }) => pruned,
    );
    const pruned = replies.reduce((sum, reply) => sum + reply.pruned, 0);
    return { pruned, more: replies.at(-1)?.more ?? false };
  }

  async #reap(queue: QueueName, limit: number): Promise<ReapReply> {
    const [, more, woken, words] = await this.#store.timed<[number, number, number, string[]]>(
      SCRIPTS.reap,
      queue,
      [this.#store.shift, this.#wakeUps.self(queue), limit],
    );
    const reaped = words.map((word) => ({
      id: `${queue}~${word.slice(0, 16)}` as TaskId,
      state: word.charAt(16) === "D" ? ("dead" as const) : ("ready" as const),
    }));
    for (const { id, state } of reaped)
      if (state === "dead") this.#wakeUps.tell({ kind: "finished", id, state });
    if (reaped.some(({ state }) => state === "ready")) this.#wakeUps.readied(queue, woken);
    return { reaped, more: more === 1 };
  }

  async #purge(queue: QueueName, state: TaskState, limit: number): Promise<PruneReply> {
    const args = [this.#store.shift, state, limit];
    const [, pruned, more] = await this.#store.timed<[number, number, number]>(SCRIPTS.purge, queue, args);
    return { pruned, more: more === 1 };
  }
}

/** Takes a step of `limit` tasks in as many scripts as it needs; `more` is as the last of them said it. */
async function inScripts<Reply extends { readonly more: boolean }>(
  limit: number,
  run: (limit: number) => Promise<Reply>,
  countOf: (reply: Reply) => number,
): Promise<Reply[]> {
  const replies: Reply[] = [];
  for (let left = limit; left > 0; ) {
    const reply = await run(Math.min(left, SCRIPT_TASKS_MAX));
    replies.push(reply);
    const count = countOf(reply);
    if (!reply.more || count === 0) break;
    left -= count;
  }
  return replies;
}
