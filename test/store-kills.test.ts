import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Random } from "./crash/random.ts";
import { until } from "./crash/until.ts";
import { type Found, Told, WriterProcess } from "./store/writer-process.ts";

/**
 * The engine on a real file system, with segments so small that snapshots are always under way: it is killed, and
 * its folder is copied, in the middle of that. DIBS_STORE_KILLS sets the number of kills (the long mode is 100),
 * DIBS_STORE_SEED when they come.
 */
const KILLS = Number(process.env["DIBS_STORE_KILLS"] ?? 8);
const SEED = Number(process.env["DIBS_STORE_SEED"] ?? Date.now() % 1_000_000);
const COPIES = 5;
const ANSWERS_MIN = 300;

let place: string;
let told: Told;
let random: Random;
const writers: WriterProcess[] = [];

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), "dibs-store-kills-"));
  told = new Told();
  random = new Random(SEED);
});

afterEach(async () => {
  for (const writer of writers.splice(0)) await writer.stop();
  await rm(place, { recursive: true, force: true });
});

function write(folder: string, heardBy = told): WriterProcess {
  const writer = new WriterProcess(folder, heardBy);
  writers.push(writer);
  return writer;
}

/** Works until so much more was answered, and a random bit. */
async function answered(writer: WriterProcess, more: number): Promise<void> {
  await writer.found;
  const enough = told.answers + more + random.below(more);
  await until(() => told.answers >= enough || !writer.isRunning);
}

describe("a store that is killed while snapshots run", () => {
  it(
    `keeps all that it answered, through ${KILLS} kills`,
    async () => {
      const oldest: number[] = [];
      for (let kill = 1; kill <= KILLS; kill += 1) {
        const writer = write(join(place, "store"));
        const found = await writer.found;
        expect(writer.contradictions, `seed ${SEED}, kill ${kill}`).toEqual([]);
        oldest.push(found.oldest);
        await answered(writer, ANSWERS_MIN);
        await writer.kill();
      }

      const last = write(join(place, "store"));
      const { oldest: end } = await last.found;
      expect(last.contradictions, `seed ${SEED}`).toEqual([]);
      expect(end - (oldest[1] as number), "segments that went").toBeGreaterThan(KILLS);
    },
    60_000 + KILLS * 10_000,
  );
});

describe("a folder that is copied while its store lives", () => {
  it(`opens with all that was answered before, or is refused with file and offset (seed ${SEED})`, async () => {
    const writer = write(join(place, "store"));
    const opened: { readonly found: Found; readonly before: Told }[] = [];
    for (let copy = 1; copy <= COPIES; copy += 1) {
      await answered(writer, ANSWERS_MIN);
      const before = told.clone();
      if (!(await copied(join(place, `copy-${copy}`)))) continue;
      const reader = write(join(place, `copy-${copy}`), new Told());
      const found = await reader.found.catch((error: Error) => error);
      await reader.stop();
      if (found instanceof Error) expect(found.message).toMatch(/journal-\d+\.log.* at offset \d+/);
      else opened.push({ found, before });
    }
    await writer.kill();

    expect(opened.length).toBeGreaterThan(0);
    for (const { found, before } of opened) {
      // What went while the copy was made may be in it or not.
      for (const id of told.goes) before.goes.add(id);
      expect(before.contradictions(found)).toEqual([]);
    }
  });

  /** As people do it; false when a segment went before it was copied, of which they are told. */
  async function copied(target: string): Promise<boolean> {
    const { code, stderr } = await promisify(execFile)("cp", ["-r", join(place, "store"), target]).then(
      () => ({ code: 0, stderr: "" }),
      (error: { code: number; stderr: string }) => error,
    );
    if (code !== 0) expect(stderr).toMatch(/No such file or directory/);
    return code === 0;
  }
});
