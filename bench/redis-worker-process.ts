import { serveDuties } from "./child.ts";
import { QUEUE } from "./engine.ts";
import { openScratchRedis, type ScratchRedis } from "./redis.ts";
import { openListener, type Side, type StartListener } from "./start-listener.ts";

/** The other process of the benchmarks across processes: an idle worker, or one that dies with what it holds. */
interface Place {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly prefix: string;
}

let listener: StartListener | undefined;
let holder: ScratchRedis | undefined;

const duties = {
  async work({ side, url, host, port, prefix, concurrency }: Place & { side: Side; concurrency: number }) {
    listener = await openListener(
      side,
      { url, address: { host, port } },
      { prefix, concurrency, works: true },
    );
  },

  heard(_: undefined) {
    if (listener === undefined) throw new Error("Nobody works here");
    const { startLatency, started, completed } = listener.heard();
    return { startLatency: startLatency.encode(), started, completed };
  },

  /** Claims `count` tasks and keeps them until it is killed; their ids. */
  async hold({ url, prefix, count, leaseMs }: Place & { count: number; leaseMs: number }) {
    holder ??= await openScratchRedis({ url }, { prefix });
    const claimed = await holder.broker.claim({ queues: [QUEUE], max: count, waitMs: 0, leaseMs });
    return claimed.map(({ id, lease: { expiresAt } }) => ({ id, expiresAt }));
  },

  async close(_: undefined) {
    await listener?.close();
    await holder?.close();
  },
};

export type RedisWorkerDuties = typeof duties;
serveDuties(duties);
