import { setTimeout as wait } from "node:timers/promises";
import { serveDuties } from "../src/lab/child.ts";
import type { ClaimedTask } from "../src/task/task.ts";
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

interface Hold {
  readonly calls: number;
  readonly count: number;
  readonly leaseMs: number;
}

/** So that not all leases end at once. */
const HOLD_GAP_MS = 25;

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

  /** Claims `count` tasks, `calls` times, and keeps them until it is killed. */
  async hold({ url, prefix, calls, count, leaseMs }: Place & Hold) {
    holder ??= await openScratchRedis({ url }, { prefix });
    const held: ClaimedTask[] = [];
    for (let n = 0; n < calls; n += 1) {
      held.push(...(await holder.broker.claim({ queues: [QUEUE], max: count, waitMs: 0, leaseMs })));
      await wait(HOLD_GAP_MS);
    }
    return held.map(({ id, lease: { expiresAt } }) => ({ id, expiresAt }));
  },

  async close(_: undefined) {
    await listener?.close();
    await holder?.close();
  },
};

export type RedisWorkerDuties = typeof duties;
serveDuties(duties);
