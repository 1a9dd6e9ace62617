import type { TaskId } from "../../task/ids.ts";
import type { EpochMs } from "../../task/task.ts";
import type { QueueState } from "./queue-state.ts";
import type { UnreadableRecordError } from "./read-record.ts";
import { STATE_CODE, type TaskTable } from "./task-table.ts";

/** How long claims pass a task over before they try to read it again: some errors of a disk pass. */
const PASSED_OVER_MS = 10_000;
/** With more of them it is no longer a sector, it is the disk: then a claim says so. */
const PASSED_OVER_MAX = 100;

interface PassedOver {
  readonly until: EpochMs;
  readonly error: UnreadableRecordError;
}

/** Told of a task that is passed over, the first time that it is. */
export type OnUnreadable = (id: TaskId, error: UnreadableRecordError) => void;

/**
 * Ready tasks whose record the disk does not give back: claims pass them over, and the tasks behind them are handed out.
 *
 * Of the ways out that there are, this one loses nothing and stops the least. An engine that stopped would make an outage
 * of all queues of one bad sector, and for good, as a start on it refuses. A claim that failed would be a queue that
 * stands still behind one task, and fail all callers whose claims were merged into it. A dead letter could not be shown
 * either, and where the error passes (a volume of the network that was away for a moment) thousands would be dead for
 * nothing. So the task stays where it is, ready, in its place in the order; the operator is told file, offset and what
 * to do; and it is handed out as soon as it can be read.
 */
export class UnreadableTasks {
  readonly #bySlot = new Map<number, PassedOver>();

  /** Slots of ready tasks of a queue that claims pass over now. */
  of(queue: QueueState, table: TaskTable, now: EpochMs): ReadonlySet<number> {
    const slots = new Set<number>();
    for (const [slot, { until }] of this.#bySlot) {
      if (until <= now || table.queue.get(slot) !== queue.number) continue;
      if (table.state.get(slot) === STATE_CODE.ready) slots.add(slot);
    }
    return slots;
  }

  get isEmpty(): boolean {
    return this.#bySlot.size === 0;
  }

  /** True when there are so many that the disk is to blame. */
  get isFull(): boolean {
    return this.#bySlot.size >= PASSED_OVER_MAX;
  }

  /** Passes a task over for a while; true when it was not passed over before. */
  add(slot: number, error: UnreadableRecordError, now: EpochMs): boolean {
    const isNew = !this.#bySlot.has(slot);
    this.#bySlot.set(slot, { until: now + PASSED_OVER_MS, error });
    return isNew;
  }

  /** It could be read, or it is gone. */
  forget(slot: number): void {
    this.#bySlot.delete(slot);
  }

  /** The error of the last one. */
  get error(): UnreadableRecordError | undefined {
    return [...this.#bySlot.values()].at(-1)?.error;
  }
}
