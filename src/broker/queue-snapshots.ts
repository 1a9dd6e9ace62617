import type { Storage } from "../storage/storage.ts";
import type { QueueSnapshot } from "../task/queue.ts";
import type { Calls } from "./calls.ts";
import { Pace } from "./pace.ts";

/** With more queues than this a look at all of them is kept for a second. */
const FRESH_QUEUES_MAX = 20;
const KEPT_MS = 1_000;

/** All queues as they are, or were a moment ago; never two looks at the same time. */
export class QueueSnapshots {
  readonly #storage: Storage;
  readonly #calls: Calls;
  #look: Promise<readonly QueueSnapshot[]> | undefined;

  constructor(storage: Storage, calls: Calls) {
    this.#storage = storage;
    this.#calls = calls;
  }

  /** Sorted by name. Costs one call for each queue, whatever the number of tasks. */
  async recent(): Promise<readonly QueueSnapshot[]> {
    this.#look ??= this.fresh().then(
      (snapshots) => {
        if (snapshots.length <= FRESH_QUEUES_MAX) this.#forget();
        else setTimeout(() => this.#forget(), KEPT_MS).unref();
        return snapshots;
      },
      (error: unknown) => {
        this.#forget();
        throw error;
      },
    );
    return this.#look;
  }

  async fresh(): Promise<readonly QueueSnapshot[]> {
    const pace = new Pace();
    const snapshots: QueueSnapshot[] = [];
    for (const queue of await this.#calls.run("queues", () => this.#storage.queues())) {
      const snapshot = await this.#calls.run("snapshot", () => this.#storage.snapshot(queue));
      if (snapshot !== undefined) snapshots.push(snapshot);
      await pace.rest();
    }
    return snapshots;
  }

  #forget(): void {
    this.#look = undefined;
  }
}
