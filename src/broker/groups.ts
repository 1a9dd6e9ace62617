import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";

/** Things of one queue that fit one storage call, each with its place among the things asked. */
export interface Group<T> {
  readonly queue: QueueName;
  readonly items: T[];
  readonly places: number[];
  bytes: number;
}

/**
 * Puts things into groups of one queue, in order, none over `LIMITS.batchMax` things and
 * `LIMITS.bodyBytesMax` bytes.
 */
export class Groups<T> {
  readonly #all: Group<T>[] = [];
  readonly #open = new Map<QueueName, Group<T>>();
  #last: Group<T> | undefined;

  add(queue: QueueName, item: T, place: number, bytes: number): void {
    const group = this.#last?.queue === queue ? this.#last : this.#open.get(queue);
    this.#last = group === undefined || isFull(group, bytes) ? this.#opened(queue) : group;
    this.#last.items.push(item);
    this.#last.places.push(place);
    this.#last.bytes += bytes;
  }

  /** In the order of their first things. */
  all(): readonly Group<T>[] {
    return this.#all;
  }

  #opened(queue: QueueName): Group<T> {
    const group: Group<T> = { queue, items: [], places: [], bytes: 0 };
    this.#open.set(queue, group);
    this.#all.push(group);
    return group;
  }
}

function isFull(group: Group<unknown>, bytes: number): boolean {
  return group.items.length >= LIMITS.batchMax || group.bytes + bytes > LIMITS.bodyBytesMax;
}
