import { statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { examineFolder } from "../../../src/lab/doctor/folder-doctor.ts";
import { backupStore } from "../../../src/storage/embedded/care/backup.ts";
import { salvageStore } from "../../../src/storage/embedded/care/salvage.ts";
import { verifyStore } from "../../../src/storage/embedded/care/verify.ts";
import { segmentName } from "../../../src/storage/embedded/segment.ts";
import type { QueueName, TaskId } from "../../../src/task/ids.ts";
import { TASK_STATES } from "../../../src/task/task.ts";
import { mendAll, spoil } from "./bad-disk.ts";
import { aPlace, segmentsOf, using, WornStore } from "./worn-store.ts";

vi.mock("node:fs", async (original) => {
  const { withBadSectors } = await import("./bad-disk.ts");
  return withBadSectors(await original<typeof import("node:fs")>());
});
afterEach(() => mendAll());

const SEED = Number(process.env["DIBS_TEST_SEED"] ?? 1);
/** Segments of several blocks, of which one is lost with each bad sector. */
const SIZES = { segmentBytes: 40_000, reserveBytes: 0, cacheBytesMax: 0, fenceBlock: 1_000 };

interface BadStore {
  readonly store: WornStore;
  readonly ids: readonly TaskId[];
  readonly file: string;
  readonly path: string;
  readonly size: number;
}

async function aStore(): Promise<BadStore> {
  const store = new WornStore(join(aPlace(), "data"), SEED);
  await store.live(300, SIZES);
  const ids = await using(await store.open(store.folder, SIZES), async (storage) => {
    const found: TaskId[] = [];
    for (const queue of await storage.queues()) found.push(...(await idsOf(storage, queue)));
    return found;
  });
  const file = segmentName(segmentsOf(store.folder)[0] as number);
  const path = join(store.folder, file);
  return { store, ids, file, path, size: statSync(path).size };
}

async function idsOf(storage: Awaited<ReturnType<WornStore["open"]>>, queue: QueueName): Promise<TaskId[]> {
  const pages = await Promise.all(TASK_STATES.map((state) => storage.list(queue, { state, limit: 1_000 })));
  return pages.flatMap(({ tasks }) => tasks.map(({ id }) => id));
}

describe("a folder on a disk with a bad sector", () => {
  it("is refused by a start with file and offset and the commands that lead out", async () => {
    const { store, file, path, size } = await aStore();
    const offset = 512 * Math.floor(size / 1_024);
    spoil(path, offset);

    const refusal = await store.open(store.folder, SIZES).catch((error: unknown) => error);

    expect((refusal as Error).message).toContain(
      `The journal is damaged: ${file} in ${store.folder} at offset ${offset}: the disk cannot read it (EIO). Nothing was changed.`,
    );
    expect((refusal as Error).message).toContain(`dibs store verify ${store.folder}`);
    expect((refusal as Error).message).toContain(
      `dibs store salvage ${store.folder} ${store.folder}.salvaged`,
    );
  });

  it("is verified to its end, and each place is told with what the disk cannot read", async () => {
    const { store, file, path, size } = await aStore();
    const frames = (await verifyStore(store.folder)).frames;
    spoil(path, 5_000);
    spoil(path, size - 3_000);

    const report = await verifyStore(store.folder);

    expect(report.isSound).toBe(false);
    expect(report.damage).toHaveLength(2);
    for (const place of report.damage) {
      expect(place).toMatchObject({
        file,
        why: expect.stringMatching(/^the disk cannot read it at offset \d+$/),
      });
    }
    expect(report.frames, "those of other blocks are read").toBeGreaterThan(frames / 2);
  });

  it("is no sound folder either when nothing but room for more cannot be read", async () => {
    const { store } = await aStore();
    const file = segmentName(segmentsOf(store.folder).at(-1) as number);
    const path = join(store.folder, file);
    const { size } = statSync(path);
    const { truncateSync } = await import("node:fs");
    truncateSync(path, size + 20_000);
    expect((await verifyStore(store.folder)).isSound).toBe(true);
    spoil(path, size + 15_000);

    expect(await verifyStore(store.folder)).toMatchObject({ isSound: false, damage: [{ file }] });
    await expect(store.open(store.folder, SIZES)).rejects.toThrow("the disk cannot read it");
  });

  it("is salvaged around what cannot be read: every other task is in the new store, the rest is told", async () => {
    const { store, ids, path, size } = await aStore();
    spoil(path, Math.floor(size / 2));
    const to = `${store.folder}.salvaged`;

    const report = await salvageStore(store.folder, to);

    mendAll();
    expect(report.gaps.flatMap(({ places }) => places.map(({ why }) => why))).toEqual([
      expect.stringMatching(/^the disk cannot read it at offset \d+$/),
    ]);
    expect(report.gaps[0]?.places[0]?.bytes, "the frames of a block, not of a read").toBeLessThan(10_000);
    const saved = await using(await store.open(to, SIZES), async (storage) => {
      const found: TaskId[] = [];
      for (const queue of await storage.queues()) found.push(...(await idsOf(storage, queue)));
      return found;
    });
    const missing = report.queues.reduce((sum, queue) => sum + queue.missing, 0);
    expect(ids.filter((id) => !saved.includes(id)).length).toBeLessThanOrEqual(missing);
    expect(saved.length).toBeGreaterThan(ids.length / 2);
    expect((await verifyStore(to)).isSound).toBe(true);
  });

  it("is not backed up by half, and leaves nothing where the copy was to be", async () => {
    const { store, file, path, size } = await aStore();
    spoil(path, size - 1);
    const to = join(aPlace(), "copy");

    await expect(backupStore(store.folder, to)).rejects.toThrow(`${file} in ${store.folder} at offset`);
    expect(statSync(to, { throwIfNoEntry: false })).toBeUndefined();
  });

  it("is red to the doctor", async () => {
    const { store, path } = await aStore();
    spoil(path, 5_000);
    const look = { forMs: 10, signal: new AbortController().signal, onStep: () => undefined };

    const { findings } = await examineFolder({ folder: store.folder, tasksMax: 1_000 }, look);

    expect(findings.find(({ check }) => check === "journal")).toMatchObject({
      colour: "red",
      advice: expect.stringContaining("the disk cannot read it"),
    });
  });
});
