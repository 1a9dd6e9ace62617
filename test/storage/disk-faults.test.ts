import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/clock.ts";
import { CorruptJournalError } from "../../src/storage/embedded/corrupt-journal.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import type { Durability } from "../../src/storage/embedded/journal.ts";
import { segmentNumbers } from "../../src/storage/embedded/segment.ts";
import { StorageUnavailableError } from "../../src/task/errors.ts";
import { SimulatedDisk, seeded } from "./simulated-disk.ts";
import { fingerprint, Workload } from "./workload.ts";

/** How many seeds each kind of disaster is tried with; more with DIBS_DISK_RUNS. */
const RUNS = Number(process.env["DIBS_DISK_RUNS"] ?? 60);
const FIRST = Number(process.env["DIBS_DISK_SEED"] ?? 1);
/** How many bytes of the tail are cut one by one. */
const TORN = RUNS * 10;
const TAIL_MIN = 600;
const STEPS = 100;

/** Small segments and blocks, so that rotation, compaction and new fences happen in every run. */
const SIZES = { segmentBytes: 2_500, reserveBytes: 4_096, cacheBytesMax: 2_000, fenceBlock: 6 };

function open(
  disk: SimulatedDisk,
  clock: ManualClock,
  durability: Durability,
  bootId = "boot-1",
): Promise<EmbeddedStorage> {
  return EmbeddedStorage.open({ disk, clock, durability, bootId, ...SIZES });
}

interface Golden {
  /** What is seen after each step of an undisturbed run, the empty state first. */
  readonly states: string[];
  readonly operations: number;
}

async function goldenRun(seed: number, durability: Durability): Promise<Golden> {
  const clock = new ManualClock();
  const disk = new SimulatedDisk();
  const storage = await open(disk, clock, durability);
  const workload = new Workload(seeded(seed), clock);
  const states = [await fingerprint(storage)];
  for (let i = 0; i < STEPS; i += 1) {
    await workload.step(storage);
    states.push(await fingerprint(storage));
  }
  const { operations } = disk;
  await storage.close();
  return { states, operations };
}

interface Broken {
  readonly disk: SimulatedDisk;
  readonly clock: ManualClock;
  readonly acknowledged: number;
  readonly fence: number;
}

/** Runs until the fault ends it; says how many steps were acknowledged. */
async function runUntilFault(seed: number, durability: Durability, disk: SimulatedDisk): Promise<Broken> {
  const clock = new ManualClock();
  const workload = new Workload(seeded(seed), clock);
  let acknowledged = 0;
  try {
    const storage = await open(disk, clock, durability);
    while (acknowledged < STEPS && storage.trouble() === undefined) {
      await workload.step(storage);
      acknowledged += 1;
    }
  } catch (error) {
    if (!(error instanceof StorageUnavailableError) && (error as { code?: string }).code !== "EIO")
      throw error;
  }
  disk.dead = true;
  return { disk, clock, acknowledged, fence: workload.fence };
}

async function expectPrefix(
  golden: Golden,
  broken: Broken,
  disk: SimulatedDisk,
  atLeast: number,
  bootId: string,
  seed: number,
): Promise<void> {
  const storage = await open(disk, broken.clock, "process", bootId);
  const state = await fingerprint(storage);
  const steps = golden.states.lastIndexOf(state, broken.acknowledged + 1);
  expect(steps, `seed ${seed}: the reopened state is that after none of the steps`).toBeGreaterThanOrEqual(0);
  const enough = golden.states.slice(atLeast, broken.acknowledged + 2).includes(state);
  expect(enough, `seed ${seed}: state after ${steps} steps, ${atLeast} were promised`).toBe(true);
  await expectNewFence(storage, broken);
  await storage.close();
}

/** A fence that was handed out never comes back (I2, I7). */
async function expectNewFence(storage: EmbeddedStorage, broken: Broken): Promise<void> {
  const workload = new Workload(seeded(99), broken.clock);
  for (let i = 0; i < 30 && workload.fence === 0; i += 1) await workload.step(storage);
  expect(workload.fence).toBeGreaterThan(broken.fence);
}

function seeds(): number[] {
  return Array.from({ length: RUNS }, (_, index) => FIRST + index);
}

describe("a process that is killed", () => {
  it.each(["process", "power"] as const)(
    "loses no acknowledged step in mode %s, at whatever write it dies",
    async (durability) => {
      for (const seed of seeds()) {
        const golden = await goldenRun(seed, durability);
        const random = seeded(seed * 7_919);
        const disk = new SimulatedDisk();
        disk.fault = { operation: 1 + Math.floor(random() * golden.operations), kind: "EIO", part: random() };
        const broken = await runUntilFault(seed, durability, disk);

        await expectPrefix(golden, broken, disk.afterKill(), broken.acknowledged, "boot-1", seed);
      }
    },
    120_000,
  );
});

describe("a power cut", () => {
  it("loses no acknowledged step in mode power", async () => {
    for (const seed of seeds()) {
      const golden = await goldenRun(seed, "power");
      const random = seeded(seed * 104_729);
      const disk = new SimulatedDisk();
      disk.fault = { operation: 1 + Math.floor(random() * golden.operations), kind: "EIO", part: random() };
      const broken = await runUntilFault(seed, "power", disk);

      await expectPrefix(golden, broken, disk.afterPowerCut(random), broken.acknowledged, "boot-2", seed);
    }
  }, 120_000);

  it("leaves exactly the first steps in mode process, and no half of one", async () => {
    for (const seed of seeds()) {
      const golden = await goldenRun(seed, "process");
      const random = seeded(seed * 15_485_863);
      const disk = new SimulatedDisk();
      disk.fault = { operation: 1 + Math.floor(random() * golden.operations), kind: "EIO", part: random() };
      const broken = await runUntilFault(seed, "process", disk);

      await expectPrefix(golden, broken, disk.afterPowerCut(random), 0, "boot-2", seed);
    }
  }, 120_000);
});

describe("a full disk", () => {
  it("changes nothing that a user sees, and loses nothing", async () => {
    for (const seed of seeds()) {
      const clock = new ManualClock();
      const disk = new SimulatedDisk();
      const storage = await open(disk, clock, "process");
      const workload = new Workload(seeded(seed), clock);
      const random = seeded(seed * 31);
      let refused = 0;
      for (let i = 0; i < STEPS; i += 1) {
        disk.fault =
          random() < 0.2 ? { operation: disk.operations + 1, kind: "ENOSPC", part: random() } : undefined;
        const before = await fingerprint(storage);
        try {
          await workload.step(storage);
        } catch (error) {
          expect(error).toBeInstanceOf(StorageUnavailableError);
          expect(await fingerprint(storage)).toBe(before);
          refused += 1;
        }
      }
      disk.fault = undefined;
      expect(refused).toBeGreaterThan(0);
      const last = await fingerprint(storage);

      const again = await open(disk.afterKill(), clock, "process");

      expect(await fingerprint(again), `seed ${seed}`).toBe(last);
    }
  }, 120_000);
});

describe("damage to the journal", () => {
  async function someJournal(
    seed: number,
    steps = 40,
  ): Promise<{ disk: SimulatedDisk; clock: ManualClock; states: string[] }> {
    const clock = new ManualClock();
    const disk = new SimulatedDisk();
    const storage = await open(disk, clock, "process");
    const workload = new Workload(seeded(seed), clock);
    const states = [await fingerprint(storage)];
    for (let i = 0; i < steps; i += 1) {
      await workload.step(storage);
      states.push(await fingerprint(storage));
    }
    return { disk, clock, states };
  }

  function lastSegment(disk: SimulatedDisk): string {
    const number = segmentNumbers(disk.list()).at(-1);
    return disk.list().find((name) => name.includes(String(number).padStart(10, "0"))) as string;
  }

  it("cuts a torn tail at every byte to a state that was once acknowledged", async () => {
    // What was flushed is not torn: a segment may have been removed because of it.
    const unflushed = ({ disk }: { disk: SimulatedDisk }) => {
      return disk.content(lastSegment(disk)).length - disk.flushed(lastSegment(disk));
    };
    let journal = await someJournal(FIRST);
    for (let steps = 41; unflushed(journal) < TAIL_MIN; steps += 1) journal = await someJournal(FIRST, steps);
    const { disk, clock, states } = journal;
    const name = lastSegment(disk);
    const whole = disk.content(name);
    const from = Math.max(disk.flushed(name), whole.length - TORN);
    for (let length = from; length <= whole.length; length += 1) {
      const copy = disk.afterKill();
      copy.replace(name, Buffer.from(whole.subarray(0, length)));

      const storage = await open(copy, clock, "process");

      expect(states).toContain(await fingerprint(storage));
    }
  }, 120_000);

  it("refuses a bit that flipped before whole frames, with file and offset, and changes nothing", async () => {
    const { disk, clock } = await someJournal(FIRST);
    const random = seeded(FIRST);
    for (let i = 0; i < RUNS; i += 1) {
      const names = disk.list().filter((name) => name.startsWith("journal-"));
      const name = names[Math.floor(random() * names.length)] as string;
      const copy = disk.afterKill();
      const content = copy.content(name);
      const at = Math.floor(random() * content.length * 0.5);
      const damaged = Buffer.from(content);
      damaged[at] = (damaged[at] as number) ^ (1 << Math.floor(random() * 8));
      copy.replace(name, damaged);
      const before = copy.list().sort();

      const error = await open(copy, clock, "process").then(
        () => undefined,
        (reason: unknown) => reason,
      );

      expect(error, `byte ${at} of ${name}`).toBeInstanceOf(CorruptJournalError);
      expect((error as CorruptJournalError).details["file"]).toBe(name);
      expect((error as CorruptJournalError).details["offset"]).toBeLessThanOrEqual(at);
      expect((error as CorruptJournalError).message).toContain(name);
      expect(copy.list().sort()).toEqual(before);
    }
  }, 120_000);

  it("refuses a folder whose oldest or a middle segment is missing", async () => {
    const { disk, clock } = await someJournal(FIRST, 120);
    const names = disk
      .list()
      .filter((name) => name.startsWith("journal-"))
      .sort();
    expect(names.length).toBeGreaterThan(2);
    for (const missing of names.slice(0, -1)) {
      const copy = disk.afterKill();
      copy.remove(missing);

      await expect(open(copy, clock, "process")).rejects.toThrow(missing);
    }
  });

  it("refuses a journal of a newer format version", async () => {
    const { disk, clock } = await someJournal(FIRST);
    const name = disk
      .list()
      .filter((file) => file.startsWith("journal-"))
      .sort()
      .at(-1) as string;
    const newer = Buffer.from(disk.content(name));
    newer.writeUInt32LE(99, 8);
    disk.replace(name, newer);

    await expect(open(disk, clock, "process")).rejects.toThrow("format version 99");
  });
});
