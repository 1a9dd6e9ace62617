import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { backupStore } from "../../../src/storage/embedded/care/backup.ts";
import { salvageStore } from "../../../src/storage/embedded/care/salvage.ts";
import { verifyStore } from "../../../src/storage/embedded/care/verify.ts";
import { writeMoveMark } from "../../../src/storage/embedded/move-mark.ts";
import { segmentName } from "../../../src/storage/embedded/segment.ts";
import { answersOf } from "../format/record.ts";
import { aPlace, segmentsOf, using, WornStore } from "./worn-store.ts";

const SEED = Number(process.env["DIBS_TEST_SEED"] ?? 1);

describe("backing a folder up", () => {
  it("copies the very moment of a store at work, whatever compaction does meanwhile", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), SEED);
    await using(await store.open(), async (storage) => {
      for (let n = 0; n < 25; n += 1) {
        await store.work(storage, 20);
        const now = await answersOf(storage);
        const copy = join(place, `copy-${n}`);
        await backupStore(store.folder, copy);

        expect(await verifyStore(copy)).toMatchObject({ isSound: true, unfinished: undefined });
        expect(await using(await store.open(copy), answersOf)).toEqual(now);
      }
      expect(segmentsOf(store.folder)[0]).toBeGreaterThan(1); // Segments were removed meanwhile.
    });
  });

  it("is a store that goes on, with fences above all that the first one gives out later", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), SEED);
    await store.live(100);
    const copy = join(place, "copy");
    await backupStore(store.folder, copy);
    await store.live(300);
    const later = store.workload.fence;

    await using(await store.open(copy), async (storage) => {
      const { grants } = await storage.claim("emails" as never, [{ max: 500, leaseMs: 60_000 }]);
      expect(grants.flat().length).toBeGreaterThan(0);
      for (const { lease } of grants.flat()) expect(lease.fence).toBeGreaterThan(later);
    });
  });

  it("cuts a write that has not ended, and refuses damage with a way out and nothing left behind", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), SEED);
    await store.live(200);
    const [first] = segmentsOf(store.folder) as [number];
    const last = join(store.folder, segmentName(segmentsOf(store.folder).at(-1) as number));
    writeFileSync(last, Buffer.concat([readFileSync(last), readFileSync(last).subarray(16, 70)]));
    await backupStore(store.folder, join(place, "copy"));
    expect(await verifyStore(join(place, "copy"))).toMatchObject({ isSound: true, unfinished: undefined });

    const path = join(store.folder, segmentName(first));
    writeFileSync(path, readFileSync(path).fill(1, 300, 320));
    const failure = backupStore(store.folder, join(place, "no", "copy"));

    await expect(failure).rejects.toThrow(/The journal is damaged.*\n.*\n {2}dibs store verify /);
    expect(existsSync(join(place, "no", "copy"))).toBe(false);
  });

  it("takes only a new or an empty folder, beside the store", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), SEED);
    await store.live(30);
    mkdirSync(join(place, "full"));
    writeFileSync(join(place, "full", "letter.txt"), "");
    mkdirSync(join(place, "empty"));

    await expect(backupStore(store.folder, join(place, "full"))).rejects.toThrow(
      "is not empty: it has letter.txt",
    );
    await expect(backupStore(store.folder, store.folder)).rejects.toThrow("lies within");
    await expect(backupStore(store.folder, join(store.folder, "copy"))).rejects.toThrow("lies within");
    await expect(backupStore(join(place, "empty"), join(place, "copy"))).rejects.toThrow("it has no journal");
    await expect(backupStore(store.folder, join(place, "full", "letter.txt"))).rejects.toThrow(
      "is no folder",
    );
    await backupStore(store.folder, join(place, "empty"));
    await expect(backupStore(store.folder, join(place, "empty"))).rejects.toThrow("is not empty");
    expect(readdirSync(join(place, "full"))).toEqual(["letter.txt"]);
  });

  it("leaves no folder that looks like a store when it is stopped, and begins anew over its remains", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), SEED);
    await store.live(200);
    const copy = join(place, "copy");
    const stop = new AbortController();
    const stopped = backupStore(store.folder, copy, {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error("enough")),
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(existsSync(copy)).toBe(false);

    // As a kill leaves it: files that have not got their names, or the first of them only.
    await backupStore(store.folder, copy);
    const names = readdirSync(copy).filter((name) => name.endsWith(".log"));
    expect(names.length).toBeGreaterThan(2);
    renameSync(join(copy, names[0] as string), join(copy, `${names[0]}.new`));
    await expect(store.open(copy)).rejects.toThrow(/missing/);
    for (const name of names.slice(1)) renameSync(join(copy, name), join(copy, `${name}.new`));
    await backupStore(store.folder, copy);
    expect(await verifyStore(copy)).toMatchObject({ isSound: true });
  });

  it("leaves nothing on a disk that is too small, and says so", async ({ skip }) => {
    const place = aPlace();
    const small = join(place, "small");
    mkdirSync(small);
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=20k", "dibs-small-disk", small]);
    // Making a file system needs the right to mount, which not everybody has.
    if (mount.status !== 0) skip(mount.stderr?.toString() ?? "no mount");
    const store = new WornStore(join(place, "data"), SEED);
    await store.live(300);
    const full = `The disk of ${join(small, "copy")} is full. Nothing was left there`;
    try {
      for (const write of [backupStore, salvageStore]) {
        await expect(write(store.folder, join(small, "copy"))).rejects.toThrow(full);
        expect(readdirSync(small)).toEqual([]);
      }
    } finally {
      spawnSync("umount", [small]);
    }
  });

  it("takes the mark of a move along, so that half a store is not served from the copy either", async () => {
    const place = aPlace();
    const store = new WornStore(join(place, "data"), SEED);
    await store.live(30);
    await writeMoveMark(store.folder, { phase: "arriving", from: "elsewhere" });
    await backupStore(store.folder, join(place, "copy"));

    await expect(store.open(join(place, "copy"))).rejects.toThrow("is half filled by a move from elsewhere");
  });
});
