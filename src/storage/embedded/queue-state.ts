import type { QueueName, TaskId } from "../../task/ids.ts";
import { DEFAULT_QUEUE_CONFIG, type QueueConfig, type QueueSnapshot } from "../../task/queue.ts";
import type { EpochMs, FinishedState, TaskState } from "../../task/task.ts";
import { KeyWalk } from "./key-walk.ts";
import type { Memory } from "./memory.ts";
import type { KeyRecord } from "./records.ts";
import { SortedSlots } from "./sorted-slots.ts";
import { STATE_CODE, type TaskTable } from "./task-table.ts";

export const PRIORITIES = 10;
/**
 * The order of leased tasks that came from another store begins here; it is 0 of those claimed here. Their fences
 * may be the same, so they cannot tell leases of one millisecond apart.
 */
const MOVED_LEASES = -(2 ** 52);

/** An idempotency key that is remembered: its task's slot, or its id when only the key is left. */
export interface RememberedKey extends KeyRecord {
  slot: number;
  id: TaskId | undefined;
}

/**
 * A queue in memory: the order of its tasks, its counters, its keys. It knows where each of its tasks is and
 * moves them between places; it decides nothing.
 */
export class QueueState {
  readonly number: number;
  readonly name: QueueName;
  paused = false;
  config: QueueConfig = DEFAULT_QUEUE_CONFIG;
  /** Tasks ever accepted, and ever removed (I1). */
  enqueued = 0;
  pruned = 0;
  readonly scheduled = new SortedSlots(true);
  readonly leased = new SortedSlots(true);
  readonly finished: Readonly<Record<FinishedState, SortedSlots>> = {
    completed: new SortedSlots(false),
    dead: new SortedSlots(false),
    cancelled: new SortedSlots(false),
  };
  /** Bytes of payload and result of all finished tasks. */
  finishedBytes = 0;
  readonly keys = new Map<string, RememberedKey>();
  readonly keyWalk = new KeyWalk(this.keys);
  readonly keyOfSlot = new Map<number, RememberedKey>();
  /** Where the keys of all queues are counted. */
  readonly memory: Memory;
  readonly #ready = Array.from({ length: PRIORITIES }, () => new SortedSlots(false));
  /** Next place at the tail, and last place taken at the head, of each priority. */
  readonly #tail = new Float64Array(PRIORITIES);
  readonly #head = new Float64Array(PRIORITIES);
  #tie = 0;
  #finish = 0;
  readonly #counts = new Float64Array(7);
  readonly #table: TaskTable;

  constructor(number: number, name: QueueName, table: TaskTable, memory: Memory) {
    this.number = number;
    this.name = name;
    this.memory = memory;
    this.#table = table;
  }

  count(state: TaskState): number {
    return this.#counts[STATE_CODE[state]] as number;
  }

  /** Scheduled, ready and leased tasks. */
  get depth(): number {
    return this.count("scheduled") + this.count("ready") + this.count("leased");
  }

  priorityOf(slot: number): number {
    return this.#table.priority.get(slot);
  }

  ready(priority: number): SortedSlots {
    return this.#ready[priority] as SortedSlots;
  }

  /** A place behind all ready tasks of a priority (I6). */
  placeAtTail(priority: number): number {
    const place = this.#tail[priority] as number;
    this.#tail[priority] = place + 1;
    return place;
  }

  /** The first of `count` places before all ready tasks of a priority: for releases only (I6). */
  placesAtHead(priority: number, count: number): number {
    const place = (this.#head[priority] as number) - count;
    this.#head[priority] = place;
    return place;
  }

  nextTie(): number {
    this.#tie += 1;
    return this.#tie;
  }

  /** The order of a leased task that comes from another store. */
  nextMovedLease(): number {
    return MOVED_LEASES + this.nextTie();
  }

  nextFinish(): number {
    this.#finish += 1;
    return this.#finish;
  }

  /** Puts a slot where its state says. */
  enter(slot: number): void {
    const table = this.#table;
    const state = table.stateOf(slot);
    const order = table.order.get(slot);
    this.#counts[STATE_CODE[state]] = this.count(state) + 1;
    switch (state) {
      case "ready":
        this.ready(table.priority.get(slot)).add(order, 0, slot);
        break;
      case "scheduled":
        this.scheduled.add(table.runAt.get(slot), order, slot);
        break;
      case "leased":
        this.leased.add(table.time.get(slot), this.leaseTie(slot), slot);
        break;
      default:
        this.finished[state].add(order, 0, slot);
        this.finishedBytes += table.payloadBytes.get(slot) + table.resultBytes.get(slot);
    }
  }

  /** Takes a slot from where it is. */
  leave(slot: number): void {
    const table = this.#table;
    const state = table.stateOf(slot);
    const order = table.order.get(slot);
    this.#counts[STATE_CODE[state]] = this.count(state) - 1;
    switch (state) {
      case "ready":
        this.ready(table.priority.get(slot)).remove(order, 0);
        break;
      case "scheduled":
        this.scheduled.remove(table.runAt.get(slot), order);
        break;
      case "leased":
        this.leased.remove(table.time.get(slot), this.leaseTie(slot));
        break;
      default:
        this.finished[state].remove(order, 0);
        this.finishedBytes -= table.payloadBytes.get(slot) + table.resultBytes.get(slot);
    }
  }

  /** Tells leases that end in one millisecond apart. */
  leaseTie(slot: number): number {
    return this.#table.order.get(slot) || this.#table.fence.get(slot);
  }

  /** After recovery: continues the numbering behind what is there. */
  continueNumbering(slot: number): void {
    const table = this.#table;
    const order = table.order.get(slot);
    const state = table.stateOf(slot);
    if (state === "scheduled") this.#tie = Math.max(this.#tie, order);
    else if (state === "ready") {
      const priority = table.priority.get(slot);
      this.#tail[priority] = Math.max(this.#tail[priority] as number, order + 1);
      this.#head[priority] = Math.min(this.#head[priority] as number, order);
    } else if (state === "leased") {
      if (order < 0) this.#tie = Math.max(this.#tie, order - MOVED_LEASES);
    } else this.#finish = Math.max(this.#finish, order);
  }

  /** Appends the slots of up to `count` ready tasks in claim order to `into`. */
  headOfReady(count: number, into: number[]): void {
    for (let priority = PRIORITIES - 1; priority >= 0 && into.length < count; priority -= 1) {
      const ready = this.ready(priority);
      if (ready.size > 0) ready.head(count - into.length, into);
    }
  }

  /** The soonest time at which a scheduled task or a lease comes due. */
  dueAt(): EpochMs | undefined {
    const scheduled = this.scheduled.firstKey();
    const leased = this.leased.firstKey();
    return scheduled === undefined || leased === undefined
      ? (scheduled ?? leased)
      : Math.min(scheduled, leased);
  }

  #oldestReadyAt(): EpochMs | undefined {
    let oldest: number | undefined;
    for (let priority = 0; priority < PRIORITIES; priority += 1) {
      const slot = this.ready(priority).firstSlot();
      if (slot !== undefined) oldest = Math.min(oldest ?? Infinity, this.#table.runAt.get(slot));
    }
    return oldest;
  }

  snapshot(): QueueSnapshot {
    const oldestReadyAt = this.#oldestReadyAt();
    return {
      queue: this.name,
      paused: this.paused,
      config: this.config,
      counts: {
        scheduled: this.count("scheduled"),
        ready: this.count("ready"),
        leased: this.count("leased"),
        completed: this.count("completed"),
        dead: this.count("dead"),
        cancelled: this.count("cancelled"),
      },
      enqueued: this.enqueued,
      pruned: this.pruned,
      ...(oldestReadyAt === undefined ? undefined : { oldestReadyAt }),
    };
  }
}
