import { serveDuties } from "../src/lab/child.ts";
import { payloadOf } from "../src/lab/payload.ts";
import type { EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import { newTaskId, parseQueueName, type QueueName } from "../src/task/ids.ts";
import { LIMITS } from "../src/task/limits.ts";
import { collectGarbage, openScratchEngine, QUEUE } from "./engine.ts";

/** What is kept: tasks that wait, the same with a key each, only the keys of tasks that are gone, queues of a few tasks. */
export type Kept = "tasks" | "keyed tasks" | "keys" | "queues";

/** So many that their line has grown to its full size. */
const TASKS_OF_A_QUEUE = 20;

export interface Filled {
  /** Growth of the heap and of what lies outside it, in bytes, for each thing that is kept. */
  readonly heap: number;
  readonly outside: number;
  /** What the engine counts for each. */
  readonly counted: number;
}

function live(): { readonly heap: number; readonly outside: number } {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, outside: external };
}

/** As long as a UUID. */
function keyOf(n: number): string {
  return `key-${String(n).padStart(32, "0")}`;
}

async function enqueueSome(storage: EmbeddedStorage, from: number, count: number, keyed: boolean) {
  const tasks = Array.from({ length: count }, (_, place) => {
    const n = from + place;
    const key = { idempotencyKey: keyOf(n), payloadHash: String(n).padStart(64, "0") };
    return { id: newTaskId(QUEUE), payload: payloadOf(n), ...(keyed && key) };
  });
  await storage.enqueue(QUEUE, tasks);
}

async function fillQueues(storage: EmbeddedStorage, from: number, count: number): Promise<void> {
  for (let n = from; n < from + count; n += 1) {
    const queue = parseQueueName(`bench-${n}`) as QueueName;
    const tasks = Array.from({ length: TASKS_OF_A_QUEUE }, () => ({
      id: newTaskId(queue),
      payload: payloadOf(n),
    }));
    await storage.enqueue(queue, tasks);
  }
}

async function keep(storage: EmbeddedStorage, kept: Kept, from: number, until: number): Promise<void> {
  for (let n = from; n < until; ) {
    const count = Math.min(LIMITS.batchMax, until - n);
    if (kept === "queues") await fillQueues(storage, n, count);
    else await enqueueSome(storage, n, count, kept !== "tasks");
    if (kept === "keys") while ((await storage.purge(QUEUE, "ready", LIMITS.stepMax)).more);
    n += count;
  }
}

const duties = {
  async fill({ kept, count }: { readonly kept: Kept; readonly count: number }): Promise<Filled> {
    // Payloads have a bound of their own, and a segment that is written makes no garbage of the last one.
    const engine = await openScratchEngine("process", { cacheBytesMax: 0, memoryBytesMax: 2 ** 40 });
    const { storage } = engine;
    await keep(storage, kept, 0, 1_000);
    const before = live();
    const countedBefore = storage.memory.bytes;
    await keep(storage, kept, 1_000, count);
    const after = live();
    const each = (bytes: number) => bytes / (count - 1_000);
    const filled = {
      heap: each(after.heap - before.heap),
      outside: each(after.outside - before.outside),
      counted: each(storage.memory.bytes - countedBefore),
    };
    await engine.close();
    return filled;
  },
};

export type MemoryDuties = typeof duties;
serveDuties(duties);
