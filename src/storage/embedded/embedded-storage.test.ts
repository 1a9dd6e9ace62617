import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../clock.ts";
import { StorageUnavailableError } from "../../task/errors.ts";
import { newTaskId, type QueueName } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { ClaimedTask, NewTask } from "../../task/task.ts";
import type { Settlement } from "../storage.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { EmbeddedStorage } from "./embedded-storage.ts";
import { MemoryDisk } from "./memory-disk.ts";

const QUEUE = "emails" as QueueName;
const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-embedded-"));
  folders.push(folder);
  return folder;
}

function someTasks(count: number, bytes = 200): NewTask[] {
  return Array.from({ length: count }, () => ({ id: newTaskId(QUEUE), payload: `"${"x".repeat(bytes)}"` }));
}

function completions(tasks: readonly ClaimedTask[]): Settlement[] {
  return tasks.map(({ id, lease: { token } }) => ({ outcome: "complete", id, token, result: "1" }));
}

async function diskBytes(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.startsWith("journal-"));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** A disk whose flushes end when the test says so, or fail. */
class HeldDisk extends MemoryDisk {
  readonly flushes: { done: () => void; fail: (error: Error) => void }[] = [];

  override open(name: string, options: { readonly create: boolean }): DiskFile {
    const file = super.open(name, options);
    const sync = (): Promise<void> =>
      new Promise((done, fail) => {
        this.flushes.push({ done, fail });
      });
    return {
      size: () => file.size(),
      read: (target, offset) => file.read(target, offset),
      write: (bytes, offset) => file.write(bytes, offset),
      truncate: (length) => file.truncate(length),
      syncNow: () => file.syncNow(),
      close: () => file.close(),
      closeRemoved: () => file.closeRemoved(),
      sync,
    };
  }
}

/** As the engine sees any disk that is not its own memory. */
function foreign(disk: Disk): Disk {
  return {
    list: () => disk.list(),
    open: (name, options) => disk.open(name, options),
    rename: (from, to) => disk.rename(from, to),
    remove: (name) => disk.remove(name),
    syncFolder: () => disk.syncFolder(),
    syncFolderNow: () => disk.syncFolderNow(),
  };
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const mark = (): void => {
    isSettled = true;
  };
  promise.then(mark, mark);
  await new Promise((resolve) => setImmediate(resolve));
  return isSettled;
}

describe("durability power", () => {
  it("answers an enqueue, and a read that saw it, only when it is flushed", async () => {
    const disk = new HeldDisk();
    const storage = await EmbeddedStorage.open({ disk: foreign(disk), durability: "power" });
    const tasks = someTasks(1);

    const enqueued = storage.enqueue(QUEUE, tasks);
    const read = storage.get(QUEUE, [tasks[0]?.id as NewTask["id"]]);
    const counted = storage.snapshot(QUEUE);

    expect(await settled(enqueued)).toBe(false);
    expect(await settled(read)).toBe(false);
    expect(await settled(counted)).toBe(false);
    for (const flush of disk.flushes.splice(0)) flush.done();
    expect((await enqueued)[0]?.kind).toBe("enqueued");
    expect((await read)[0]?.id).toBe(tasks[0]?.id);
    expect((await counted)?.counts.ready).toBe(1);
  });

  it("lets what is written during a flush travel in the next one, together", async () => {
    const disk = new HeldDisk();
    const storage = await EmbeddedStorage.open({ disk: foreign(disk), durability: "power" });
    const first = storage.enqueue(QUEUE, someTasks(1));
    expect(await settled(first)).toBe(false);

    const later = [storage.enqueue(QUEUE, someTasks(1)), storage.enqueue(QUEUE, someTasks(1))];
    disk.flushes.shift()?.done();
    await first;
    expect(await settled(Promise.all(later))).toBe(false);
    disk.flushes.shift()?.done();
    await Promise.all(later);

    expect(disk.flushes).toHaveLength(0);
  });

  it("stops with a clear error when a flush fails, and does not try it again", async () => {
    const disk = new HeldDisk();
    const troubles: string[] = [];
    const storage = await EmbeddedStorage.open({
      disk: foreign(disk),
      durability: "power",
      onTrouble: (error) => troubles.push(error.message),
    });
    const enqueued = storage.enqueue(QUEUE, someTasks(1));

    disk.flushes.shift()?.fail(new Error("EIO: i/o error"));

    await expect(enqueued).rejects.toThrow(StorageUnavailableError);
    await expect(storage.claim(QUEUE, [{ max: 1 }])).rejects.toThrow("flush of the journal failed");
    await expect(storage.snapshot(QUEUE)).rejects.toThrow("Restart it");
    expect(disk.flushes).toHaveLength(0);
    expect(troubles).toHaveLength(1);
    expect(storage.trouble()).toMatchObject({ isFinal: true, reason: expect.stringContaining("EIO") });
  });
});

describe("a folder", () => {
  it("keeps its disk use bounded under endless work, and everything that is live", async () => {
    const folder = await newFolder();
    const clock = new ManualClock();
    const segmentBytes = 64 * 1024;
    const open = (): Promise<EmbeddedStorage> =>
      EmbeddedStorage.open({ folder, clock, segmentBytes, reserveBytes: 0 });
    let storage = await open();
    const waiting = someTasks(100).map((task) => ({ ...task, priority: 0 }));
    await storage.enqueue(QUEUE, waiting);
    await storage.configure(QUEUE, { config: { retention: { completedMax: 10 } } });

    for (let round = 0; round < 150; round += 1) {
      await storage.enqueue(
        QUEUE,
        someTasks(40).map((task) => ({ ...task, priority: 9 })),
      );
      const { grants } = await storage.claim(QUEUE, [{ max: 40 }]);
      await storage.settle(QUEUE, completions(grants[0] ?? []));
      clock.advance(11_000);
      await storage.prune(QUEUE, 500);
    }
    await storage.close();

    // About 3 MB went through; what is live is a hundred tasks and ten results, some 40 kB.
    expect(await diskBytes(folder)).toBeLessThan(6 * segmentBytes);
    storage = await open();
    const snapshot = await storage.snapshot(QUEUE);
    expect(snapshot?.counts).toMatchObject({ ready: 100, completed: 10 });
    expect(snapshot?.enqueued).toBe(100 + 150 * 40);
    const { grants } = await storage.claim(QUEUE, [{ max: 100 }]);
    expect(grants[0]?.map((task) => task.id)).toEqual(waiting.map((task) => task.id));
    await storage.close();
  });

  it("stays below twice the live data and a segment while its old segments are live to the last byte", async () => {
    const disk = new MemoryDisk();
    const segmentBytes = 1024 * 1024;
    const bytes = (): number => {
      const segments = disk.list().filter((name) => name.startsWith("journal-"));
      return segments.reduce((sum, name) => sum + disk.open(name, { create: false }).size(), 0);
    };
    const storage = await EmbeddedStorage.open({ disk, segmentBytes, reserveBytes: 0 });
    for (let n = 0; n < 200; n += 1) await storage.enqueue(QUEUE, someTasks(10, 4_000));
    const live = bytes();
    const [oldest] = disk.list().filter((name) => name.startsWith("journal-"));
    let most = 0;
    let longestStep = 0;
    let before = live;
    const look = (): void => {
      const now = bytes();
      most = Math.max(most, now);
      longestStep = Math.max(longestStep, now - before);
      before = now;
    };

    for (let round = 0; round < 1_600; round += 1) {
      const urgent = someTasks(2, 4_000).map((task) => ({ ...task, priority: 9 }));
      await storage.enqueue(QUEUE, urgent);
      look();
      const { grants } = await storage.claim(QUEUE, [{ max: urgent.length }]);
      look();
      await storage.settle(QUEUE, completions(grants[0] ?? []));
      look();
      await storage.purge(QUEUE, "completed", urgent.length);
      look();
    }
    await storage.close();

    expect(live).toBeGreaterThan(7 * segmentBytes);
    expect(disk.list()).not.toContain(oldest);
    // Not earlier than needed either: what is dead may wait.
    expect(most).toBeGreaterThan(1.5 * live);
    expect(most).toBeLessThan(2 * live + segmentBytes);
    // No caller waits for more than a step or two of the rewriting.
    expect(longestStep).toBeLessThan(segmentBytes / 3);
  });

  it("remembers the key of a task that is gone, after a restart and a compaction", async () => {
    const folder = await newFolder();
    const clock = new ManualClock();
    const open = (): Promise<EmbeddedStorage> =>
      EmbeddedStorage.open({ folder, clock, segmentBytes: 16_000, reserveBytes: 0 });
    const keyed = {
      ...(someTasks(1)[0] as NewTask),
      idempotencyKey: "order-17",
      payloadHash: "ab".repeat(32),
    };
    let storage = await open();
    await storage.enqueue(QUEUE, [keyed]);
    await storage.cancel(QUEUE, [keyed.id]);
    await storage.purge(QUEUE, "cancelled", 1);
    for (let round = 0; round < 3; round += 1) {
      await storage.close();
      storage = await open();
      for (let i = 0; i < 20; i += 1) {
        await storage.enqueue(QUEUE, someTasks(10));
        await storage.purge(QUEUE, "ready", 10);
      }

      const again = { ...keyed, id: newTaskId(QUEUE) };
      expect(await storage.enqueue(QUEUE, [again])).toEqual([{ kind: "pruned", id: keyed.id }]);
    }
    expect((await readdir(folder)).sort()).not.toContain("journal-0000000001.log");
    await storage.close();
  });

  it.each([1, 2, 3, 4, 5, 6])(
    "remembers a key for its last task when a compaction meets an earlier one's %i steps before",
    async (steps) => {
      const clock = new ManualClock();
      const disk = new MemoryDisk();
      const open = (): Promise<EmbeddedStorage> =>
        EmbeddedStorage.open({ disk, clock, segmentBytes: 16_000, reserveBytes: 0 });
      const keyed = (): NewTask => ({
        ...(someTasks(1)[0] as NewTask),
        idempotencyKey: "order-17",
        payloadHash: "ab".repeat(32),
      });
      let storage = await open();
      const addAndRemove = async (tasks: NewTask[]): Promise<void> => {
        await storage.enqueue(QUEUE, tasks);
        await storage.purge(QUEUE, "ready", tasks.length);
      };
      const [first, last] = [keyed(), keyed()];
      await addAndRemove([first]);
      clock.advance(LIMITS.idempotencyKeyMs);
      for (let i = 0; i < steps; i += 1) await addAndRemove(someTasks(10));
      await addAndRemove([last]);

      for (let i = 0; i < 10; i += 1) {
        await addAndRemove(someTasks(10));
        await storage.close();
        storage = await open();

        expect(await storage.enqueue(QUEUE, [keyed()])).toEqual([{ kind: "pruned", id: last.id }]);
      }
      await storage.close();
    },
  );

  it("is refused to a second opener, who is told the process and the URL", async () => {
    const folder = await newFolder();
    const storage = await EmbeddedStorage.open({ folder, url: "http://127.0.0.1:4510" });

    const second = EmbeddedStorage.open({ folder, lockWaitMs: 0 });

    await expect(second).rejects.toThrow(`${process.pid}`);
    await expect(second).rejects.toThrow("http://127.0.0.1:4510");
    await storage.close();
    await (await EmbeddedStorage.open({ folder })).close();
  });

  it("says that the queue is full before memory is", async () => {
    const storage = await EmbeddedStorage.open({ tasksMax: 3 });

    const outcomes = await storage.enqueue(QUEUE, someTasks(5));

    expect(outcomes.map(({ kind }) => kind)).toEqual([
      "enqueued",
      "enqueued",
      "enqueued",
      "store-full",
      "store-full",
    ]);
    expect(outcomes[4]).toEqual({ kind: "store-full", tasks: 3, limit: 3 });
  });

  it("reads payloads back that are no longer in memory", async () => {
    const folder = await newFolder();
    const storage = await EmbeddedStorage.open({ folder, cacheBytesMax: 1_000 });
    const tasks = Array.from({ length: 2_000 }, (_, i) => ({
      id: newTaskId(QUEUE),
      payload: JSON.stringify({
        i,
        text: "ü".repeat(i % 90),
        large: "x".repeat(i % 500 === 0 ? 100_000 : 0),
      }),
    }));
    for (let i = 0; i < tasks.length; i += 500) await storage.enqueue(QUEUE, tasks.slice(i, i + 500));

    const claimed = (await storage.claim(QUEUE, [{ max: 1_000 }, { max: 1_000 }])).grants.flat();

    expect(claimed.map(({ id, payload }) => ({ id, payload }))).toEqual(tasks);
    await storage.close();
  });
});
