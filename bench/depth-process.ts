import { serveDuties } from "../src/lab/child.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { payloadPool } from "../src/lab/payload.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import { EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import { newTaskId } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";
import { collectGarbage, fill, openScratchEngine, pendingIn, QUEUE, type ScratchEngine } from "./engine.ts";
import { repeatFor } from "./loop.ts";

/** The process under test of embedded-depth: one engine, filled once, then measured when asked. */
const PAYLOADS = payloadPool();
let engine: ScratchEngine | undefined;

function opened(): ScratchEngine {
  if (engine === undefined) throw new Error("Nothing is filled yet");
  return engine;
}

/** Memory of this process that lives: the heap, and the typed arrays outside it. */
function liveBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const duties = {
  /** Opens an engine in a fresh folder and enqueues `depth` tasks; with or without the cache of recent payloads. */
  async fill({ depth, cached }: { depth: number; cached: boolean }) {
    engine = await openScratchEngine("process", cached ? {} : { cacheBytesMax: 0 });
    // Tables and caches of constant size exist before the first measurement, so that they count for no task.
    await fill(engine.storage, QUEUE, 1);
    const before = liveBytes();
    const startedAt = nowNs();
    const observer = ProcessObserver.start();
    await fill(engine.storage, QUEUE, depth - 1);
    const reading = await observer.stop();
    const seconds = (nowNs() - startedAt) / 1e9;
    return { folder: engine.folder, seconds, bytes: liveBytes() - before, process: reading };
  },

  /** Claims from the head for so many seconds; every claimed task is completed and replaced, untimed. */
  async claim(seconds: number) {
    const { storage } = opened();
    const claims = new LatencyHistogram();
    const ledger = new DeliveryLedger();
    const asks = [{ max: 1 }];
    const depth = await pendingIn(storage, QUEUE);
    let n = 0;
    const step = async () => {
      const startedAt = nowNs();
      const { grants } = await storage.claim(QUEUE, asks);
      claims.record(nowNs() - startedAt);
      const task = grants[0]?.[0];
      if (task === undefined) throw new Error("A claim found nothing in a full queue");
      ledger.enqueued(task.id);
      ledger.claimed(task.id);
      const done = { outcome: "complete", id: task.id, token: task.lease.token } as const;
      const { outcomes } = await storage.settle(QUEUE, [done]);
      if (outcomes[0]?.kind === "completed") ledger.completed(task.id);
      n += 1;
      await storage.enqueue(QUEUE, [
        { id: newTaskId(QUEUE), payload: PAYLOADS[n % PAYLOADS.length] as string },
      ]);
    };
    const prune = async () => {
      while ((await storage.prune(QUEUE, LIMITS.stepMax)).more);
    };
    const took = await repeatFor(seconds, step, prune);
    // Every claimed task was replaced, so what is pending beyond the depth is what was lost or doubled.
    const delivery = ledger.audit((await pendingIn(storage, QUEUE)) - depth);
    return { seconds: took, operations: n, claims: claims.encode(), delivery };
  },

  async close() {
    await opened().close();
  },

  /** Opens a folder that has tasks and claims one; the times count from the call. */
  async restart(folder: string) {
    const startedAt = nowNs();
    const storage = await EmbeddedStorage.open({ folder, durability: "process" });
    const openedAt = nowNs();
    const { grants } = await storage.claim(QUEUE, [{ max: 1 }]);
    const claimedAt = nowNs();
    if (grants[0]?.length !== 1) throw new Error("The reopened engine gave no task");
    const pending = await pendingIn(storage, QUEUE);
    await storage.settle(QUEUE, [
      { outcome: "release", id: grants[0][0]!.id, token: grants[0][0]!.lease.token },
    ]);
    await storage.close();
    return { openS: (openedAt - startedAt) / 1e9, firstClaimS: (claimedAt - startedAt) / 1e9, pending };
  },
};

export type DepthDuties = typeof duties;
serveDuties(duties);
