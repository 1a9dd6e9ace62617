import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ManualClock } from "../../../src/clock.ts";
import { aTask, completed, QUEUE, tasks } from "../../../src/storage/contract/builders.ts";
import { CorruptJournalError } from "../../../src/storage/embedded/corrupt-journal.ts";
import { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import { segmentName } from "../../../src/storage/embedded/segment.ts";
import { type Operation, SimulatedDisk, seeded } from "../simulated-disk.ts";
import { fingerprint } from "../workload.ts";
import { engineTimers } from "./engine-timers.ts";

/*
 * Faults that only show together with a second one, or at a moment that random runs seldom meet: one test each.
 */
const SIZES = { segmentBytes: 2_000, cacheBytesMax: 1_000, fenceBlock: 4 };

beforeEach(() => engineTimers.take());
afterEach(() => engineTimers.giveBack());

function open(disk: SimulatedDisk, bootId = "boot-1", reserveBytes = 0): Promise<EmbeddedStorage> {
  const clock = new ManualClock();
  return EmbeddedStorage.open({ disk, clock, durability: "process", bootId, ...SIZES, reserveBytes });
}

async function claimOne(storage: EmbeddedStorage): Promise<number> {
  const { grants } = await storage.claim(QUEUE, [{ max: 1 }]);
  return grants[0]?.[0]?.lease.fence as number;
}

describe("a flush that failed", () => {
  it("gives out no fence after a flush at once that hid the failure of another", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await storage.enqueue(QUEUE, tasks(10));
    let highest = 0;
    for (let fence = 1; fence <= SIZES.fenceBlock; fence += 1) highest = await claimOne(storage);
    disk.turns = () => 50;
    disk.fault = { operation: disk.operations + 1, kind: "EIO", part: 0 };
    vi.advanceTimersByTime(1_000);

    // The next block is written, and the flush of it under way: so it is flushed at once.
    await expect(claimOne(storage)).rejects.toThrow("a flush of the journal failed");

    engineTimers.forget();
    const next = await open(disk.afterPowerCut(seeded(1)), "boot-2");
    await next.enqueue(QUEUE, [aTask()]);
    expect(await claimOne(next)).toBeGreaterThan(highest);
  });
});

describe("a torn tail with segments behind it", () => {
  it("does not let segments come back that were cut with a torn tail", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    while (!disk.list().includes(segmentName(5))) await storage.enqueue(QUEUE, tasks(3));
    engineTimers.forget();
    const left = disk.afterKill();
    left.flip(segmentName(3), 1_000);
    const log: Operation[] = [];
    left.onOperation = (operation) => log.push(operation);

    const cut = await fingerprint(await open(left, "boot-2"));

    const removed = log.filter(({ kind }) => kind === "remove").map(({ name }) => name);
    expect(removed).toEqual([segmentName(4), segmentName(5)]);
    const after = log.slice(log.findLastIndex(({ kind }) => kind === "remove") + 1);
    expect(after[0]?.kind, "before anything else is written").toBe("folder sync");
    for (const stopped of log.map((operation) => operation.stopped(0.5))) {
      engineTimers.forget();
      expect(await fingerprint(await open(stopped, "boot-2"))).toBe(cut);
    }
  });
});

describe("a segment that cannot be removed", () => {
  it("tries again to remove a segment that could not be removed", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    disk.onOperation = ({ kind, number }) => {
      if (kind === "remove") disk.fault ??= { operation: number, kind: "EIO", part: 0 };
    };
    const troubles: unknown[] = [];
    for (let round = 0; disk.list().includes(segmentName(3)) || round < 20; round += 1) {
      expect(round).toBeLessThan(2_000);
      await storage.enqueue(QUEUE, [aTask()]);
      const { grants } = await storage.claim(QUEUE, [{ max: 1 }]);
      await storage.settle(
        QUEUE,
        (grants[0] ?? []).map((task) => completed(task)),
      );
      await storage.purge(QUEUE, "completed", 500);
      await engineTimers.pass(100);
      troubles.push(storage.trouble());
    }

    expect(troubles).toContainEqual({ reason: "EIO: simulated", isFinal: false });
    expect(storage.trouble()).toBeUndefined();
    expect(disk.list()).not.toContain(segmentName(1));
    const before = await fingerprint(storage);
    engineTimers.forget();
    expect(await fingerprint(await open(disk.afterKill()))).toBe(before);
  });
});

describe("a frame that others follow", () => {
  it("is refused with a flipped bit in any byte of it, also of its numbers", async () => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    await storage.enqueue(QUEUE, [aTask()]);
    const from = disk.content(segmentName(1)).length;
    await storage.enqueue(QUEUE, [aTask()]);
    const to = disk.content(segmentName(1)).length;
    await storage.enqueue(QUEUE, [aTask()]);
    engineTimers.forget();

    for (let at = from; at < to; at += 1) {
      const left = disk.afterKill();
      left.flip(segmentName(1), at, at % 8);
      const refusal = await open(left).catch((error: unknown) => error);
      expect(refusal, `byte ${at - from}`).toBeInstanceOf(CorruptJournalError);
      expect((refusal as CorruptJournalError).details).toEqual({ file: segmentName(1), offset: from });
    }
  });
});

describe("an opening on a disk without room for the reserve", () => {
  it("takes no tasks, lets work go on, and takes tasks when there is room", async () => {
    const disk = new SimulatedDisk();
    const first = await open(disk);
    await first.enqueue(QUEUE, [aTask()]);
    await first.close();
    let isFull = true;
    disk.onOperation = ({ name, number }) => {
      disk.fault =
        isFull && name === "reserve.new" ? { operation: number, kind: "ENOSPC", part: 0 } : undefined;
    };

    const storage = await open(disk, "boot-1", 2_048);

    expect(storage.trouble()).toMatchObject({ isFinal: false });
    await expect(storage.enqueue(QUEUE, [aTask()])).rejects.toThrow("The disk is full");
    expect(await claimOne(storage)).toBeGreaterThan(0);
    isFull = false;
    await engineTimers.pass(1_000);
    expect(storage.trouble()).toBeUndefined();
    await storage.enqueue(QUEUE, [aTask()]);
  });
});
