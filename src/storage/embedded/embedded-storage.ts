import { type Clock, steadyClock } from "../../clock.ts";
import { DibsError, InvalidRequestError, StorageUnavailableError } from "../../task/errors.ts";
import type { QueueName, TaskId } from "../../task/ids.ts";
import type { QueueSnapshot } from "../../task/queue.ts";
import type { NewTask, Task, TaskState } from "../../task/task.ts";
import { type MovableStorage, type MoveMark, refuseMidMove } from "../move-mark.ts";
import type {
  ClaimAsk,
  ClaimReply,
  DueQueue,
  EnqueueOutcome,
  ForceReleaseOutcome,
  Heartbeat,
  HeartbeatOutcome,
  ListPage,
  ListRequest,
  MoveOutcome,
  PromoteReply,
  PruneReply,
  QueueChange,
  ReapReply,
  RequeueDeadReply,
  Settlement,
  SettleReply,
  StorageEvent,
  Trouble,
} from "../storage.ts";
import type { ExportPage, ExportRequest, ImportBatch, ImportReply } from "../stored-task.ts";
import { planClaim } from "./claim.ts";
import { Compactor } from "./compactor.ts";
import type { Disk } from "./disk.ts";
import { promoteDue, reapExpired } from "./due.ts";
import { Engine } from "./engine.ts";
import { enqueue } from "./enqueue.ts";
import { exportTasks } from "./export.ts";
import { importTasks } from "./import.ts";
import type { Durability } from "./journal.ts";
import { list } from "./list.ts";
import { Loader } from "./loader.ts";
import { FolderLock } from "./lock.ts";
import { bootId } from "./lock-record.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { readMoveMark, writeMoveMark } from "./move-mark.ts";
import { cancel, forceRelease, requeue, requeueDead } from "./moves.ts";
import { NodeDisk } from "./node-disk.ts";
import { prune, purge } from "./prune.ts";
import type { QueueState } from "./queue-state.ts";
import { writeBoot } from "./records.ts";
import { CorruptJournalError, recover } from "./recover.ts";
import { heartbeat, settle } from "./settle.ts";
import { Step } from "./step.ts";

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
  /** Bound on the heap for payloads of recent tasks, bytes; default 32 MiB. Older ones are read back. */
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

const CLOSED = "The storage is closed";

const DEFAULTS = Object.freeze({
  tasksMax: 10_000_000,
  cacheBytesMax: 32 * 1024 * 1024,
  segmentBytes: 32 * 1024 * 1024,
  reserveBytes: 8 * 1024 * 1024,
  fenceBlock: 1 << 20,
});

/**
 * The default engine: order in memory, one append-only journal on disk, nothing to install. One process a
 * folder; that process may serve many others over HTTP.
 */
export class EmbeddedStorage implements MovableStorage {
  readonly callsInFlight = 1;
  readonly #engine: Engine;
  readonly #compactor: Compactor;
  readonly #lock: FolderLock | undefined;
  readonly #folder: string | undefined;
  #trouble: Error | undefined;
  #closing: Promise<void> | undefined;

  get clock(): Clock {
    return this.#engine.clock;
  }

  private constructor(
    engine: Engine,
    compactor: Compactor,
    lock: FolderLock | undefined,
    folder: string | undefined,
  ) {
    this.#engine = engine;
    this.#compactor = compactor;
    this.#lock = lock;
    this.#folder = folder;
  }

  /**
   * Opens a folder (or memory): takes the folder's lock, recovers the journal, makes room for fences.
   * Takes about a second for a million tasks.
   * @throws {StorageUnavailableError} when another process holds the folder.
   * @throws {CorruptJournalError} when the journal is damaged where it must not be.
   */
  static async open(options: EmbeddedOptions = {}): Promise<EmbeddedStorage> {
    let opened: EmbeddedStorage | undefined;
    const onTrouble = (error: Error): void => {
      if (opened !== undefined) opened.#trouble = error;
      options.onTrouble?.(error);
    };
    const lock = await takeLock(options, (error) => {
      if (opened !== undefined) opened.#stop(error);
      onTrouble(error);
    }).catch((error: unknown) => {
      throw inFolder(error, options.folder);
    });
    try {
      await refuseUnlessWhole(options);
      opened = EmbeddedStorage.#load(options, lock, onTrouble);
      return opened;
    } catch (error) {
      await lock?.release();
      throw inFolder(error, options.folder);
    }
  }

  static #load(
    options: EmbeddedOptions,
    lock: FolderLock | undefined,
    onTrouble: (error: Error) => void,
  ): EmbeddedStorage {
    const folder = folderOf(options);
    const disk = options.disk ?? (folder === undefined ? new MemoryDisk() : new NodeDisk(folder));
    const durability =
      options.disk === undefined && folder === undefined ? "none" : (options.durability ?? "process");
    const engine = new Engine(disk, {
      clock: options.clock ?? steadyClock(),
      durability,
      tasksMax: options.tasksMax ?? DEFAULTS.tasksMax,
      cacheBytesMax: options.cacheBytesMax ?? DEFAULTS.cacheBytesMax,
      segmentBytes: options.segmentBytes ?? DEFAULTS.segmentBytes,
      reserveBytes: options.reserveBytes ?? DEFAULTS.reserveBytes,
      bootId: options.bootId ?? bootId(),
      fenceBlock: options.fenceBlock ?? DEFAULTS.fenceBlock,
      onBroken: onTrouble,
    });
    const loader = new Loader(engine);
    const recovered = recover(disk, (segment, content, at) => loader.replay(segment, content, at), {
      bootId: engine.options.bootId,
      flush: durability !== "none",
      onProgress: options.onProgress ?? (() => {}),
      onCut: options.onCut ?? (() => {}),
    });
    loader.finish();
    engine.oldestSegment = recovered.segments[0]?.number ?? 1;
    engine.journal.open(recovered.segments, recovered.sequence);
    writeBoot(engine.journal.begin(), engine.options.bootId);
    engine.journal.commit(true);
    engine.fences.open(loader.fenceEnd);
    const compactor = new Compactor(engine, (error) => {
      // On a full disk compaction waits as enqueues do; the journal says so itself.
      if (!engine.journal.full) onTrouble(error as Error);
    });
    return new EmbeddedStorage(engine, compactor, lock, folder);
  }

  /** Tells those who find the folder held where it is served. */
  async setUrl(url: string): Promise<void> {
    await this.#lock?.setUrl(url);
  }

  enqueue(queue: QueueName, tasks: readonly NewTask[]): Promise<EnqueueOutcome[]> {
    return this.#do(() => {
      // The rest of a full disk belongs to what makes room again.
      if (this.#engine.journal.full) throw diskFull();
      return enqueue(this.#engine, this.#queue(queue), tasks);
    });
  }

  claim(queue: QueueName, asks: readonly ClaimAsk[]): Promise<ClaimReply> {
    return this.#do(() => {
      const state = this.#queue(queue);
      const step = new Step(this.#engine, state);
      const reply = planClaim(this.#engine, state, asks, step);
      step.commit(true);
      return reply;
    });
  }

  settle(
    queue: QueueName,
    settlements: readonly Settlement[],
    asks: readonly ClaimAsk[] = [],
  ): Promise<SettleReply> {
    return this.#do(() => settle(this.#engine, this.#queue(queue), settlements, asks));
  }

  heartbeat(queue: QueueName, beats: readonly Heartbeat[]): Promise<HeartbeatOutcome[]> {
    return this.#do(() => heartbeat(this.#engine, this.#queue(queue), beats));
  }

  promoteDue(queue: QueueName, limit: number): Promise<PromoteReply> {
    return this.#do(() => promoteDue(this.#engine, this.#queue(queue), limit));
  }

  reapExpired(queue: QueueName, limit: number): Promise<ReapReply> {
    return this.#do(() => reapExpired(this.#engine, this.#queue(queue), limit));
  }

  prune(queue: QueueName, limit: number): Promise<PruneReply> {
    return this.#do(() => prune(this.#engine, this.#queue(queue), limit));
  }

  purge(queue: QueueName, state: Exclude<TaskState, "leased">, limit: number): Promise<PruneReply> {
    return this.#do(() => purge(this.#engine, this.#queue(queue), state, limit));
  }

  cancel(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    return this.#do(() => cancel(this.#engine, this.#queue(queue), ids));
  }

  requeue(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    return this.#do(() => requeue(this.#engine, this.#queue(queue), ids));
  }

  requeueDead(queue: QueueName, limit: number): Promise<RequeueDeadReply> {
    return this.#do(() => requeueDead(this.#engine, this.#queue(queue), limit));
  }

  forceRelease(queue: QueueName, ids: readonly TaskId[]): Promise<ForceReleaseOutcome[]> {
    return this.#do(() => forceRelease(this.#engine, this.#queue(queue), ids));
  }

  get(queue: QueueName, ids: readonly TaskId[]): Promise<(Task | undefined)[]> {
    return this.#do(() => {
      const state = this.#queue(queue);
      return ids.map((id) => {
        const slot = this.#engine.find(state, id);
        return slot === -1 ? undefined : this.#engine.view(slot);
      });
    });
  }

  list(queue: QueueName, request: ListRequest): Promise<ListPage> {
    return this.#do(() => list(this.#engine, this.#queue(queue), request));
  }

  snapshot(queue: QueueName): Promise<QueueSnapshot | undefined> {
    return this.#do(() => this.#engine.findQueue(queue)?.snapshot());
  }

  queues(): Promise<QueueName[]> {
    return this.#do(() => this.#engine.queues.map((queue) => queue.name).sort());
  }

  configure(queue: QueueName, change: QueueChange): Promise<QueueSnapshot> {
    return this.#do(() => {
      const state = this.#queue(queue);
      const step = new Step(this.#engine, state);
      step.configure(change);
      step.commit(true);
      return state.snapshot();
    });
  }

  exportTasks(queue: QueueName, request: ExportRequest): Promise<ExportPage> {
    return this.#do(() => exportTasks(this.#engine, this.#queue(queue), request));
  }

  importTasks(queue: QueueName, batch: ImportBatch): Promise<ImportReply> {
    return this.#do(() => {
      if (this.#engine.journal.full) throw diskFull();
      return importTasks(this.#engine, this.#queue(queue), batch);
    });
  }

  nextDueAt(limit: number): Promise<DueQueue[]> {
    return this.#do(() => {
      const due: DueQueue[] = [];
      for (const queue of this.#engine.queues) {
        const at = queue.dueAt();
        if (at !== undefined) due.push({ queue: queue.name, at });
      }
      return due.sort((a, b) => a.at - b.at).slice(0, limit);
    });
  }

  subscribe(listener: (event: StorageEvent) => void): () => void {
    this.#engine.listeners.add(listener);
    return () => this.#engine.listeners.delete(listener);
  }

  /** One process has the folder: whatever moves is heard here anyway. */
  setWaiting(): void {}

  async awaitEnd(): Promise<void> {}

  async readMoveMark(): Promise<MoveMark | undefined> {
    return this.#folder === undefined ? undefined : readMoveMark(this.#folder);
  }

  async writeMoveMark(mark: MoveMark | undefined): Promise<void> {
    if (this.#folder === undefined) throw new InvalidRequestError("A store in memory cannot be moved");
    await writeMoveMark(this.#folder, mark);
  }

  /** Nobody else: the lock sees to that. */
  async otherUsers(): Promise<number> {
    return 0;
  }

  trouble(): Trouble | undefined {
    if (this.#closing !== undefined) return { reason: CLOSED, isFinal: true };
    const { journal } = this.#engine;
    if (journal.broken !== undefined) return { reason: journal.stopped().message, isFinal: true };
    if (this.#trouble !== undefined) return { reason: this.#trouble.message, isFinal: false };
    return journal.full ? { reason: diskFull().message, isFinal: false } : undefined;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#compactor.close();
      await this.#engine.journal.close();
    } finally {
      await this.#lock?.release();
    }
  }

  /** Another process has the folder: not one more byte is written. */
  #stop(error: Error): void {
    this.#engine.journal.stop(error);
  }

  #queue(name: QueueName): QueueState {
    return this.#engine.findQueue(name) ?? this.#engine.newQueue(name);
  }

  /** Runs a verb, and answers when all that it saw and did is as durable as the mode promises. */
  #do<T>(verb: () => T): Promise<T> {
    try {
      if (this.#closing !== undefined) throw new StorageUnavailableError(CLOSED);
      const { journal } = this.#engine;
      if (journal.broken !== undefined) throw journal.stopped();
      const value = verb();
      this.#compactor.afterWrite();
      const durable = journal.durable();
      return durable === undefined ? Promise.resolve(value) : durable.then(() => value);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

/** `none` is memory alone, so that it can be put in the place of a folder's mode without changing the rest. */
function folderOf(options: EmbeddedOptions): string | undefined {
  return options.durability === "none" ? undefined : options.folder;
}

async function refuseUnlessWhole(options: EmbeddedOptions): Promise<void> {
  const folder = folderOf(options);
  if (folder !== undefined && options.midMove !== true) refuseMidMove(await readMoveMark(folder), folder);
}

/** What failed at the opening, with the folder: the system says "not a directory", and not of what. */
function inFolder(error: unknown, folder: string | undefined): unknown {
  if (folder === undefined) return error;
  if (error instanceof CorruptJournalError) return error.inFolder(folder);
  if (error instanceof DibsError) return error;
  return new StorageUnavailableError(`Cannot open the folder ${folder}: ${(error as Error).message}`, {
    details: { folder },
    cause: error,
  });
}

function diskFull(): StorageUnavailableError {
  return new StorageUnavailableError("The disk is full: new tasks are refused until there is room again");
}

async function takeLock(
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
