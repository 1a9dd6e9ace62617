import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/clock.ts";
import { aTask, completed, QUEUE } from "../../src/storage/contract/builders.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { COST, defaultMemoryBytesMax, keyCost } from "../../src/storage/embedded/memory.ts";
import type { QueueName } from "../../src/task/ids.ts";
import type { NewTask } from "../../src/task/task.ts";
import { SimulatedDisk, seeded } from "./simulated-disk.ts";
import { Workload } from "./workload.ts";

const DAY = 86_400_000;
const MIB = 2 ** 20;
const SIZES = { segmentBytes: 4_000, reserveBytes: 0, cacheBytesMax: 1_000 };

let keys = 0;
function keyed(): NewTask {
  keys += 1;
  return aTask({ idempotencyKey: `key-${keys}`, payloadHash: "a".repeat(64) });
}

async function workOff(storage: EmbeddedStorage): Promise<void> {
  for (;;) {
    const { grants } = await storage.claim(QUEUE, [{ max: 100 }]);
    const claimed = grants[0] ?? [];
    if (claimed.length === 0) break;
    const { outcomes } = await storage.settle(
      QUEUE,
      claimed.map((task) => completed(task)),
    );
    expect(outcomes.every(({ kind }) => kind === "completed")).toBe(true);
  }
  while ((await storage.purge(QUEUE, "completed", 500)).more);
}

/** Enqueues, works and removes until a task is refused; answers the refusal. */
async function fillWithKeys(storage: EmbeddedStorage) {
  for (let round = 0; round < 100_000; round += 1) {
    const outcomes = await storage.enqueue(QUEUE, [keyed(), keyed()]);
    const refusal = outcomes.find(({ kind }) => kind !== "enqueued");
    if (refusal !== undefined) return refusal;
    await workOff(storage);
  }
  throw new Error("It was never full");
}

describe("the bound on memory", () => {
  it("counts keys whose tasks are gone, and refuses new tasks with bound and value", async () => {
    const storage = await EmbeddedStorage.open({ memoryBytesMax: 100_000 });

    const refusal = await fillWithKeys(storage);

    expect(refusal).toMatchObject({ kind: "memory-full", limit: 100_000 });
    const { tasks, keys: remembered, bytes } = refusal as unknown as Record<string, number>;
    expect(bytes).toBeGreaterThanOrEqual(100_000);
    expect(remembered).toBeGreaterThan(100_000 / (COST.key + 100));
    expect(tasks).toBeLessThan(3);
  });

  it("lets claims, completions and repeated enqueues go on, and takes tasks again when keys are forgotten", async () => {
    const clock = new ManualClock();
    const storage = await EmbeddedStorage.open({ clock, memoryBytesMax: 500_000 });
    const first = keyed();
    await storage.enqueue(QUEUE, [first]);
    for (;;) if ((await storage.enqueue(QUEUE, [keyed()]))[0]?.kind === "memory-full") break;

    expect((await storage.enqueue(QUEUE, [first]))[0]).toMatchObject({
      kind: "enqueued",
      task: { id: first.id },
    });
    await workOff(storage);
    expect(storage.memory).toMatchObject({ tasks: 0, bytesMax: 500_000 });
    clock.advance(DAY);
    // More keys than one step forgets.
    expect(storage.memory.keys).toBeGreaterThan(500);
    while ((await storage.prune(QUEUE, 10)).more);

    expect(storage.memory).toMatchObject({ keys: 0, bytes: COST.queue });
    expect((await storage.enqueue(QUEUE, [keyed()]))[0]?.kind).toBe("enqueued");
  });

  it("counts what the call itself adds", async () => {
    const clock = new ManualClock();
    const room = 10 * (COST.task + keyCost("key-1000"));
    keys = 1_000;
    const storage = await EmbeddedStorage.open({ clock, memoryBytesMax: room });

    const outcomes = await storage.enqueue(QUEUE, Array.from({ length: 12 }, keyed));

    expect(outcomes.map(({ kind }) => kind)).toEqual([
      ...Array(10).fill("enqueued"),
      ...Array(2).fill("memory-full"),
    ]);
  });

  it("is kept by what comes from another store", async () => {
    const storage = await EmbeddedStorage.open({ memoryBytesMax: 3 * keyCost("key-1") });
    const key = (n: number) => ({
      key: `key-${n}`,
      id: aTask().id,
      payloadHash: "a".repeat(64),
      expiresAt: storage.clock.now() + DAY,
    });

    await expect(storage.importTasks(QUEUE, { keys: [1, 2, 3, 4].map(key) })).rejects.toThrow(
      /would take about \d+ bytes of memory, the limit is \d+; a larger one \(DIBS_MEMORY_BYTES_MAX/,
    );
    await storage.importTasks(QUEUE, { keys: [1, 2, 3].map(key) });
    expect(storage.memory.keys).toBe(3);
  });

  it("is half of what the heap may grow to, and leaves room in one that is small or huge", () => {
    expect(defaultMemoryBytesMax(4_144 * MIB)).toBe(2_048 * MIB);
    expect(defaultMemoryBytesMax(112 * MIB)).toBe(32 * MIB);
    expect(defaultMemoryBytesMax(48 * MIB)).toBe(6 * MIB);
    expect(defaultMemoryBytesMax(65_536 * MIB)).toBe(4_096 * MIB);
  });
});

describe("what is counted of memory", () => {
  it("is the same after a restart, whatever was enqueued, removed, forgotten and used again", async () => {
    let had = 0;
    for (let seed = 1; seed <= 30; seed += 1) {
      const clock = new ManualClock();
      const disk = new SimulatedDisk();
      const open = () => EmbeddedStorage.open({ disk, clock, bootId: "boot-1", ...SIZES });
      let storage = await open();
      const workload = new Workload(seeded(seed), clock);
      for (let step = 1; step <= 240; step += 1) {
        await workload.step(storage);
        // A day is over in the middle: keys are forgotten, or found too old and used again.
        if (step % 80 === 0) clock.advance(DAY);
        if (step % 40 !== 0) continue;
        // Which keys past their time are still there depends on when they were looked for: so now, on both sides.
        for (const queue of await storage.queues()) await forgetAll(storage, queue);
        const { memory } = storage;
        had = Math.max(had, memory.keys);
        await storage.close();
        storage = await open();
        for (const queue of await storage.queues()) await forgetAll(storage, queue);
        expect(storage.memory, `seed ${seed}, step ${step}`).toEqual(memory);
        expect(memory.keys, "all of them counted").toBe(await keysIn(storage));
      }
      await storage.close();
    }
    expect(had).toBeGreaterThan(5);
  });
});

async function forgetAll(storage: EmbeddedStorage, queue: QueueName): Promise<void> {
  while ((await storage.prune(queue, 3)).more);
}

/** Counted one by one. */
async function keysIn(storage: EmbeddedStorage): Promise<number> {
  let count = 0;
  for (const queue of await storage.queues()) {
    let cursor: string | undefined;
    do {
      const page = await storage.exportTasks(queue, { limit: 100, ...(cursor !== undefined && { cursor }) });
      count += page.keys.length;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
  return count;
}
