import { parseQueueName, type QueueName } from "../../task/ids.ts";
import type { Store } from "./store.ts";

/** The list of all queues. In a cluster it lives in a slot of its own, so no queue's script can write it. */
export class QueueNames {
  readonly #store: Store;
  /** Those that this process has entered. */
  readonly #entered = new Set<QueueName>();
  /** Those that were ever read or used here. Queues are for ever, and a reading may be older than a name entered meanwhile. */
  readonly #known = new Set<QueueName>();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Runs the call that makes a queue when it is not there, and enters its name before it, once for each process; both
   * travel together. The call answers as its fourth value whether it made the queue.
   *
   * The name first: a process that dies in between leaves a name without a queue, which a listing leaves out, and
   * never a queue that no listing, no look for what is due and no prune finds.
   */
  async making<Reply extends readonly [now: number, a: unknown, b: unknown, made: number, ...unknown[]]>(
    queue: QueueName,
    call: () => Promise<Reply>,
  ): Promise<Reply> {
    if (!this.#entered.has(queue)) {
      const [, reply] = await Promise.all([this.#enter(queue), call()]);
      return reply;
    }
    const reply = await call();
    // It should have been there: somebody has flushed the store, and its name is gone too.
    if (reply[3] === 1) await this.#enter(queue);
    return reply;
  }

  /** After a reconnect: the server may have come back without its data. */
  forget(): void {
    this.#entered.clear();
  }

  /** All names that were ever entered, in no order. */
  async read(): Promise<QueueName[]> {
    const names = await this.#store.command<string[]>("SMEMBERS", this.#store.keys.queues);
    const read = names.flatMap((name) => parseQueueName(name) ?? []);
    for (const name of read) this.#known.add(name);
    return read;
  }

  /** The names as they were last known, for while the list is out of reach. */
  get known(): readonly QueueName[] {
    return [...this.#known];
  }

  /** Where the list is out of reach, the queue is not: its name is entered with a later call. */
  async #enter(queue: QueueName): Promise<void> {
    this.#known.add(queue);
    try {
      await this.#store.command("SADD", this.#store.keys.queues, queue);
      this.#entered.add(queue);
    } catch {
      this.#entered.delete(queue);
    }
  }
}
