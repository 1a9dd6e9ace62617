import { cpSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe } from "vitest";
import { ManualClock } from "../../src/clock.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { ArrowCounts } from "./arrows.ts";
import { COMMANDS } from "./commands.ts";
import { playAgainstModel, type Stage } from "./runs.ts";
import { type Real, World } from "./world.ts";

/** Small enough that segments end, are compacted away, and payloads are read back, all within one run. */
const SMALL = { segmentBytes: 4_096, cacheBytesMax: 2_000, reserveBytes: 0 };

const arrows = new ArrowCounts();
const folders: string[] = [];

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

describe("the storage port on the embedded engine", () => {
  playAgainstModel(COMMANDS, setUp, arrows, 400);
});

async function setUp(): Promise<Stage<World, Real>> {
  const clock = new ManualClock();
  let folder = await freshFolder();
  const open = () => EmbeddedStorage.open({ folder, durability: "process", clock, ...SMALL });
  let storage = await open();
  const real: Real = {
    storage,
    async reopen() {
      await storage.close();
      real.storage = storage = await open();
    },
    async crash() {
      const before = storage;
      const left = await freshFolder();
      // At once, as a kill does: not one write of the engine comes in between.
      cpSync(folder, left, { recursive: true, filter: (path) => basename(path) !== "lock" });
      folder = left;
      real.storage = storage = await open();
      await before.close();
    },
  };
  return { model: new World(clock, arrows), real, close: () => storage.close() };
}

async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-model-"));
  folders.push(folder);
  return folder;
}
