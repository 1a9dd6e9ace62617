import { Broker } from "../../broker/broker.ts";
import { RedisStorage } from "../../storage/redis/redis-storage.ts";
import { newTaskId, type TaskId } from "../../task/ids.ts";
import type { TaskState } from "../../task/task.ts";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import { payloadOf } from "../payload.ts";
import type { Measurement } from "../run.ts";
import { PRODUCT_QUEUE } from "./rungs/product.ts";
import { observe } from "./server-work.ts";
import type { TrialPlace } from "./trial.ts";
import { linkOptionsOf } from "./wire.ts";

export const READS_A_WRITE = [1, 5, 20] as const;
export const CACHE_MODES = ["off", "on"] as const;
export type CacheMode = (typeof CACHE_MODES)[number];

export interface ReadLoad {
  readonly readsAWrite: number;
  readonly cache: CacheMode;
  readonly callers: number;
  readonly seconds: number;
}

/** Tasks that are read and written: few enough to be read again and again, as those of a page that is watched. */
const HOT_TASKS = 1_000;

/** Reads tasks by their id through the broker, and writes one now and then, with the cache always off or always on. */
export async function runReads(place: TrialPlace, load: ReadLoad, signal: AbortSignal): Promise<Measurement> {
  signal.throwIfAborted();
  const storage = await RedisStorage.open({ ...linkOptionsOf(place), prefix: place.prefix });
  const broker = await Broker.open(storage, { cache: { mode: load.cache } });
  try {
    const ids = Array.from({ length: HOT_TASKS }, () => newTaskId(PRODUCT_QUEUE));
    await storage.enqueue(
      PRODUCT_QUEUE,
      ids.map((id, n) => ({ id, payload: payloadOf(n) })),
    );
    const callers = Array.from({ length: load.callers }, (_, n) => new Reader(broker, ids, n, load));
    const observed = await observe(place.link);
    const startedAt = nowNs();
    const until = startedAt + load.seconds * 1e9;
    const latencies = { read: new LatencyHistogram(), write: new LatencyHistogram() };
    await Promise.all(callers.map((caller) => caller.go(until, latencies, signal)));
    signal.throwIfAborted();
    const seconds = (nowNs() - startedAt) / 1e9;
    const operations = latencies.read.count + latencies.write.count;
    const { commands, cpuUs } = await observed();
    const scripts = commands.get("evalsha")?.calls ?? 0;
    const values = { roundTrips: scripts / operations, serverCpuUs: cpuUs / operations };
    return { seconds, operations, errors: 0, latencies, values };
  } finally {
    await broker.close();
    await place.clear();
  }
}

interface Latencies {
  readonly read: LatencyHistogram;
  readonly write: LatencyHistogram;
}

/** Writes tasks of its own and reads those of all, one call after the other. */
class Reader {
  readonly #broker: Broker;
  readonly #ids: readonly TaskId[];
  readonly #load: ReadLoad;
  readonly #own: readonly TaskId[];
  /** As this caller left them. */
  readonly #states = new Map<TaskId, TaskState>();

  constructor(broker: Broker, ids: readonly TaskId[], n: number, load: ReadLoad) {
    this.#broker = broker;
    this.#ids = ids;
    this.#load = load;
    this.#own = ids.filter((_, at) => at % load.callers === n);
    for (const id of this.#own) this.#states.set(id, "ready");
  }

  async go(until: number, latencies: Latencies, signal: AbortSignal): Promise<void> {
    for (let startedAt = nowNs(); startedAt < until && !signal.aborted; startedAt = nowNs()) {
      await this.#write(oneOf(this.#own));
      latencies.write.record(nowNs() - startedAt);
      for (let n = 0; n < this.#load.readsAWrite; n += 1) await this.#read(oneOf(this.#ids), latencies.read);
    }
  }

  async #write(id: TaskId): Promise<void> {
    const isCancelled = this.#states.get(id) === "cancelled";
    const { state } = await (isCancelled ? this.#broker.requeue(id) : this.#broker.cancel(id));
    this.#states.set(id, state);
  }

  async #read(id: TaskId, latency: LatencyHistogram): Promise<void> {
    const startedAt = nowNs();
    const { state } = await this.#broker.get(id);
    latency.record(nowNs() - startedAt);
    const left = this.#states.get(id) ?? state;
    // A cache that shows one's own write too late would be quick, and wrong.
    if (state !== left) throw new Error(`Task ${id} was left ${left} and is read as ${state}`);
  }
}

function oneOf<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)] as T;
}
