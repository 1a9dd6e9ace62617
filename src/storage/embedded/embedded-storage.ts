import type { Clock } from "../../clock.ts";
import { InvalidRequestError, StorageUnavailableError } from "../../task/errors.ts";
import type { QueueName, TaskId } from "../../task/ids.ts";
import type { QueueSnapshot } from "../../task/queue.ts";
import type { NewTask, Task, TaskState } from "../../task/task.ts";
import type { MovableStorage, MoveMark } from "../move-mark.ts";
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
import { claim } from "./claim.ts";
import { Compactor } from "./compactor.ts";
import { nextDue, promoteDue, reapExpired } from "./due.ts";
import type { Engine } from "./engine.ts";
import { enqueue } from "./enqueue.ts";
import { exportTasks } from "./export.ts";
import { importTasks } from "./import.ts";
import { get, list } from "./list.ts";
import { loadEngine } from "./loaded-engine.ts";
import type { FolderLock } from "./lock.ts";
import type { MemoryUse } from "./memory.ts";
import { readMoveMark, writeMoveMark } from "./move-mark.ts";
import { cancel, configure, forceRelease, requeue, requeueDead } from "./moves.ts";
import { type EmbeddedOptions, folderOf, inFolder, refuseUnlessWhole, takeLock } from "./opening.ts";
import { prune, purge } from "./prune.ts";
import type { QueueState } from "./queue-state.ts";
import { heartbeat, settle } from "./settle.ts";

export type { EmbeddedOptions } from "./opening.ts";

const CLOSED = "The storage is closed";

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
    const onTrouble = (error: Error | undefined): void => {
      if (opened !== undefined) opened.#trouble = error;
      if (error !== undefined) options.onTrouble?.(error);
    };
    const lock = await takeLock(options, (error) => {
      // Another process has the folder: not one more byte is written.
      if (opened !== undefined) opened.#engine.journal.stop(error);
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
    onTrouble: (error: Error | undefined) => void,
  ): EmbeddedStorage {
    const engine = loadEngine(options, onTrouble);
    const compactor = new Compactor(engine, (error) => {
      // On a full disk compaction waits as enqueues do; the journal says so itself.
      if (error === undefined) onTrouble(undefined);
      else if (!engine.journal.full) onTrouble(error as Error);
    });
    return new EmbeddedStorage(engine, compactor, lock, folderOf(options));
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
    return this.#do(() => claim(this.#engine, this.#queue(queue), asks));
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
    return this.#do(() => get(this.#engine, this.#queue(queue), ids));
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
    return this.#do(() => configure(this.#engine, this.#queue(queue), change));
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
    return this.#do(() => nextDue(this.#engine, limit));
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

  /** What the tasks, keys and queues take, and the bound at which enqueues are refused. */
  get memory(): MemoryUse & { readonly bytesMax: number } {
    return { ...this.#engine.memory.use, bytesMax: this.#engine.options.memoryBytesMax };
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
    const { journal } = this.#engine;
    const before = journal.broken;
    try {
      await this.#compactor.close();
      await journal.close();
      // A flush that failed meanwhile: what was written last may not be on disk.
      if (journal.broken !== before) throw journal.stopped();
    } finally {
      await this.#lock?.release();
    }
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
      const held = journal.durable() ?? this.#compactor.overdue;
      return held === undefined ? Promise.resolve(value) : held.then(() => value);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

function diskFull(): StorageUnavailableError {
  return new StorageUnavailableError("The disk is full: new tasks are refused until there is room again");
}
