import type { Broker } from "../broker/broker.ts";
import type { TaskId } from "../task/ids.ts";
import type { TaskState } from "../task/task.ts";
import type { LatencyHistogram } from "./histogram.ts";
import { nowNs } from "./nano-clock.ts";

export interface ReadLatencies {
  readonly read: LatencyHistogram;
  readonly write: LatencyHistogram;
}

export interface ReaderLoad {
  readonly readsAWrite: number;
  /** How many read and write the same tasks. */
  readonly callers: number;
}

/** Writes tasks of its own and reads those of all, one call after the other. */
export class Reader {
  readonly #broker: Broker;
  readonly #ids: readonly TaskId[];
  readonly #readsAWrite: number;
  readonly #own: readonly TaskId[];
  /** As this caller left them. */
  readonly #states = new Map<TaskId, TaskState>();

  constructor(broker: Broker, ids: readonly TaskId[], n: number, { readsAWrite, callers }: ReaderLoad) {
    this.#broker = broker;
    this.#ids = ids;
    this.#readsAWrite = readsAWrite;
    this.#own = ids.filter((_, at) => at % callers === n);
    for (const id of this.#own) this.#states.set(id, "ready");
  }

  /** Until that moment of `nowNs`, or until `signal` aborts; without `latencies` nothing is kept. */
  async go(until: number, latencies?: ReadLatencies, signal?: AbortSignal): Promise<void> {
    for (let startedAt = nowNs(); startedAt < until && signal?.aborted !== true; startedAt = nowNs()) {
      await this.#write(oneOf(this.#own));
      latencies?.write.record(nowNs() - startedAt);
      for (let n = 0; n < this.#readsAWrite; n += 1) await this.#read(oneOf(this.#ids), latencies?.read);
    }
  }

  async #write(id: TaskId): Promise<void> {
    const isCancelled = this.#states.get(id) === "cancelled";
    const { state } = await (isCancelled ? this.#broker.requeue(id) : this.#broker.cancel(id));
    this.#states.set(id, state);
  }

  async #read(id: TaskId, latency?: LatencyHistogram): Promise<void> {
    const startedAt = nowNs();
    const { state } = await this.#broker.get(id);
    latency?.record(nowNs() - startedAt);
    const left = this.#states.get(id) ?? state;
    // A cache that shows one's own write too late would be quick, and wrong.
    if (state !== left) throw new Error(`Task ${id} was left ${left} and is read as ${state}`);
  }
}

function oneOf<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)] as T;
}
