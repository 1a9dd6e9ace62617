import type { Clock } from "../../clock.ts";
import type { QueueName, TaskId } from "../../task/ids.ts";
import type { FinishedState, Task } from "../../task/task.ts";
import type { StorageEvent } from "../storage.ts";
import type { Disk } from "./disk.ts";
import { FenceBlocks } from "./fence-blocks.ts";
import type { FrameWriter } from "./frame.ts";
import { type Keyed, keepKeyOnly, rememberKey } from "./idempotency.ts";
import { Journal, type JournalOptions } from "./journal.ts";
import { Memory } from "./memory.ts";
import { QueueState } from "./queue-state.ts";
import { type ReadRecord, UnreadableRecordError } from "./read-record.ts";
import { RecentTasks } from "./recent-tasks.ts";
import {
  type Details,
  type IdWords,
  RECORD,
  read,
  type TaskConstants,
  writeBoot,
  writeNumber,
  writeQueue,
} from "./records.ts";
import { deadReason, FLAG, TaskTable } from "./task-table.ts";
import { leaseOf, lostHistory, taskCore } from "./task-view.ts";
import { type OnUnreadable, UnreadableTasks } from "./unreadable-tasks.ts";

export interface EngineOptions extends Omit<JournalOptions, "writeHead"> {
  readonly clock: Clock;
  /** Bound on tasks in memory, finished ones included. */
  readonly tasksMax: number;
  /** Bound on what tasks, keys and queues take, bytes. */
  readonly memoryBytesMax: number;
  /** Bound on the bytes of immutable records kept on the heap. */
  readonly cacheBytesMax: number;
  readonly bootId: string;
  /** Fences given out for each flush. */
  readonly fenceBlock: number;
  readonly onUnreadable: OnUnreadable;
}

const NO_DETAILS: Details = Object.freeze({});
/**
 * The parts of the embedded engine in one place: the table of tasks, the queues, the journal, and the way
 * back from a slot to what a user sees. The verbs, one file each, work on it.
 */
export class Engine {
  readonly clock: Clock;
  readonly table = new TaskTable();
  readonly queues: QueueState[] = [];
  readonly memory = new Memory(this.table, this.queues);
  readonly journal: Journal;
  readonly fences: FenceBlocks;
  readonly options: EngineOptions;
  readonly listeners = new Set<(event: StorageEvent) => void>();
  /** Bytes of the live records of each segment; what is not live is garbage for compaction. */
  readonly liveBytes: number[] = [];
  liveBytesTotal = 0;
  /** Number of the oldest segment that is still needed. */
  oldestSegment = 1;
  readonly #queueByName = new Map<QueueName, QueueState>();
  readonly recent: RecentTasks;
  readonly unreadable = new UnreadableTasks();

  constructor(disk: Disk, options: EngineOptions) {
    this.options = options;
    this.clock = options.clock;
    this.recent = new RecentTasks(options.cacheBytesMax);
    this.journal = new Journal(disk, { ...options, writeHead: (to) => this.#writeHead(to) });
    this.fences = new FenceBlocks(this.journal, options.fenceBlock);
  }

  findQueue(name: QueueName): QueueState | undefined {
    return this.#queueByName.get(name);
  }

  /** The queue of a slot. */
  queueOfSlot(slot: number): QueueState {
    return this.queues[this.table.queue.get(slot)] as QueueState;
  }

  /** A queue that is not known yet; {@link addQueue} makes it known once it is in the journal. */
  newQueue(name: QueueName): QueueState {
    return new QueueState(this.queues.length, name, this.table, this.memory);
  }

  addQueue(queue: QueueState): void {
    this.queues[queue.number] = queue;
    this.#queueByName.set(queue.name, queue);
  }

  knows(queue: QueueState): boolean {
    return this.queues[queue.number] === queue;
  }

  /** Takes a slot for a new task; its status and place come after. */
  addTask(
    queue: QueueState,
    id: IdWords,
    constants: { readonly priority: number; readonly maxAttempts: number } & Keyed,
    payloadBytes: number,
  ): number {
    const { table } = this;
    const slot = table.add(id.a, id.b, id.c);
    table.queue.set(slot, queue.number);
    table.priority.set(slot, constants.priority);
    table.maxAttempts.set(slot, constants.maxAttempts);
    table.payloadBytes.set(slot, payloadBytes);
    table.taskSegment.set(slot, 0);
    table.stateSegment.set(slot, 0);
    if (constants.idempotencyKey !== undefined) rememberKey(queue, slot, constants);
    return slot;
  }

  /** Gives a slot back; its idempotency key, when it has one, stays. */
  removeTask(queue: QueueState, slot: number): void {
    this.recent.remove(slot);
    this.unreadable.forget(slot);
    if (queue.keyOfSlot.has(slot)) keepKeyOnly(queue, slot, this.idOf(slot));
    this.placeTask(slot, 0, 0, 0);
    this.placeState(slot, 0, 0, 0);
    this.table.remove(slot);
  }

  placeTask(slot: number, segment: number, offset: number, length: number): void {
    const { taskSegment, taskOffset, taskLength } = this.table;
    this.#countLive(taskSegment.get(slot), -taskLength.get(slot));
    this.#countLive(segment, length);
    taskSegment.set(slot, segment);
    taskOffset.set(slot, offset);
    taskLength.set(slot, length);
  }

  placeState(slot: number, segment: number, offset: number, length: number): void {
    const { stateSegment, stateOffset, stateLength } = this.table;
    this.#countLive(stateSegment.get(slot), -stateLength.get(slot));
    this.#countLive(segment, length);
    stateSegment.set(slot, segment);
    stateOffset.set(slot, offset);
    stateLength.set(slot, length);
  }

  /** The slot of a task of this queue, or -1. */
  find(queue: QueueState, id: TaskId): number {
    const slot = this.table.find(id);
    return slot !== -1 && this.table.queue.get(slot) === queue.number && id.startsWith(queue.name)
      ? slot
      : -1;
  }

  idWords(slot: number): IdWords {
    const { idA, idB, idC } = this.table;
    return { a: idA.get(slot), b: idB.get(slot), c: idC.get(slot) };
  }

  idOf(slot: number): TaskId {
    return `${this.queueOfSlot(slot).name}~${this.table.idText(slot)}` as TaskId;
  }

  /** What never changes about a task: from the cache, else from the journal. */
  constants(slot: number): TaskConstants {
    const known = this.recent.get(slot);
    if (known !== undefined) return known;
    const { taskSegment, taskOffset, taskLength } = this.table;
    const { from, at } = this.#record(
      slot,
      RECORD.task,
      taskSegment.get(slot),
      taskOffset.get(slot),
      taskLength.get(slot),
    );
    return read.task(from, at, this.idOf(slot));
  }

  /** What the last state record holds beyond the columns. */
  details(slot: number): Details {
    const flags = this.table.flags.get(slot);
    if ((flags & (FLAG.worker | FLAG.history | FLAG.result)) === 0) return NO_DETAILS;
    const { stateSegment, stateOffset, stateLength } = this.table;
    const { from, at } = this.#record(
      slot,
      RECORD.state,
      stateSegment.get(slot),
      stateOffset.get(slot),
      stateLength.get(slot),
    );
    return read.details(from, at);
  }

  /**
   * As {@link details}, for a move that must not wait: a worker is done, a lease has ended, a time has come. When the
   * disk does not give them back the move happens without, and the task says so: a completion, or a lease that nobody
   * takes back, is worth more than the texts of earlier failures.
   */
  history(slot: number): Details {
    try {
      return this.details(slot);
    } catch (error) {
      if (!(error instanceof UnreadableRecordError)) throw error;
      return lostHistory(this.table.status(slot), error);
    }
  }

  /** @throws {UnreadableRecordError} also for something else in its place. */
  #record(slot: number, kind: number, segment: number, offset: number, length: number): ReadRecord {
    const record = this.journal.read(segment, offset, length);
    const { from, at } = record;
    if (read.kind(from, at) === kind && read.idA(from, at) === this.table.idA.get(slot)) return record;
    throw new UnreadableRecordError(
      segment,
      offset,
      new Error(`no record of task ${this.idOf(slot)} is there`),
    );
  }

  /** A task as a reader sees it. */
  view(slot: number): Task {
    const status = this.table.status(slot);
    const details = this.details(slot);
    const core = taskCore(this.queueOfSlot(slot).name, this.constants(slot), status, details);
    switch (status.state) {
      case "scheduled":
      case "ready":
        return { ...core, state: status.state };
      case "leased":
        return { ...core, state: "leased", lease: leaseOf(status, details) };
      case "completed":
        return {
          ...core,
          state: "completed",
          finishedAt: status.time,
          ...(details.result === undefined ? undefined : { result: details.result }),
        };
      case "dead":
        return { ...core, state: "dead", finishedAt: status.time, deadReason: deadReason(status.flags) };
      case "cancelled":
        return { ...core, state: "cancelled", finishedAt: status.time };
    }
  }

  emitReady(queue: QueueName): void {
    for (const listener of this.listeners) listener({ kind: "ready", queue });
  }

  emitFinished(slot: number, state: FinishedState): void {
    if (this.listeners.size === 0) return;
    const id = this.idOf(slot);
    for (const listener of this.listeners) listener({ kind: "finished", id, state });
  }

  /** Segment 0 stands for nowhere. */
  #countLive(segment: number, bytes: number): void {
    if (segment === 0) return;
    this.liveBytes[segment] = (this.liveBytes[segment] ?? 0) + bytes;
    this.liveBytesTotal += bytes;
  }

  #writeHead(to: FrameWriter): void {
    writeBoot(to, this.options.bootId);
    writeNumber(to, RECORD.oldest, this.oldestSegment);
    writeNumber(to, RECORD.fences, this.fences.end);
    for (const { number, name, paused, config, enqueued, pruned } of this.queues) {
      writeQueue(to, { number, name, paused, config, enqueued, pruned });
    }
  }
}
