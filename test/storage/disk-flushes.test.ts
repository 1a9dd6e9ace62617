import { describe, expect, it, vi } from "vitest";
import { ManualClock } from "../../src/clock.ts";
import { aTask, completed, QUEUE, tasks } from "../../src/storage/contract/builders.ts";
import { CorruptJournalError } from "../../src/storage/embedded/corrupt-journal.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import type { Durability } from "../../src/storage/embedded/journal.ts";
import { segmentName, segmentNumbers } from "../../src/storage/embedded/segment.ts";
import { StorageUnavailableError } from "../../src/task/errors.ts";
import { SimulatedDisk, seeded } from "./simulated-disk.ts";
import { SmallDisk } from "./small-disk.ts";
import { fingerprint, Workload } from "./workload.ts";

/*
 * One test for each write and flush whose absence the random disasters see too seldom, or not at all: it would
 * only show much later, or together with a second fault.
 */
const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);
const SIZES = { segmentBytes: 6_000, reserveBytes: 0, cacheBytesMax: 2_000 };

interface Opening {
  readonly durability?: Durability;
  readonly bootId?: string;
  readonly reserveBytes?: number;
}

function open(disk: SimulatedDisk | SmallDisk, opening: Opening = {}): Promise<EmbeddedStorage> {
  const clock = new ManualClock();
  return EmbeddedStorage.open({ disk, clock, durability: "process", bootId: "boot-1", ...SIZES, ...opening });
}

async function claimFence(storage: EmbeddedStorage): Promise<number> {
  await storage.enqueue(QUEUE, [aTask({ priority: 9 })]);
  const { grants } = await storage.claim(QUEUE, [{ max: 1 }]);
  return grants[0]?.[0]?.lease.fence as number;
}

/** Works until compaction has removed the first segment. */
async function outliveFirstSegment(storage: EmbeddedStorage, disk: SimulatedDisk): Promise<void> {
  for (let round = 0; disk.list().includes(segmentName(1)); round += 1) {
    expect(round).toBeLessThan(2_000);
    await storage.enqueue(QUEUE, [aTask()]);
    const { grants } = await storage.claim(QUEUE, [{ max: 1 }]);
    await storage.settle(
      QUEUE,
      (grants[0] ?? []).map((task) => completed(task)),
    );
    await storage.purge(QUEUE, "completed", 500);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Names of the files that are made on a disk from now on. */
function filesMadeOn(disk: SimulatedDisk): readonly string[] {
  const made: string[] = [];
  const openFile = disk.open.bind(disk);
  disk.open = (name, options) => {
    if (options.create) made.push(name);
    return openFile(name, options);
  };
  return made;
}

describe("fences", () => {
  it("has flushed the fences before it gives one out", async () => {
    for (const seed of SEEDS) {
      const disk = new SimulatedDisk();
      const before = await claimFence(await open(disk));

      const left = disk.afterPowerCut(seeded(seed));
      disk.dead = true;
      const after = await claimFence(await open(left, { bootId: "boot-2" }));

      expect(after, `seed ${seed}`).toBeGreaterThan(before);
    }
  });

  it("keeps fences apart when the segment that first told of them is gone", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    const before = await claimFence(storage);
    await outliveFirstSegment(storage, disk);

    const after = await claimFence(await open(disk.afterKill()));

    expect(after).toBeGreaterThan(before);
  });
});

describe("a flush", () => {
  it("flushes in the background what nobody waits for", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await storage.enqueue(QUEUE, [aTask()]);
    const { syncs } = disk;

    await vi.waitFor(() => expect(disk.syncs).toBeGreaterThan(syncs), { timeout: 5_000 });

    const left = disk.afterPowerCut(seeded(1));
    expect((await (await open(left, { bootId: "boot-2" })).snapshot(QUEUE))?.counts.ready).toBe(1);
    await storage.close();
  });

  it("keeps everything through a power cut after an orderly close", async () => {
    for (const seed of SEEDS) {
      const clock = new ManualClock();
      const disk = new SimulatedDisk();
      const storage = await open(disk);
      const workload = new Workload(seeded(seed), clock);
      for (let step = 0; step < 20; step += 1) await workload.step(storage);
      const before = await fingerprint(storage);
      await storage.close();

      const left = disk.afterPowerCut(seeded(seed));

      expect(await fingerprint(await open(left, { bootId: "boot-2" })), `seed ${seed}`).toBe(before);
    }
  });

  it("says so when the flush of an orderly close fails, also one that compaction waits for", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await storage.enqueue(QUEUE, tasks(10));
    const removes: string[] = [];
    disk.onOperation = ({ kind, name, number }) => {
      if (kind === "remove") removes.push(name);
      // The flush of a compaction that is under way when the close begins.
      if (kind === "sync") disk.fault = { operation: number, kind: "EIO", part: 0 };
    };
    while (disk.fault === undefined) {
      // Not awaited: the flush must not end before the close.
      void storage.enqueue(QUEUE, [aTask()]);
      void storage.purge(QUEUE, "ready", 500);
    }

    await expect(storage.close()).rejects.toThrow("a flush of the journal failed");
    expect(removes).toEqual([]);
  });

  it("does not believe the cache after a failed flush, on a full disk either", async () => {
    for (const seed of SEEDS) {
      const simulated = new SimulatedDisk();
      const disk = new SmallDisk(simulated, 100_000);
      const storage = await open(disk, { durability: "power", reserveBytes: 4_096 });
      await storage.enqueue(QUEUE, [aTask()]);
      simulated.fault = { operation: simulated.operations + 2, kind: "EIO", part: 0 };
      await expect(storage.enqueue(QUEUE, [aTask()])).rejects.toThrow(StorageUnavailableError);

      disk.room = 0;
      const left = disk.afterKill();
      simulated.dead = true;
      const next = await open(left, { durability: "power", reserveBytes: 4_096 });
      // Before anything is asked: compaction is in a hurry on a full disk, and would write and flush it all again.
      const cut = left.simulated.afterPowerCut(seeded(seed));
      const seen = await fingerprint(next);

      expect(await fingerprint(await open(cut, { bootId: "boot-2" })), `seed ${seed}`).toBe(seen);
    }
  });
});

describe("compaction", () => {
  const KEPT = 20;
  const CUTS = 30;

  /** The disk as a power cut in the moment of a removal would leave it, in several ways each time. */
  function cutAtRemovals(disk: SimulatedDisk): SimulatedDisk[] {
    const left: SimulatedDisk[] = [];
    const remove = disk.remove.bind(disk);
    disk.remove = (name) => {
      remove(name);
      if (segmentNumbers([name]).length > 0)
        for (let cut = 0; cut < CUTS; cut += 1) left.push(disk.afterPowerCut(seeded(left.length)));
    };
    return left;
  }

  async function expectKept(left: readonly SimulatedDisk[]): Promise<void> {
    expect(left.length).toBeGreaterThan(0);
    for (const disk of left) {
      const storage = await open(disk, { bootId: "boot-2" });
      expect((await storage.snapshot(QUEUE))?.counts.scheduled).toBe(KEPT);
    }
  }

  it("leaves all that is seen as it was, also for the next process", async () => {
    for (const seed of SEEDS.slice(0, 5)) {
      const clock = new ManualClock();
      const disk = new SimulatedDisk();
      const storage = await EmbeddedStorage.open({ disk, clock, durability: "process", ...SIZES });
      const workload = new Workload(seeded(seed), clock);
      for (let step = 0; disk.list().includes(segmentName(2)) || step < 50; step += 1) {
        expect(step).toBeLessThan(2_000);
        await workload.step(storage);
        await new Promise((resolve) => setImmediate(resolve));
      }

      const next = await EmbeddedStorage.open({ disk: disk.afterKill(), clock, ...SIZES });

      expect(await fingerprint(next), `seed ${seed}`).toBe(await fingerprint(storage));
    }
  });

  it("has flushed what it wrote again before it removes a segment", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await storage.enqueue(QUEUE, tasks(KEPT, { delayMs: 1_000 }));
    const left = cutAtRemovals(disk);

    await outliveFirstSegment(storage, disk);

    await expectKept(left);
  });

  it("lets callers wait when they fill segments faster than a flush ends, so that the disk does not fill up", async () => {
    const disk = new SimulatedDisk();
    let segmentsMax = 0;
    const openFile = disk.open.bind(disk);
    disk.open = (name, options) => {
      segmentsMax = Math.max(segmentsMax, disk.list().length);
      const file = openFile(name, options);
      const sync = file.sync.bind(file);
      file.sync = async () => {
        for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        await sync();
      };
      return file;
    };
    const storage = await open(disk);
    await storage.enqueue(QUEUE, tasks(KEPT, { delayMs: 1_000 }));
    const left = cutAtRemovals(disk);

    await outliveFirstSegment(storage, disk);

    await expectKept(left);
    expect(segmentsMax).toBeLessThan(8);
  });
});

describe("the journal", () => {
  it("opens again after an orderly close without writing the journal anew", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await storage.enqueue(QUEUE, [aTask({ payload: '"kept"' })]);
    await storage.close();

    for (const seed of SEEDS) {
      const left = disk.afterPowerCut(seeded(seed));
      const made = filesMadeOn(left);
      const again = await open(left, { bootId: "boot-2" });

      expect(made).toEqual([]);
      expect((await again.snapshot(QUEUE))?.counts.ready).toBe(1);
    }
  });

  it("refuses damage to what an orderly close had flushed, also after a restart of the machine", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await storage.enqueue(QUEUE, [aTask()]);
    const { length } = disk.content(segmentName(1));
    await storage.enqueue(QUEUE, [aTask()]);
    await storage.close();

    disk.flip(segmentName(1), length + 40);

    await expect(open(disk, { bootId: "boot-2" })).rejects.toThrow(CorruptJournalError);
  });

  it("refuses a hole in what the same boot wrote, also when an earlier boot made the segment", async () => {
    const disk = new SimulatedDisk();
    await (await open(disk)).close();
    const storage = await open(disk, { bootId: "boot-2" });
    const { length } = disk.content(segmentName(1));
    for (let time = 0; time < 3; time += 1) await storage.enqueue(QUEUE, [aTask()]);

    const left = disk.afterKill();
    left.flip(segmentName(1), length + 40);

    await expect(open(left, { bootId: "boot-2" })).rejects.toThrow(CorruptJournalError);
  });

  it("refuses a hole that the same boot left behind, when the segment that told of the boot is gone", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await outliveFirstSegment(storage, disk);
    let name = "";
    let frames: number[] = [];
    while (frames.length < 4) {
      await storage.enqueue(QUEUE, [aTask()]);
      const active = segmentName(segmentNumbers(disk.list()).at(-1) as number);
      if (active !== name) frames = [];
      name = active;
      frames.push(disk.content(name).length);
    }

    const left = disk.afterKill();
    left.flip(name, (frames[0] as number) + 40);

    await expect(open(left)).rejects.toThrow(CorruptJournalError);
  });

  it("refuses a folder whose first segment is missing, also when none was ever removed", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    while (!disk.list().includes(segmentName(3))) await storage.enqueue(QUEUE, tasks(10));

    const left = disk.afterKill();
    left.remove(segmentName(1));

    await expect(open(left)).rejects.toThrow(segmentName(1));
  });

  it("lets work go on when the disk is full, and loses nothing of it", async () => {
    const disk = new SmallDisk(new SimulatedDisk(), 20_000);
    const storage = await open(disk, { reserveBytes: 16_384 });
    await storage.enqueue(QUEUE, [aTask(), aTask()]);
    disk.room = 0;
    await expect(storage.enqueue(QUEUE, [aTask()])).rejects.toThrow(StorageUnavailableError);

    const { grants } = await storage.claim(QUEUE, [{ max: 2 }]);
    const { outcomes } = await storage.settle(
      QUEUE,
      (grants[0] ?? []).map((task) => completed(task, "1")),
    );

    expect(outcomes.map(({ kind }) => kind)).toEqual(["completed", "completed"]);
    await expect(storage.enqueue(QUEUE, [aTask()])).rejects.toThrow("The disk is full");
    const before = await fingerprint(storage);
    expect(await fingerprint(await open(disk.afterKill(), { reserveBytes: 16_384 }))).toBe(before);
  });
});
