import { Broker } from "../../../broker/broker.ts";
import type { ClaimRequest } from "../../../broker/requests.ts";
import { RedisStorage } from "../../../storage/redis/redis-storage.ts";
import type { Storage } from "../../../storage/storage.ts";
import { type LeaseToken, parseQueueName, type QueueName, type TaskId } from "../../../task/ids.ts";
import type { ClaimedTask } from "../../../task/task.ts";
import type { OpenRung, Rung, RungPlace, RungWorker } from "../rung.ts";
import { linkOptionsOf } from "../wire.ts";

export const PRODUCT_QUEUE = parseQueueName("ladder") as QueueName;

/** Dibs itself, as a worker uses it: broker and Redis engine, with leases, fences, retries, counters and history. */
function productOf(batch: number, name: string, over: string): Rung {
  return {
    name,
    what:
      batch === 1
        ? "Dibs: broker and Redis engine as a worker uses them; fused and merged, with fences, retries, counters and a history"
        : `The same with ${batch} tasks a claim`,
    isSafe: true,
    isOrdered: true,
    batch,
    over,
    open: (place) => open(place, batch),
  };
}

export const product: Rung = productOf(1, "dibs", "fused");
export const productBatches: Rung = productOf(100, "dibs-batches-of-100", "batches-of-100");

async function open(place: RungPlace, batch: number): Promise<OpenRung> {
  const product = await openProduct(place);
  return { ...product, worker: () => workerOf(product.broker, batch) };
}

/** All of a rung but its workers. */
export async function openProduct(
  place: RungPlace,
): Promise<Omit<OpenRung, "worker"> & { readonly broker: Broker }> {
  const storage = await RedisStorage.open({ ...linkOptionsOf(place), prefix: place.prefix });
  let roundTrips = 0;
  const broker = await Broker.open(
    counted(storage, () => {
      roundTrips += 1;
    }),
  );
  return {
    broker,
    async fill(tasks) {
      const outcomes = await storage.enqueue(
        PRODUCT_QUEUE,
        tasks.map(({ id, payload, priority }) => ({ id: id as TaskId, payload, priority })),
      );
      const refused = outcomes.find(({ kind }) => kind !== "enqueued");
      if (refused !== undefined) throw new Error(`Filling the queue was answered "${refused.kind}"`);
    },
    async unfinished() {
      const counts = (await storage.snapshot(PRODUCT_QUEUE))?.counts;
      return counts === undefined ? 0 : counts.scheduled + counts.ready + counts.leased;
    },
    traffic: () => ({ roundTrips, plain: {} }),
    close: () => broker.close(),
  };
}

function workerOf(broker: Broker, max: number): RungWorker {
  const request: ClaimRequest = { queues: [PRODUCT_QUEUE], max, waitMs: 0 };
  let held: readonly ClaimedTask[] = [];
  const take = (tasks: readonly ClaimedTask[]) => {
    held = tasks;
    return tasks.map(({ id }) => id);
  };
  const settle = async (claim?: ClaimRequest) => {
    const asks = held.map(
      ({ id, lease }) => ({ outcome: "complete", id, token: lease.token as LeaseToken }) as const,
    );
    const { results, tasks } = await broker.settle(asks, claim);
    const completed = results.filter((result) => "state" in result && result.state === "completed").length;
    return { completed, claimed: take(tasks) };
  };
  return {
    claim: async () => take(await broker.claim(request)),
    complete: async () => (await settle()).completed,
    next: () => settle(request),
  };
}

/** The same store, with a word for each call of a claim or a completion: each is a round trip. */
function counted(storage: Storage, onCall: () => void): Storage {
  return new Proxy(storage, {
    get(target, name) {
      const found: unknown = Reflect.get(target, name, target);
      if (typeof found !== "function") return found;
      if (name !== "claim" && name !== "settle") return found.bind(target) as unknown;
      return (...args: unknown[]) => {
        onCall();
        return (found as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}
