import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Broker } from "../src/broker/broker.ts";
import type { DeliveryLedger } from "../src/lab/delivery.ts";
import { payloadOf } from "../src/lab/payload.ts";
import { type EmbeddedOptions, EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import type { Storage } from "../src/storage/storage.ts";
import { newTaskId, parseQueueName, type QueueName } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";

export type Durability = "process" | "power" | "none";

export const QUEUE = parseQueueName("bench") as QueueName;

/** An embedded engine in a folder of its own, which goes when it is closed. */
export interface ScratchEngine {
  readonly storage: EmbeddedStorage;
  readonly folder: string;
  close(): Promise<void>;
}

export async function openScratchEngine(
  durability: Durability,
  options: EmbeddedOptions = {},
): Promise<ScratchEngine> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-bench-"));
  const storage = await EmbeddedStorage.open({ ...options, folder, durability });
  return {
    storage,
    folder,
    async close() {
      await storage.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** The same with a broker on top, whose loops run as they do in a server. */
export async function openScratchBroker(
  durability: Durability,
  options: EmbeddedOptions = {},
): Promise<ScratchEngine & { broker: Broker }> {
  const engine = await openScratchEngine(durability, options);
  const broker = await Broker.open(engine.storage);
  return {
    ...engine,
    broker,
    async close() {
      await broker.close();
      await rm(engine.folder, { recursive: true });
    },
  };
}

/** Enqueues `count` tasks with different payloads in calls of a thousand, with a turn of the event loop after each. */
export async function fill(
  storage: Storage,
  queue: QueueName,
  count: number,
  onEnqueued?: (id: string) => void,
): Promise<void> {
  for (let n = 0; n < count; n += LIMITS.batchMax) {
    const tasks = Array.from({ length: Math.min(LIMITS.batchMax, count - n) }, (_, place) => ({
      id: newTaskId(queue),
      payload: payloadOf(n + place),
    }));
    for (const outcome of await storage.enqueue(queue, tasks)) {
      if (outcome.kind !== "enqueued") throw new Error(`Filling the queue was answered "${outcome.kind}"`);
      onEnqueued?.(outcome.task.id);
    }
    await nextTurn();
  }
}

/** Scheduled + ready + leased, as the engine counts them. */
export async function pendingIn(storage: Storage, queue: QueueName): Promise<number> {
  const snapshot = await storage.snapshot(queue);
  if (snapshot === undefined) return 0;
  return snapshot.counts.scheduled + snapshot.counts.ready + snapshot.counts.leased;
}

/** Fills and tells the ledger. */
export async function fillNoted(storage: Storage, queue: QueueName, count: number, ledger: DeliveryLedger) {
  await fill(storage, queue, count, (id) => ledger.enqueued(id));
}

/** Starts every trial with the same young heap. Needs `--expose-gc`, which `npm run bench` gives. */
export function collectGarbage(): void {
  globalThis.gc?.();
}
