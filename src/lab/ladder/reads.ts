import { Broker } from "../../broker/broker.ts";
import { RedisStorage } from "../../storage/redis/redis-storage.ts";
import { newTaskId } from "../../task/ids.ts";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import { payloadOf } from "../payload.ts";
import { Reader } from "../reader.ts";
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
