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
  #last: Group<T> | undefined;
  /** Only when there are several queues: what is asked together is mostly of one. */
  #newest: Map<QueueName, Group<T>> | undefined;

  add(queue: QueueName, item: T, place: number, bytes: number): void {
    const group = this.#last?.queue === queue ? this.#last : this.#find(queue);
    if (group === undefined || isFull(group, bytes)) this.#last = this.#open(queue, item, place, bytes);
    else {
      group.items.push(item);
      group.places.push(place);
      group.bytes += bytes;
      this.#last = group;
    }
  }

  /** In the order of their first things. */
  all(): readonly Group<T>[] {
    return this.#all;
  }

  #find(queue: QueueName): Group<T> | undefined {
    if (this.#last === undefined) return undefined;
    this.#newest ??= new Map(this.#all.map((group) => [group.queue, group]));
    return this.#newest.get(queue);
  }

  #open(queue: QueueName, item: T, place: number, bytes: number): Group<T> {
    const group: Group<T> = { queue, items: [item], places: [place], bytes };
    this.#all.push(group);
    this.#newest?.set(queue, group);
    return group;
  }
}

function isFull(group: Group<unknown>, bytes: number): boolean {
  return group.items.length >= LIMITS.batchMax || group.bytes + bytes > LIMITS.bodyBytesMax;
}
