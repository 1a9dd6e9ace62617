import { randomBytes } from "node:crypto";
import { type QueueName, queueOf, type TaskId } from "../../task/ids.ts";
import type { FinishedState } from "../../task/task.ts";
import type { StorageEvent } from "../storage.ts";
import { memberOf } from "./asks.ts";
import { stateOfLetter } from "./record.ts";
import { SCRIPTS } from "./scripts.ts";
import type { Store } from "./store.ts";
import { WaitingQueues } from "./waiting-queues.ts";

/**
 * Who waits in this process, and what it is told.
 *
 * Each process has a channel. A claim that leaves somebody empty enters it at the queue, in its script; a script
 * that makes tasks ready takes one channel out and publishes to it, or answers `woken` 1 when it is the caller's.
 */
export class WakeUps {
  readonly #store: Store;
  readonly #channel: string;
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  readonly #waiting: WaitingQueues;
  /** Queues at whose wake-up this process was called, and has not claimed since. */
  readonly #owed = new Set<QueueName>();
  /** Queues at which this process may stand entered. */
  readonly #standsAt = new Set<QueueName>();

  constructor(store: Store) {
    this.#store = store;
    this.#channel = store.keys.brokerChannel(randomBytes(8).toString("base64url"));
    this.#waiting = new WaitingQueues({
      look: (queue) => this.#look(queue),
      found: (queue) => this.tell({ kind: "ready", queue }),
    });
  }

  async listen(onReconnect: () => void): Promise<void> {
    const { link, keys } = this.#store;
    await link.subscribe(this.#channel, (text) => this.#woken(text));
    await link.subscribe(keys.endsChannel, (text) => this.#heardEnds(text));
    await link.subscribe(keys.dueChannel, (text) => this.#heardDue(text));
    link.onReconnect(() => {
      onReconnect();
      // Messages may have been missed.
      for (const queue of this.#waiting) this.tell({ kind: "ready", queue });
    });
  }

  subscribe(listener: (event: StorageEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(event: StorageEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  setWaiting(queue: QueueName, waiting: boolean): void {
    this.#waiting.set(queue, waiting);
    if (!waiting && this.#owed.delete(queue)) this.#wakeNext(queue);
  }

  /** The channel of this process when somebody waits here, for a script to know the caller by. */
  self(queue: QueueName): string {
    if (!this.#waiting.has(queue)) return "";
    this.#standsAt.add(queue);
    return this.#channel;
  }

  /** A claim of the queue leaves: whoever was called has come. */
  claims(queue: QueueName): void {
    this.#owed.delete(queue);
  }

  /**
   * Tells who waits here at once that an enqueue was sent, so that their claim travels right behind it in the same
   * pipeline. False when nobody waits.
   */
  tellEarly(queue: QueueName): boolean {
    if (!this.#waiting.has(queue)) return false;
    // Should they leave without having claimed, the script has taken this process out in vain.
    this.#owed.add(queue);
    this.tell({ kind: "ready", queue });
    return true;
  }

  /** Tells of ready tasks once the call that made them has answered. */
  readied(queue: QueueName, woken: number): void {
    if (woken === 1) {
      if (this.#waiting.has(queue)) this.#owed.add(queue);
      else this.#wakeNext(queue);
    }
    this.tell({ kind: "ready", queue });
  }

  async awaitEnd(id: TaskId): Promise<void> {
    const queue = queueOf(id);
    await this.#store.run(SCRIPTS.await, queue, [this.#store.keys.endsChannel, memberOf(queue, id)]);
  }

  /** Leaves all queues: whoever stays entered after its end costs others a wake-up that nobody hears. */
  close(): void {
    this.#waiting.close();
    for (const queue of this.#standsAt) this.#wakeNext(queue);
    this.#standsAt.clear();
  }

  #woken(text: string): void {
    const queue = text.slice("ready ".length) as QueueName;
    if (!this.#waiting.has(queue)) this.#wakeNext(queue);
    else {
      this.#owed.add(queue);
      this.tell({ kind: "ready", queue });
    }
  }

  #heardEnds(text: string): void {
    const [queue, ...ends] = text.split(" ");
    for (const end of ends) {
      const id = `${queue}~${end.slice(0, 16)}` as TaskId;
      this.tell({ kind: "finished", id, state: stateOfLetter(end.charAt(16)) as FinishedState });
    }
  }

  #heardDue(text: string): void {
    const [at, queue] = text.split(" ");
    this.tell({ kind: "due", queue: queue as QueueName, at: Number(at) });
  }

  #wakeNext(queue: QueueName): void {
    // When it fails, the safety look of who waits finds the task.
    this.#store.run(SCRIPTS.wake, queue, [this.#store.shift, this.#channel]).catch(() => {});
  }

  /**
   * Whether something is ready, by one command, since it is sent while nothing happens. Tombstones, and the tasks of a paused
   * queue, look the same: then a claim is made in vain. It also enters this process again, should it wait there no more.
   */
  async #look(queue: QueueName): Promise<boolean> {
    const [first = "", ...others] = this.#store.keys.ready(queue);
    return (await this.#store.command<number>("EXISTS", first, ...others)) > 0;
  }
}
