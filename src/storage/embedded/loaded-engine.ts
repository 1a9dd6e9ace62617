import { steadyClock } from "../../clock.ts";
import type { Disk } from "./disk.ts";
import { Engine } from "./engine.ts";
import { Loader } from "./loader.ts";
import { bootId } from "./lock-record.ts";
import { defaultMemoryBytesMax } from "./memory.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { NodeDisk } from "./node-disk.ts";
import { type EmbeddedOptions, folderOf, passedOver } from "./opening.ts";
import { writeBoot } from "./records.ts";
import { recover } from "./recover.ts";

const MIB = 1024 * 1024;

const DEFAULTS = Object.freeze({
  tasksMax: 10_000_000,
  cacheBytesMax: 32 * MIB,
  segmentBytes: 32 * MIB,
  reserveBytes: 8 * MIB,
  fenceBlock: 1 << 20,
});

/** The engine of a folder (or of memory) with all that its journal tells, ready to write on. */
export function loadEngine(options: EmbeddedOptions, onTrouble: (error: Error | undefined) => void): Engine {
  const disk = diskOf(options);
  const engine = emptyEngine(disk, options, onTrouble);
  const loader = new Loader(engine);
  const recovered = recover(disk, (segment, content, at) => loader.replay(segment, content, at), {
    bootId: engine.options.bootId,
    flush: engine.options.durability !== "none",
    onProgress: options.onProgress ?? (() => {}),
    onCut: options.onCut ?? (() => {}),
    onReplayed: () => loader.finish(),
  });
  engine.oldestSegment = recovered.segments[0]?.number ?? 1;
  try {
    engine.journal.open(recovered.segments, recovered.sequence);
    writeBoot(engine.journal.begin(), engine.options.bootId);
    engine.journal.commit(true);
    engine.fences.open(loader.fenceEnd);
  } catch (error) {
    // Its timers would go on in a folder that is another's by then.
    engine.journal.abandon();
    throw error;
  }
  return engine;
}

function diskOf(options: EmbeddedOptions): Disk {
  const folder = folderOf(options);
  return options.disk ?? (folder === undefined ? new MemoryDisk() : new NodeDisk(folder));
}

function emptyEngine(
  disk: Disk,
  options: EmbeddedOptions,
  onTrouble: (error: Error | undefined) => void,
): Engine {
  const folder = folderOf(options);
  const isInMemory = options.disk === undefined && folder === undefined;
  const memoryBytesMax = options.memoryBytesMax ?? defaultMemoryBytesMax();
  return new Engine(disk, {
    clock: options.clock ?? steadyClock(),
    durability: isInMemory ? "none" : (options.durability ?? "process"),
    tasksMax: options.tasksMax ?? DEFAULTS.tasksMax,
    memoryBytesMax,
    cacheBytesMax: options.cacheBytesMax ?? Math.min(DEFAULTS.cacheBytesMax, memoryBytesMax / 8),
    segmentBytes: options.segmentBytes ?? DEFAULTS.segmentBytes,
    reserveBytes: options.reserveBytes ?? DEFAULTS.reserveBytes,
    bootId: options.bootId ?? bootId(),
    fenceBlock: options.fenceBlock ?? DEFAULTS.fenceBlock,
    onBroken: onTrouble,
    // No trouble of the store: where that shows, servers are sent no more work, and all other tasks can be worked on.
    onUnreadable: (id, error) => options.onTrouble?.(passedOver(id, error, folder)),
  });
}
