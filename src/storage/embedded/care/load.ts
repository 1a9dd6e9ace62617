import { steadyClock } from "../../../clock.ts";
import { Engine } from "../engine.ts";
import { Loader } from "../loader.ts";
import { bootId } from "../lock-record.ts";
import { MemoryDisk } from "../memory-disk.ts";
import { recover } from "../recover.ts";
import type { FrozenDisk } from "./frozen-disk.ts";

/** An engine that only reads: what it holds is in the frozen files, and nothing is ever appended. */
export function readingEngine(): Engine {
  return new Engine(new MemoryDisk(), {
    clock: steadyClock(),
    durability: "none",
    tasksMax: Number.MAX_SAFE_INTEGER,
    memoryBytesMax: Number.MAX_SAFE_INTEGER,
    cacheBytesMax: 0,
    segmentBytes: Number.MAX_SAFE_INTEGER,
    reserveBytes: 0,
    bootId: bootId(),
    fenceBlock: 1,
    onBroken: () => {},
    onUnreadable: () => {},
  });
}

export interface Loaded {
  readonly engine: Engine;
  /** No fence at or above it has been used. */
  readonly fenceEnd: number;
  /** What a start would cut, in a sentence: the end of a write that did not end. */
  readonly cut: string | undefined;
}

/**
 * Does what a start on the folder would do, and changes nothing.
 * @throws {CorruptJournalError} when a start would refuse the folder.
 */
export function loadFrozen(disk: FrozenDisk, onProgress: (done: number, total: number) => void): Loaded {
  const engine = readingEngine();
  const loader = new Loader(engine);
  let cut: string | undefined;
  const { segments } = recover(disk, (segment, content, at) => loader.replay(segment, content, at), {
    bootId: engine.options.bootId,
    flush: false,
    onProgress,
    onCut: (sentence) => {
      cut = sentence;
    },
    onReplayed: () => loader.finish(),
  });
  engine.journal.segments.push(...segments);
  return { engine, fenceEnd: loader.fenceEnd, cut };
}
