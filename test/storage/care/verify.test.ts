import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { verifyStore } from "../../../src/storage/embedded/care/verify.ts";
import { FrameWriter } from "../../../src/storage/embedded/frame.ts";
import { writeQueue } from "../../../src/storage/embedded/records.ts";
import { SEGMENT_HEADER, segmentName } from "../../../src/storage/embedded/segment.ts";
import { DEFAULT_QUEUE_CONFIG } from "../../../src/task/queue.ts";
import { aPlace, segmentsOf, using, WornStore } from "./worn-store.ts";

const SEED = Number(process.env["DIBS_TEST_SEED"] ?? 1);

async function aWornStore(steps: number): Promise<WornStore> {
  const store = new WornStore(join(aPlace(), "data"), SEED);
  await store.live(steps);
  return store;
}

describe("verifying a folder", () => {
  it("finds it sound at any moment while a server works in it, with the counts of that moment", async () => {
    const store = new WornStore(join(aPlace(), "data"), SEED);
    await using(await store.open(), async (storage) => {
      for (let look = 0; look < 40; look += 1) {
        await store.work(storage, 15);
        const { isSound, damage, broken, queues } = await verifyStore(store.folder);

        expect({ isSound, damage, broken }).toEqual({ isSound: true, damage: [], broken: [] });
        for (const { queue, counts } of queues ?? []) {
          expect((await storage.snapshot(queue as never))?.counts).toEqual(counts);
        }
      }
      expect(segmentsOf(store.folder)[0]).toBeGreaterThan(1); // Segments were removed meanwhile.
    });
  });

  it("changes nothing, and needs no right to write", async () => {
    const store = await aWornStore(100);
    const before = contentsOf(store.folder);

    await verifyStore(store.folder);

    expect(contentsOf(store.folder)).toEqual(before);
  });

  it("sees a flipped bit wherever it is, and names the file and the bytes around it", async () => {
    const store = await aWornStore(150);
    for (const number of segmentsOf(store.folder)) {
      const path = join(store.folder, segmentName(number));
      const content = readFileSync(path);
      for (let at = store.below(100); at < content.length; at += 1 + store.below(300)) {
        const damaged = Buffer.from(content);
        damaged[at] = (damaged[at] as number) ^ (1 << store.below(8));
        writeFileSync(path, damaged);
        const report = await verifyStore(store.folder).catch((error: unknown) => error);
        writeFileSync(path, content);

        if (report instanceof Error) {
          // Of the version itself nobody can say whether it is damaged or newer.
          expect([8, 9, 10, 11]).toContain(at);
          expect(report.message).toContain("has format version");
          continue;
        }
        const { damage, unfinished } = report as Awaited<ReturnType<typeof verifyStore>>;
        const place = unfinished ?? damage.find(({ file }) => file === segmentName(number));
        expect(place, `${segmentName(number)} at ${at}`).toBeDefined();
        expect(place?.offset).toBeLessThanOrEqual(at);
        expect((place?.offset ?? 0) + (place?.bytes ?? 0)).toBeGreaterThan(at);
      }
    }
    expect((await verifyStore(store.folder)).isSound).toBe(true);
  }, 60_000);

  it("names every place of several, and a segment that is missing", async () => {
    const store = await aWornStore(400);
    const [first, second, third, fourth] = segmentsOf(store.folder) as [number, number, number, number];
    for (const number of [first, third]) overwrite(store.folder, number, 200, 30);
    rmSync(join(store.folder, segmentName(second)));

    const { isSound, damage } = await verifyStore(store.folder);

    expect(isSound).toBe(false);
    expect(damage.map(({ file }) => file)).toEqual([first, second, third].map(segmentName));
    expect(damage[1]).toMatchObject({ offset: 0, why: "this segment is missing" });
    expect(fourth).toBeGreaterThan(third);
  });

  it("tells the end of a write that was killed from damage", async () => {
    const store = await aWornStore(50);
    const last = segmentsOf(store.folder).at(-1) as number;
    const path = join(store.folder, segmentName(last));
    const content = readFileSync(path);
    writeFileSync(path, Buffer.concat([content, content.subarray(SEGMENT_HEADER, SEGMENT_HEADER + 33)]));

    expect(await verifyStore(store.folder)).toMatchObject({
      isSound: true,
      unfinished: { file: segmentName(last), offset: content.length, bytes: 33 },
    });
  });

  it("sees totals that do not agree although every checksum is right", async () => {
    const store = await aWornStore(60);
    const { enqueued } = await using(await store.open(), async (storage) => {
      return (await storage.snapshot("emails" as never)) ?? { enqueued: 0 };
    });
    const { frames } = await verifyStore(store.folder);
    const path = join(store.folder, segmentName(segmentsOf(store.folder).at(-1) as number));
    const record = { number: 0, name: "emails", paused: false, config: DEFAULT_QUEUE_CONFIG, pruned: 0 };
    const wrong = aFrame({ ...record, enqueued: enqueued + 1_000 }, await lastSequence(store));
    writeFileSync(path, Buffer.concat([readFileSync(path), wrong]));

    const report = await verifyStore(store.folder);

    expect(report).toMatchObject({ isSound: false, damage: [], frames: frames + 1 });
    expect(report.broken).toEqual([
      expect.stringMatching(/^queue emails: \d+ tasks were enqueued, and it has \d+/),
    ]);
  });

  it("refuses what is no store, and a newer format", async () => {
    const store = await aWornStore(10);
    const empty = aPlace();
    const [number] = segmentsOf(store.folder) as [number];

    await expect(verifyStore(empty)).rejects.toThrow(`${empty} is not a store of Dibs: it has no journal`);
    await expect(verifyStore(join(empty, "none"))).rejects.toThrow("there is no such folder");
    const path = join(store.folder, segmentName(number));
    await expect(verifyStore(path)).rejects.toThrow("it is no folder");
    const content = readFileSync(path);
    content.writeUInt32LE(2, 8);
    writeFileSync(path, content);
    await expect(verifyStore(store.folder)).rejects.toThrow(
      "has format version 2; this version of Dibs reads up to 1",
    );
  });

  it("stops when it is told to", async () => {
    const store = await aWornStore(50);
    await expect(
      verifyStore(store.folder, { signal: AbortSignal.abort(new Error("enough")) }),
    ).rejects.toThrow("enough");
  });
});

async function lastSequence(store: WornStore): Promise<number> {
  const { scanFrames } = await import("../../../src/storage/embedded/care/scan.ts");
  const { FrozenDisk } = await import("../../../src/storage/embedded/care/frozen-disk.ts");
  const disk = FrozenDisk.open(store.folder);
  const { sequence } = await scanFrames(disk, {});
  disk.close();
  return sequence;
}

function aFrame(queue: Parameters<typeof writeQueue>[1], sequence: number): Buffer {
  const writer = new FrameWriter();
  writer.begin();
  writeQueue(writer, queue);
  return Buffer.from(writer.finish(1, sequence + 1, sequence));
}

function overwrite(folder: string, number: number, offset: number, bytes: number): void {
  const path = join(folder, segmentName(number));
  const content = readFileSync(path);
  content.fill(0x5a, offset, offset + bytes);
  writeFileSync(path, content);
}

function contentsOf(folder: string): Record<string, string> {
  const names = readdirSync(folder).filter((name) => name !== "lock");
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name)).toString("base64")]));
}
