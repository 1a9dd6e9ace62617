import { Queue, Worker } from "bullmq";
import type { DeliveryLedger } from "../src/lab/delivery.ts";
import { payloadOf } from "../src/lab/payload.ts";
import { QUEUE } from "./engine.ts";
import type { BenchRedis } from "./redis.ts";

const BULK = 500;

type Place = Pick<BenchRedis, "address">;

/**
 * The peer, as its manual uses it: one queue, everything that finished is kept. Payloads are stored as the same
 * JSON text, so both sides hand out the same bytes.
 */
export class PeerQueue {
  readonly queue: Queue;
  readonly #redis: Place;
  readonly #workers: Worker[] = [];

  private constructor(redis: Place, queue: Queue) {
    this.#redis = redis;
    this.queue = queue;
  }

  static async open(redis: Place, name: string = QUEUE): Promise<PeerQueue> {
    const queue = new Queue(name, { connection: { ...redis.address } });
    await queue.waitUntilReady();
    return new PeerQueue(redis, queue);
  }

  /** Adds `count` tasks in bulks. */
  async fill(count: number, ledger?: DeliveryLedger): Promise<void> {
    for (let n = 0; n < count; n += BULK) {
      const added = await this.queue.addBulk(bulkOf(n, Math.min(BULK, count - n)));
      for (const { id } of added) ledger?.enqueued(id as string);
    }
  }

  /** A worker that runs nothing by itself: its user asks for each task. */
  async openClaimer(): Promise<(token: string) => Promise<string>> {
    const worker = this.#add(
      new Worker(this.queue.name, undefined, { connection: { ...this.#redis.address } }),
    );
    await worker.waitUntilReady();
    return async (token) => {
      const found = await worker.getNextJob(token, { block: false });
      if (found?.id === undefined) throw new Error("BullMQ found nothing in a full queue");
      return found.id;
    };
  }

  /** A worker with a handler; it runs at once. */
  work(handle: (id: string, data: unknown) => void, concurrency: number): Worker {
    return this.#add(
      new Worker(
        this.queue.name,
        async ({ id, data }) => {
          handle(id as string, data);
        },
        { connection: { ...this.#redis.address }, concurrency },
      ),
    );
  }

  /** Tasks that are not finished, by the queue's own count. */
  async pending(): Promise<number> {
    const { queue } = this;
    const counts = await Promise.all([
      queue.getWaitingCount(),
      queue.getActiveCount(),
      queue.getPrioritizedCount(),
      queue.getDelayedCount(),
    ]);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) await worker.close();
    await this.queue.close();
  }

  #add(worker: Worker): Worker {
    worker.on("error", (error) => process.stderr.write(`BullMQ: ${error.message}\n`));
    this.#workers.push(worker);
    return worker;
  }
}

export function bulkOf(from: number, count: number) {
  return Array.from({ length: count }, (_, place) => ({
    name: "task",
    data: JSON.parse(payloadOf(from + place)) as unknown,
  }));
}
