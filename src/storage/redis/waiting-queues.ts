import type { QueueName } from "../../task/ids.ts";

/** The net under the wake-ups: none is lost for longer, also when every message is. */
const LOOK_MS = 5_000;

export interface WaitingQueuesOptions {
  /** Whether who waits at a queue has reason to ask again. */
  look(queue: QueueName): Promise<boolean>;
  found(queue: QueueName): void;
}

/** The queues at which somebody in this process waits, each looked at every five seconds. */
export class WaitingQueues {
  readonly #options: WaitingQueuesOptions;
  readonly #queues = new Set<QueueName>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WaitingQueuesOptions) {
    this.#options = options;
  }

  has(queue: QueueName): boolean {
    return this.#queues.has(queue);
  }

  [Symbol.iterator](): Iterator<QueueName> {
    return [...this.#queues][Symbol.iterator]();
  }

  set(queue: QueueName, waiting: boolean): void {
    if (waiting) this.#queues.add(queue);
    else this.#queues.delete(queue);
    // The timer runs on while nobody waits, at most one round: parked claims come and go many times a second.
    if (waiting) this.#timer ??= setTimeout(() => this.#lookAtAll(), LOOK_MS).unref();
  }

  close(): void {
    this.#queues.clear();
    clearTimeout(this.#timer);
  }

  #lookAtAll(): void {
    this.#timer = undefined;
    for (const queue of this.#queues) void this.#lookAt(queue);
    if (this.#queues.size > 0) this.#timer = setTimeout(() => this.#lookAtAll(), LOOK_MS).unref();
  }

  async #lookAt(queue: QueueName): Promise<void> {
    try {
      if ((await this.#options.look(queue)) && this.has(queue)) this.#options.found(queue);
    } catch {
      // Away: the next look, or the reconnect, finds what is there.
    }
  }
}
