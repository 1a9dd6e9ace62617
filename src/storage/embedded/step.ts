import { patchedConfig, type QueueConfig } from "../../task/queue.ts";
import { isFinished } from "../../task/task.ts";
import type { QueueChange } from "../storage.ts";
import type { Engine } from "./engine.ts";
import type { FrameWriter } from "./frame.ts";
import { rememberKeyOnly } from "./idempotency.ts";
import type { QueueState } from "./queue-state.ts";
import {
  type Details,
  type IdWords,
  idIn,
  type KeyRecord,
  type TaskConstants,
  writeKey,
  writeQueue,
  writeRemoved,
  writeState,
  writeTask,
} from "./records.ts";
import type { TaskStatus } from "./task-table.ts";

interface Addition {
  readonly id: IdWords;
  readonly constants: TaskConstants;
  readonly status: TaskStatus;
  /** Of a task that comes with a past: it gets a state record at once. */
  readonly details: Details | undefined;
  offset: number;
  length: number;
  payloadBytes: number;
  stateOffset: number;
  stateLength: number;
}

/** A task's move to a new state, as planned. */
export interface Transition {
  readonly slot: number;
  readonly status: TaskStatus;
  readonly details: Details | undefined;
  readonly toHead: boolean;
  offset: number;
  length: number;
}

/**
 * One atomic step of a queue: what a verb decided, written to the journal as one frame and only then applied
 * to memory. A failed write leaves memory as it was, so memory never runs ahead of the journal (I7).
 *
 * A step is used once. A verb asks it for the status of a task, so that a task that comes twice in a call is seen
 * as the first mention leaves it.
 */
export class Step {
  readonly #engine: Engine;
  readonly #queue: QueueState;
  readonly #additions: Addition[] = [];
  readonly #transitions: Transition[] = [];
  readonly #removals: number[] = [];
  /** The last planned move of each slot; made when a second task is looked at. */
  #planned: Map<number, Transition> | undefined;
  #change: QueueChange | undefined;
  #pruned: number | undefined;
  readonly #keys: { readonly id: IdWords; readonly record: KeyRecord }[] = [];
  /** What becomes ready in it by a move: a claim in the same step must see it. */
  readonly readied: Transition[] = [];
  #readies = false;

  constructor(engine: Engine, queue: QueueState) {
    this.#engine = engine;
    this.#queue = queue;
  }

  get isEmpty(): boolean {
    return (
      this.#additions.length === 0 &&
      this.#transitions.length === 0 &&
      this.#removals.length === 0 &&
      this.#keys.length === 0 &&
      this.#change === undefined &&
      this.#pruned === undefined
    );
  }

  /** A copy of a task's status as the step leaves it so far: one task may come twice in a call. */
  statusOf(slot: number): TaskStatus {
    if (this.#transitions.length > 0) {
      this.#planned ??= new Map(this.#transitions.map((transition) => [transition.slot, transition]));
      const planned = this.#planned.get(slot);
      if (planned !== undefined) return { ...planned.status };
    }
    return this.#engine.table.status(slot);
  }

  /** A new task in its first state. */
  add(id: IdWords, constants: TaskConstants, status: TaskStatus, details?: Details): void {
    this.#additions.push({
      id,
      constants,
      status,
      details,
      offset: 0,
      length: 0,
      payloadBytes: 0,
      stateOffset: 0,
      stateLength: 0,
    });
    if (status.state === "ready") this.#readies = true;
  }

  /** A key whose task is gone, or comes later. */
  remember(id: IdWords, record: KeyRecord): void {
    this.#keys.push({ id, record });
  }

  /** The queue's total of removed tasks. */
  setPruned(pruned: number): void {
    this.#pruned = pruned;
  }

  /** A task's new state. Its details are those that the flags name. */
  move(slot: number, status: TaskStatus, details: Details | undefined): void {
    const transition = this.#plan(slot, status, details, false);
    if (status.state === "ready") this.readied.push(transition);
  }

  /** A task that becomes ready before all others of its priority; several keep the order given (I6). */
  moveToHead(slot: number, status: TaskStatus, details: Details | undefined): void {
    this.readied.push(this.#plan(slot, status, details, true));
  }

  remove(slot: number): void {
    this.#removals.push(slot);
  }

  configure(change: QueueChange): void {
    this.#change = change;
  }

  /** Writes and applies the step; with `urgent` also on a full disk. */
  commit(urgent: boolean): void {
    if (this.isEmpty) return;
    this.#placeAtHead();
    this.#write(urgent);
    this.#emit();
  }

  #plan(slot: number, status: TaskStatus, details: Details | undefined, toHead: boolean): Transition {
    const transition = { slot, status, details, toHead, offset: 0, length: 0 };
    this.#transitions.push(transition);
    this.#planned?.set(slot, transition);
    return transition;
  }

  #placeAtHead(): void {
    const released = this.readied.filter((transition) => transition.toHead);
    if (released.length === 0) return;
    const { priority } = this.#engine.table;
    for (const level of new Set(released.map(({ slot }) => priority.get(slot)))) {
      const those = released.filter(({ slot }) => priority.get(slot) === level);
      const place = this.#queue.placesAtHead(level, those.length);
      for (const [index, { status }] of those.entries()) status.order = place + index;
    }
  }

  #write(urgent: boolean): void {
    const { journal } = this.#engine;
    const to = journal.begin();
    this.#writeQueue(to);
    for (const { id, record } of this.#keys) writeKey(to, this.#queue.number, id, record);
    for (const addition of this.#additions) this.#writeAddition(to, addition);
    for (const transition of this.#transitions) {
      transition.offset = to.at;
      const id = this.#engine.idWords(transition.slot);
      writeState(to, this.#queue.number, id, transition.status, transition.details);
      transition.length = to.at - transition.offset;
    }
    for (const slot of this.#removals) this.#writeRemoval(to, slot);
    this.#apply(journal.commit(urgent));
  }

  #writeQueue(to: FrameWriter): void {
    const queue = this.#queue;
    if (this.#engine.knows(queue) && this.#change === undefined && this.#pruned === undefined) return;
    const { number, name } = queue;
    writeQueue(to, { number, name, ...this.#totals(), paused: this.#paused(), config: this.#config() });
  }

  #writeAddition(to: FrameWriter, addition: Addition): void {
    const { id, constants, status } = addition;
    addition.offset = to.at;
    const first = { runAt: status.runAt, order: status.order, scheduled: status.state === "scheduled" };
    addition.payloadBytes = writeTask(to, this.#queue.number, id, constants, first, false);
    addition.length = to.at - addition.offset;
    if (addition.details === undefined) return;
    addition.stateOffset = to.at;
    writeState(to, this.#queue.number, id, status, addition.details);
    addition.stateLength = to.at - addition.stateOffset;
  }

  #writeRemoval(to: FrameWriter, slot: number): void {
    const id = this.#engine.idWords(slot);
    writeRemoved(to, this.#queue.number, id);
    const key = this.#queue.keyOfSlot.get(slot);
    if (key !== undefined) writeKey(to, this.#queue.number, id, key);
  }

  /** Before the step's own additions and removals, which count themselves. */
  #totals(): { readonly enqueued: number; readonly pruned: number } {
    const { enqueued, pruned } = this.#queue;
    const wanted = this.#pruned ?? pruned;
    return { enqueued: enqueued + wanted - pruned, pruned: wanted };
  }

  #config(): QueueConfig {
    const patch = this.#change?.config;
    return patch === undefined ? this.#queue.config : patchedConfig(this.#queue.config, patch);
  }

  #paused(): boolean {
    return this.#change?.paused ?? this.#queue.paused;
  }

  #apply(base: { readonly segment: number; readonly offset: number }): void {
    const engine = this.#engine;
    const queue = this.#queue;
    if (!engine.knows(queue)) engine.addQueue(queue);
    queue.config = this.#config();
    queue.paused = this.#paused();
    if (this.#pruned !== undefined) Object.assign(queue, this.#totals());
    for (const { id, record } of this.#keys) rememberKeyOnly(queue, record, idIn(queue.name, id));
    for (const addition of this.#additions) this.#applyAddition(addition, base);
    for (const { slot, status, offset, length } of this.#transitions) {
      queue.leave(slot);
      engine.table.setStatus(slot, status);
      queue.enter(slot);
      engine.placeState(slot, base.segment, base.offset + offset, length);
      if (isFinished(status.state)) engine.recent.remove(slot);
    }
    for (const slot of this.#removals) {
      queue.leave(slot);
      queue.pruned += 1;
      engine.removeTask(queue, slot);
    }
  }

  #applyAddition(addition: Addition, base: { readonly segment: number; readonly offset: number }): void {
    const engine = this.#engine;
    const queue = this.#queue;
    const { id, constants, status, details, offset, length, payloadBytes } = addition;
    const slot = engine.addTask(queue, id, constants, payloadBytes);
    engine.table.setStatus(slot, status);
    engine.placeTask(slot, base.segment, base.offset + offset, length);
    if (details !== undefined) {
      engine.placeState(slot, base.segment, base.offset + addition.stateOffset, addition.stateLength);
    }
    queue.enter(slot);
    queue.enqueued += 1;
    if (status.state === "ready") engine.recent.add(slot, constants);
  }

  #emit(): void {
    if (this.#engine.listeners.size === 0) return;
    if (this.#readies || this.readied.length > 0 || this.#change?.paused === false)
      this.#engine.emitReady(this.#queue.name);
    for (const { slot, status } of this.#transitions) {
      if (isFinished(status.state)) this.#engine.emitFinished(slot, status.state);
    }
  }
}
