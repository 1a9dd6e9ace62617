import { TASK_STATES, type TaskState } from "../../../task/task.ts";
import { CorruptJournalError } from "../corrupt-journal.ts";
import type { Engine } from "../engine.ts";
import { FrozenDisk } from "./frozen-disk.ts";
import { brokenInvariants } from "./invariants.ts";
import { type Loaded, loadFrozen } from "./load.ts";
import { type Place, type Scan, scanFrames } from "./scan.ts";

export interface CareProgress {
  readonly step: "reading" | "checking" | "writing" | "copying";
  readonly done: number;
  readonly of: number;
}

export interface CareOptions {
  readonly onProgress?: (progress: CareProgress) => void;
  readonly signal?: AbortSignal;
}

/** A queue as its journal tells it. */
export interface QueueTally {
  readonly queue: string;
  readonly counts: Readonly<Record<TaskState, number>>;
  readonly keys: number;
}

export interface VerifyReport {
  readonly folder: string;
  /** A start would open it, and everything in it is as it should be. */
  readonly isSound: boolean;
  readonly segments: number;
  readonly bytes: number;
  readonly frames: number;
  readonly records: number;
  /** Where the journal is damaged. */
  readonly damage: readonly Place[];
  /** What is not as it should be although every checksum is right. */
  readonly broken: readonly string[];
  /** The end of a write that had not ended, which a start cuts: of a kill, a power cut or a server at work. */
  readonly unfinished: Place | undefined;
  /** Of a store that a start would open. */
  readonly queues: readonly QueueTally[] | undefined;
}

/**
 * Reads every checksum and every invariant of a folder, and changes nothing; what the disk cannot read is damage. A server may be at work in it: then
 * it is the folder of one moment that is looked at.
 *
 * @throws {InvalidRequestError} when the folder is no store.
 * @throws {DibsError} `storage_unavailable` for a newer format.
 */
export async function verifyStore(folder: string, options: CareOptions = {}): Promise<VerifyReport> {
  const disk = FrozenDisk.open(folder);
  try {
    return await verify(disk, options);
  } finally {
    disk.close();
  }
}

async function verify(disk: FrozenDisk, { onProgress, signal }: CareOptions): Promise<VerifyReport> {
  const of = disk.bytes;
  const progress = (done: number) => onProgress?.({ step: "reading", done, of });
  const scan = await scanFrames(disk, { progress }, signal);
  const opened = open(disk, scan);
  const { segments, bytes, frames, records } = scan;
  const totals = { folder: disk.folder, segments, bytes, frames, records };
  if ("damage" in opened)
    return {
      ...totals,
      isSound: false,
      damage: opened.damage,
      broken: [],
      unfinished: undefined,
      queues: undefined,
    };
  const broken = await brokenInvariants(opened, {
    onProgress: (done, tasks) => onProgress?.({ step: "checking", done, of: tasks }),
    signal,
  });
  return {
    ...totals,
    isSound: broken.length === 0,
    damage: [],
    broken,
    unfinished: scan.gaps[0]?.places[0],
    queues: talliesOf(opened.engine),
  };
}

/** What a start would have, or all that keeps it from starting. */
function open(disk: FrozenDisk, { gaps }: Scan): Loaded | { readonly damage: readonly Place[] } {
  const places = gaps.flatMap((gap) => gap.places);
  try {
    return loadFrozen(disk, () => {});
  } catch (error) {
    if (!(error instanceof CorruptJournalError)) throw error;
    const { file, offset, why } = error;
    const isKnown = places.some((place) => place.file === file && isIn(place, offset));
    return { damage: isKnown ? places : [{ file, offset, bytes: 0, why }, ...places] };
  }
}

function isIn({ offset, bytes }: Place, at: number): boolean {
  return at === offset || (at > offset && at < offset + bytes);
}

export function talliesOf(engine: Engine): QueueTally[] {
  return engine.queues.map((queue) => ({
    queue: queue.name,
    counts: Object.fromEntries(TASK_STATES.map((state) => [state, queue.count(state)])) as Record<
      TaskState,
      number
    >,
    keys: queue.keys.size,
  }));
}
