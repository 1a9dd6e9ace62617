import type { ListPage, ListRequest, QueueChange, Storage } from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { QueueConfigPatch, QueueSnapshot } from "../task/queue.ts";
import type { TaskState } from "../task/task.ts";
import type { Calls } from "./calls.ts";
import type { Lines } from "./lines.ts";
import { percentilesOf } from "./minute-window.ts";
import { Pace } from "./pace.ts";
import type { Peers, QueueFigures } from "./peers.ts";
import type { QueueSnapshots } from "./queue-snapshots.ts";
import type { QueueView } from "./requests.ts";
import { queueNotFound } from "./task-errors.ts";

export interface QueuesOptions {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly lines: Lines;
  readonly snapshots: QueueSnapshots;
  readonly peers: Peers;
  /** The retention of a queue changed. */
  readonly hurryPrune: (queue: QueueName) => void;
  /** Tasks of a queue were removed. */
  readonly onPurged: (queue: QueueName) => void;
}

/** What an operator sees of queues, and does to them. Large things are done in bounded steps (I9). */
export class Queues {
  readonly #options: QueuesOptions;

  constructor(options: QueuesOptions) {
    this.#options = options;
  }

  async all(): Promise<QueueView[]> {
    const { snapshots, peers } = this.#options;
    const [found, waiting] = await Promise.all([snapshots.fresh(), peers.waiting()]);
    return found.map((snapshot) => {
      const own = this.figures(snapshot.queue);
      const elsewhere = waiting.reduce((sum, counts) => sum + (counts[snapshot.queue] ?? 0), 0);
      return viewOf(snapshot, [own, { waiting: elsewhere, claim: [], wait: [] }]);
    });
  }

  /** @throws {QueueNotFoundError} */
  async one(queue: QueueName): Promise<QueueView> {
    return this.#view(await this.#snapshot(queue));
  }

  /** What this broker alone knows of a queue. */
  figures(queue: QueueName): QueueFigures {
    const line = this.#options.lines.existing(queue);
    const now = performance.now();
    return {
      waiting: line?.waiting.resting ?? 0,
      claim: line?.claimWindow.counts(now) ?? [],
      wait: line?.waitWindow.counts(now) ?? [],
    };
  }

  /** Claims parked here, by queue. */
  waiting(): Readonly<Record<string, number>> {
    const counts = [...this.#options.lines.all()].map(
      ({ queue, waiting }) => [queue, waiting.resting] as const,
    );
    return Object.fromEntries(counts.filter(([, resting]) => resting > 0));
  }

  async configure(queue: QueueName, config: QueueConfigPatch): Promise<QueueView> {
    const snapshot = await this.#change(queue, { config });
    if (config.retention !== undefined) this.#options.hurryPrune(queue);
    return this.#view(snapshot);
  }

  /** @throws {QueueNotFoundError} a queue is made by its first task or its first configuration only. */
  async pause(queue: QueueName, paused: boolean): Promise<QueueView> {
    await this.#snapshot(queue);
    return this.#view(await this.#change(queue, { paused }));
  }

  /** @throws {QueueNotFoundError} */
  async list(queue: QueueName, request: ListRequest): Promise<ListPage> {
    const { calls, storage } = this.#options;
    const page = await calls.run("list", () =>
      storage.list(queue, { bytesMax: LIMITS.bodyBytesMax, ...request }),
    );
    if (page.tasks.length === 0) await this.#snapshot(queue);
    return page;
  }

  /** Answers how many dead tasks became ready. */
  async requeueDead(queue: QueueName, limit: number): Promise<number> {
    const { calls, storage } = this.#options;
    await this.#snapshot(queue);
    return inSteps(limit, async (step) => {
      const reply = await calls.run("requeueDead", () => storage.requeueDead(queue, step));
      return { done: reply.requeued, more: reply.more };
    });
  }

  /** Removes the tasks of a state that are there now; those that come meanwhile may stay. Answers how many. */
  async purge(queue: QueueName, state: Exclude<TaskState, "leased">): Promise<number> {
    const { calls, storage, onPurged } = this.#options;
    const { counts } = await this.#snapshot(queue);
    const purged = await inSteps(counts[state], async (step) => {
      const reply = await calls.run("purge", () => storage.purge(queue, state, step));
      return { done: reply.pruned, more: reply.more };
    });
    if (purged > 0) onPurged(queue);
    return purged;
  }

  async #snapshot(queue: QueueName): Promise<QueueSnapshot> {
    const { calls, storage } = this.#options;
    const snapshot = await calls.run("snapshot", () => storage.snapshot(queue));
    if (snapshot === undefined) throw queueNotFound(queue);
    return snapshot;
  }

  #change(queue: QueueName, change: QueueChange): Promise<QueueSnapshot> {
    const { calls, storage } = this.#options;
    return calls.run("configure", () => storage.configure(queue, change));
  }

  async #view(snapshot: QueueSnapshot): Promise<QueueView> {
    const others = await this.#options.peers.queue(snapshot.queue);
    return viewOf(snapshot, [this.figures(snapshot.queue), ...others]);
  }
}

/** `latency` of one queue is over all that its processes measured; a listing leaves it out. */
function viewOf(snapshot: QueueSnapshot, figures: readonly QueueFigures[]): QueueView {
  return {
    ...snapshot,
    waiting: figures.reduce((sum, { waiting }) => sum + waiting, 0),
    latency: {
      claim: percentilesOf(figures.map(({ claim }) => claim)),
      wait: percentilesOf(figures.map(({ wait }) => wait)),
    },
  };
}

interface StepReply {
  readonly done: number;
  readonly more: boolean;
}

/** Does up to `limit` things in bounded steps, and lets the event loop turn between them. */
async function inSteps(limit: number, step: (size: number) => Promise<StepReply>): Promise<number> {
  const pace = new Pace();
  let done = 0;
  for (let more = true; more && done < limit; ) {
    const reply = await step(Math.min(LIMITS.stepMax, limit - done));
    done += reply.done;
    more = reply.more;
    await pace.rest();
  }
  return done;
}
