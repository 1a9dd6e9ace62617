import type { Clock } from "../../clock.ts";
import { DibsError, StorageUnavailableError } from "../../task/errors.ts";
import type { TaskId } from "../../task/ids.ts";
import { refuseMidMove } from "../move-mark.ts";
import { remedyOf } from "./care/remedy.ts";
import { CorruptJournalError } from "./corrupt-journal.ts";
import { type Disk, ReadError } from "./disk.ts";
import type { Durability } from "./journal.ts";
import { FolderLock } from "./lock.ts";
import { readMoveMark } from "./move-mark.ts";

export interface EmbeddedOptions {
  /** Where the journal lies; made when it is not there. Absent, or with durability `none`: all in memory. */
  readonly folder?: string;
  /** What an acknowledged step survives; default `process`, without a folder always `none`. */
  readonly durability?: Durability;
  /** Time; default the steady system clock. */
  readonly clock?: Clock;
  /**
   * Bound on tasks, finished ones included; default 10 million (about 1.3 GB of memory). Above it, enqueues
   * answer that the queue is full, before the process runs out of memory.
   */
  readonly tasksMax?: number;
  /**
   * Bound on what tasks, remembered idempotency keys and queues take of memory, bytes, as the engine counts it;
   * default half of what the heap of this process may grow to. Too large for the heap, and the process dies of it;
   * too small, and enqueues answer early that the queue is full. What makes room goes on either way.
   */
  readonly memoryBytesMax?: number;
  /**
   * Bound on the heap for payloads of recent tasks, bytes; default 32 MiB, and no more than an eighth of the bound
   * above. Older ones are read back.
   */
  readonly cacheBytesMax?: number;
  /** Size of a journal segment, bytes; default 32 MiB. Smaller gives disk space back in smaller pieces. */
  readonly segmentBytes?: number;
  /** Room kept for a full disk, bytes; default 8 MiB; 0 keeps none. */
  readonly reserveBytes?: number;
  /** Told to whoever finds the folder held. */
  readonly url?: string;
  /** How long to wait for another process to let the folder go, milliseconds; default 2,000. */
  readonly lockWaitMs?: number;
  /** Told, in a sentence, what the opening waits for. */
  readonly onWait?: (reason: string) => void;
  /** Told while a long journal is read: bytes done, and of all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Told, in a sentence, what recovery cut after an unclean end: nothing that was acknowledged and kept. */
  readonly onCut?: (cut: string) => void;
  /** Told of what went wrong in the background. Default: nothing; {@link EmbeddedStorage.trouble} says it too. */
  readonly onTrouble?: (error: Error) => void;
  /** In the place of the folder's files, and without a lock; for tests. */
  readonly disk?: Disk;
  /** Open also a store in the middle of a move, half filled or half emptied; for the one who moves it. */
  readonly midMove?: boolean;
  /** Which boot of which machine this is; default the system's. */
  readonly bootId?: string;
  /** Fences given out for each flush, 2 or more; default about a million. */
  readonly fenceBlock?: number;
}

/** `none` is memory alone, so that it can be put in the place of a folder's mode without changing the rest. */
export function folderOf(options: EmbeddedOptions): string | undefined {
  return options.durability === "none" ? undefined : options.folder;
}

export async function refuseUnlessWhole(options: EmbeddedOptions): Promise<void> {
  const folder = folderOf(options);
  if (folder !== undefined && options.midMove !== true) refuseMidMove(await readMoveMark(folder), folder);
}

/** Of a served folder: a task that claims pass over, and what an operator does. */
export function passedOver(id: TaskId, error: Error, folder: string | undefined): StorageUnavailableError {
  const remedy = folder === undefined ? "" : `\n${remedyOf(folder)}`;
  return new StorageUnavailableError(
    `Task ${id} is passed over by claims until it can be read: ${error.message}. All else goes on. Stop the server when it suits you, as its next start refuses a folder that it cannot read.${remedy}`,
    { cause: error },
  );
}

/** What failed at the opening, with the folder: the system says "not a directory", and not of what. */
export function inFolder(error: unknown, folder: string | undefined): unknown {
  if (folder === undefined) return error;
  if (error instanceof CorruptJournalError) return error.inFolder(folder);
  if (error instanceof DibsError) return error;
  if (error instanceof ReadError) {
    const { file, offset } = error;
    return new StorageUnavailableError(
      `Cannot open the folder ${folder}: ${error.message}\n${remedyOf(folder)}`,
      { details: { folder, file, offset }, cause: error },
    );
  }
  return new StorageUnavailableError(`Cannot open the folder ${folder}: ${(error as Error).message}`, {
    details: { folder },
    cause: error,
  });
}

export async function takeLock(
  options: EmbeddedOptions,
  onLost: (error: Error) => void,
): Promise<FolderLock | undefined> {
  const { url, lockWaitMs, onWait } = options;
  const folder = folderOf(options);
  if (folder === undefined || options.disk !== undefined) return undefined;
  return FolderLock.acquire(folder, {
    onLost,
    ...(url === undefined ? undefined : { url }),
    ...(lockWaitMs === undefined ? undefined : { waitMs: lockWaitMs }),
    ...(onWait === undefined ? undefined : { onWait }),
  });
}
