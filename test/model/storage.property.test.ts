import { cpSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe } from "vitest";
import { ManualClock } from "../../src/clock.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { MemoryDisk } from "../../src/storage/embedded/memory-disk.ts";
import { ArrowCounts } from "./arrows.ts";
import { commandsWith } from "./commands.ts";
import { EXACT } from "./durations.ts";
import { playAgainstModel, type Stage } from "./runs.ts";
import { type Real, World } from "./world.ts";

/** Small enough that segments end, are compacted away, and payloads are read back, all within one run. */
const SMALL = { segmentBytes: 4_096, cacheBytesMax: 2_000, reserveBytes: 0, durability: "process" } as const;

/** Where the engine keeps its journal, and what a process that is killed now would leave behind. */
interface Place {
  readonly options: { readonly folder: string } | { readonly disk: MemoryDisk };
  /** Taken at once, as a kill does: not one write of the engine comes in between. */
  copied(): Place;
}

const arrows = new ArrowCounts();
const folder = await mkdtemp(join(tmpdir(), "dibs-model-"));
let runs = 0;
let folders = 0;

afterAll(() => rm(folder, { recursive: true }));

describe("the storage port on the embedded engine", () => {
  playAgainstModel(commandsWith(EXACT), setUp, arrows, { runs: 400, eachArrow: 100 });
});

async function setUp(): Promise<Stage<World, Real>> {
  const clock = new ManualClock();
  runs += 1;
  // Every fourth on a real disk, whose flushes take most of the time of a run.
  let place = runs % 4 === 0 ? folderPlace() : memoryPlace(new MemoryDisk());
  const open = () => EmbeddedStorage.open({ ...SMALL, ...place.options, clock });
  let storage = await open();
  const real: Real = {
    storage,
    async reopen() {
      await storage.close();
      real.storage = storage = await open();
    },
    async crash() {
      const killed = storage;
      place = place.copied();
      real.storage = storage = await open();
      await killed.close();
    },
  };
  return { model: new World(clock, arrows), real, close: () => storage.close() };
}

function folderPlace(): Place {
  folders += 1;
  const path = join(folder, String(folders));
  return {
    options: { folder: path },
    copied() {
      const copy = folderPlace();
      const filter = (from: string) => basename(from) !== "lock";
      cpSync(path, (copy.options as { folder: string }).folder, { recursive: true, filter });
      return copy;
    },
  };
}

function memoryPlace(disk: MemoryDisk): Place {
  return {
    options: { disk },
    copied() {
      const copy = new MemoryDisk();
      for (const name of disk.list()) {
        const from = disk.open(name, { create: false });
        const content = Buffer.alloc(from.size());
        from.read(content, 0);
        copy.open(name, { create: true }).write(content, 0);
      }
      return memoryPlace(copy);
    },
  };
}
