import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { aTask, completed } from "../../../src/storage/contract/builders.ts";
import { FrozenDisk } from "../../../src/storage/embedded/care/frozen-disk.ts";
import { salvageStore } from "../../../src/storage/embedded/care/salvage.ts";
import { scanFrames } from "../../../src/storage/embedded/care/scan.ts";
import { verifyStore } from "../../../src/storage/embedded/care/verify.ts";
import type { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import { FRAME } from "../../../src/storage/embedded/frame.ts";
import { idIn, RECORD, read } from "../../../src/storage/embedded/records.ts";
import { segmentName } from "../../../src/storage/embedded/segment.ts";
import type { QueueName } from "../../../src/task/ids.ts";
import { type ClaimedTask, TASK_STATES, type Task } from "../../../src/task/task.ts";
import { answersOf } from "../format/record.ts";
import { aPlace, segmentsOf, using, WornStore } from "./worn-store.ts";

/** How many folders are damaged and saved; more with DIBS_TEST_SALVAGE_RUNS. */
const RUNS = Number(process.env["DIBS_TEST_SALVAGE_RUNS"] ?? 15);
const FIRST = Number(process.env["DIBS_TEST_SEED"] ?? 1);
const QUEUES = ["emails", "renders"] as QueueName[];

/** Bytes of a file that are no longer what was written. */
interface Damage {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

/** Damages a folder at one to three places, as disks and people do it. */
function damage(store: WornStore): Damage[] {
  return Array.from({ length: 1 + store.below(3) }, () => {
    const numbers = segmentsOf(store.folder);
    const number = numbers[store.below(numbers.length)] as number;
    const path = join(store.folder, segmentName(number));
    const content = readFileSync(path);
    const anywhere = store.below(content.length);
    // A header that tells a newer version is refused, and not guessed at.
    const start = anywhere >= 8 && anywhere < 12 ? 12 : anywhere;
    const end = Math.min(content.length, start + 1 + store.below(1_500));
    switch (store.below(numbers.length > 2 ? 5 : 4)) {
      case 0:
        writeFileSync(path, content.fill(0, start, end));
        return { number, start, end };
      case 1:
        for (let at = start; at < end; at += 1) content[at] = store.below(256);
        writeFileSync(path, content);
        return { number, start, end };
      case 2:
        content[start] = (content[start] as number) ^ 0x10;
        writeFileSync(path, content);
        return { number, start, end: start + 1 };
      case 3:
        writeFileSync(path, content.subarray(0, start));
        return { number, start, end: content.length };
      default:
        rmSync(path);
        return { number, start: 0, end: content.length };
    }
  });
}

/** What the records of a folder are about: the tasks, and the frames that each has a record in. */
async function framesOfTasks(folder: string): Promise<Map<string, Damage[]>> {
  const disk = FrozenDisk.open(folder);
  const names = new Map<number, QueueName>();
  const found = new Map<string, Damage[]>();
  await scanFrames(disk, {
    frame(number, content, frame) {
      for (let at = frame.start; at < frame.end; at += read.length(content, at)) {
        const kind = read.kind(content, at);
        if (kind === RECORD.queue) {
          const queue = read.queueRecord(content, at);
          names.set(queue.number, queue.name as QueueName);
        }
        if (kind > RECORD.removed) continue;
        const id = idIn(names.get(read.queue(content, at)) as QueueName, read.id(content, at));
        const place = { number, start: frame.start - FRAME.header, end: frame.end };
        found.set(id, [...(found.get(id) ?? []), place]);
      }
    },
  });
  disk.close();
  return found;
}

function isHit(frame: Damage, damages: readonly Damage[]): boolean {
  return damages.some(
    ({ number, start, end }) => number === frame.number && start < frame.end && end > frame.start,
  );
}

async function tasksOf(storage: EmbeddedStorage): Promise<Map<string, Task>> {
  const tasks = new Map<string, Task>();
  for (const queue of await storage.queues()) {
    for (const state of TASK_STATES) {
      let cursor: string | undefined;
      do {
        const page = await storage.list(queue, {
          state,
          limit: 200,
          ...(cursor !== undefined && { cursor }),
        });
        for (const task of page.tasks) tasks.set(task.id, task);
        cursor = page.cursor;
      } while (cursor !== undefined);
    }
  }
  return tasks;
}

/** The first call of a worn store makes the first queue, the second the second. */
const NUMBERED = new Map(QUEUES.entries());

async function saveAndCompare(seed: number): Promise<{ lost: number; kept: number }> {
  const place = aPlace();
  const store = new WornStore(join(place, "data"), seed);
  const sizes = store.below(3) === 0 ? { segmentBytes: 32_000_000 } : {};
  // Several lives: after each start, places that are free are given out again.
  for (let life = 0; life < 5; life += 1) await store.live(30 + store.below(60), sizes);
  const before = await using(await store.open(), tasksOf);
  const frames = await framesOfTasks(store.folder);
  const damages = damage(store);
  const to = join(place, "saved");
  const report = await salvageStore(store.folder, to, { names: NUMBERED });

  const kept = await using(await store.open(to), async (storage) => {
    const after = await tasksOf(storage);
    const untouched = [...frames].filter(([, places]) => !places.some((frame) => isHit(frame, damages)));
    for (const [id] of untouched) expect(after.get(id), id).toEqual(before.get(id));
    for (const id of after.keys()) expect(frames.has(id), id).toBe(true);
    const lost = new Set(report.lost.map((task) => task.id as string));
    for (const [id] of untouched) expect(lost.has(id), `${id} is told lost`).toBe(false);
    // Whatever is gone although a whole record still names it is told.
    for (const [id, places] of frames) {
      if (!before.has(id) || after.has(id) || places.every((frame) => isHit(frame, damages))) continue;
      expect(lost.has(id), `${id} is told lost`).toBe(true);
    }
    const ids = new Set(untouched.map(([id]) => id));
    const inOrder = (tasks: Map<string, Task>) => [...tasks.keys()].filter((id) => ids.has(id));
    expect(inOrder(after)).toEqual(inOrder(before));
    const fences = [...after.values()].map((task) => (task.state === "leased" ? task.lease.fence : 0));
    for (const queue of QUEUES) {
      const { grants } = await storage.claim(queue, [{ max: 100, leaseMs: 1_000 }]);
      for (const { lease } of grants.flat()) {
        expect(lease.fence).toBeGreaterThan(Math.max(store.workload.fence, ...fences));
      }
    }
    await store.work(storage, 50);
    return inOrder(before).length;
  });
  expect(await verifyStore(to)).toMatchObject({ isSound: true });
  return { lost: report.lost.length, kept };
}

describe("saving what can be trusted of a damaged folder", () => {
  it(
    "keeps every task that the damage did not touch as it was and in its order, and tells the others",
    async () => {
      let lost = 0;
      let kept = 0;
      for (let seed = FIRST; seed < FIRST + RUNS; seed += 1) {
        try {
          const saved = await saveAndCompare(seed);
          lost += saved.lost;
          kept += saved.kept;
        } catch (error) {
          const again = `DIBS_TEST_SEED=${seed} DIBS_TEST_SALVAGE_RUNS=1`;
          throw new Error(`seed ${seed}: try it alone with ${again}: ${(error as Error).message}`, {
            cause: error,
          });
        }
      }
      expect(lost).toBeGreaterThan(0); // The damage hits tasks at all,
      expect(kept).toBeGreaterThan(10 * RUNS); // and leaves many.
    },
    60_000 + RUNS * 2_000,
  );

  it("gives each task a place of its own, also one that stands where a younger one stands by now", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), FIRST);
    const path = join(store.folder, segmentName(1));
    const queue = QUEUES[0] as QueueName;
    const older = aTask();
    const younger = aTask();
    const inOneSegment = () => store.open(store.folder, { segmentBytes: 32_000_000 });
    await using(await inOneSegment(), (storage) => storage.enqueue(queue, [older]));
    const start = readFileSync(path).length;
    await using(await inOneSegment(), async (storage) => {
      const { grants } = await storage.claim(queue, [{ max: 1 }]);
      await storage.settle(queue, [completed(grants[0]?.[0] as ClaimedTask)]);
    });
    const end = readFileSync(path).length;
    await using(await inOneSegment(), (storage) => storage.enqueue(queue, [younger]));
    // The older one's claim and completion are gone: it is ready again, at the place that the younger one has.
    writeFileSync(path, readFileSync(path).fill(0xff, start, end));

    const report = await salvageStore(store.folder, join(place, "saved"));

    expect(report).toMatchObject({ uncertain: 1, lost: [] });
    await using(await store.open(join(place, "saved")), async (storage) => {
      const { grants } = await storage.claim(queue, [{ max: 5 }]);
      expect(grants[0]?.map(({ id }) => id)).toEqual([older.id, younger.id]);
    });
  });

  it("copies a sound folder whole", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), FIRST);
    await store.live(300);
    const before = await using(await store.open(), answersOf);

    const report = await salvageStore(store.folder, join(place, "saved"));

    expect(report).toMatchObject({ gaps: [], calls: 0, lost: [], uncertain: 0 });
    expect(await using(await store.open(join(place, "saved")), answersOf)).toEqual(before);
  });

  it("gives a queue whose name is lost a name, or the one that it is told", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), FIRST);
    await store.live(120, { segmentBytes: 32_000_000 });
    const path = join(store.folder, segmentName(1));
    const content = readFileSync(path);
    for (
      let at = content.indexOf('"name":"renders"');
      at !== -1;
      at = content.indexOf('"name":"renders"', at + 1)
    ) {
      content[at] = 0;
    }
    writeFileSync(path, content);

    const nameless = await salvageStore(store.folder, join(place, "nameless"));
    const named = await salvageStore(store.folder, join(place, "named"), {
      names: new Map([[1, QUEUES[1] as QueueName]]),
    });

    expect(nameless.queues.map(({ queue, isNameLost }) => [queue, isNameLost])).toEqual([
      ["emails", false],
      ["salvaged-1", true],
    ]);
    expect(named.queues.map(({ queue, isNameLost }) => [queue, isNameLost])).toEqual([
      ["emails", false],
      ["renders", false],
    ]);
    expect(named.queues[1]?.counts).toEqual(nameless.queues[1]?.counts);
  });

  it("refuses a folder that is served, a newer format and a target that is not empty", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), FIRST);
    await using(await store.open(), async (storage) => {
      await store.work(storage, 10);
      await expect(salvageStore(store.folder, join(place, "saved"))).rejects.toThrow(
        `${store.folder} is held by process ${process.pid}: stop it first`,
      );
    });
    cpSync(store.folder, join(place, "other"), { recursive: true });
    await expect(salvageStore(store.folder, join(place, "other"))).rejects.toThrow("is not empty");
    const path = join(store.folder, segmentName(1));
    const content = readFileSync(path);
    content.writeUInt32LE(7, 8);
    writeFileSync(path, content);
    await expect(salvageStore(store.folder, join(place, "saved"))).rejects.toThrow("has format version 7");
  });
});
