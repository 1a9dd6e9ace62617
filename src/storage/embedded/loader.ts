import { parseQueueName, type QueueName, type TaskId } from "../../task/ids.ts";
import { CorruptJournalError } from "./corrupt-journal.ts";
import type { Engine } from "./engine.ts";
import { orderKeys, rememberKeyOnly } from "./idempotency.ts";
import type { QueueState } from "./queue-state.ts";
import { type IdWords, idIn, RECORD, read } from "./records.ts";
import { segmentName } from "./segment.ts";

/** A state record whose task record has not come yet: compaction wrote the task again further on. */
export interface Orphan {
  readonly segment: number;
  readonly at: number;
}

/**
 * Builds memory from the records of the journal: first only the table, where the last record of a task wins,
 * then, once, the order of every queue.
 */
export class Loader {
  readonly #engine: Engine;
  readonly #orphans = new Map<string, Orphan>();
  /** No fence at or above it has been used. */
  fenceEnd = 1;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  replay(segment: number, content: Buffer, at: number): void {
    switch (read.kind(content, at)) {
      case RECORD.task:
        this.#task(segment, content, at);
        break;
      case RECORD.state:
        this.#state(segment, content, at);
        break;
      case RECORD.removed:
        this.#removed(content, at);
        break;
      case RECORD.key:
        this.#key(content, at);
        break;
      case RECORD.queue:
        this.#queue(content, at);
        break;
      case RECORD.fences:
        this.fenceEnd = Math.max(this.fenceEnd, read.number(content, at));
        break;
      default:
        throw new CorruptJournalError(
          segmentName(segment),
          at,
          `record kind ${read.kind(content, at)} is unknown`,
        );
    }
  }

  /** Places of the last states of tasks whose record never came. */
  get orphans(): Iterable<Orphan> {
    return this.#orphans.values();
  }

  /** Builds the order of the queues, after the last record. */
  finish(): void {
    for (const { segment, at } of this.#orphans.values()) {
      throw new CorruptJournalError(segmentName(segment), at, "the state of a task whose record is missing");
    }
    const { table } = this.#engine;
    for (let slot = 0; slot < table.rows; slot += 1) {
      if (table.state.get(slot) === 0) continue;
      const queue = this.#engine.queueOfSlot(slot);
      queue.continueNumbering(slot);
      queue.enter(slot);
    }
    for (const queue of this.#engine.queues) orderKeys(queue);
  }

  #task(segment: number, content: Buffer, at: number): void {
    const engine = this.#engine;
    const id = read.id(content, at);
    let slot = engine.table.findWords(id.a, id.b, id.c);
    if (slot === -1) {
      const queue = this.#queueAt(content, at);
      const keyed = read.hasKey(content, at) ? read.task(content, at, idAt(queue, content, at)) : undefined;
      slot = engine.addTask(
        queue,
        id,
        {
          priority: read.priority(content, at),
          maxAttempts: read.maxAttempts(content, at),
          createdAt: read.createdAt(content, at),
          ...(keyed?.idempotencyKey === undefined
            ? undefined
            : { idempotencyKey: keyed.idempotencyKey, payloadHash: keyed.payloadHash as string }),
        },
        read.payloadBytes(content, at),
      );
      engine.table.setStatus(slot, read.firstStatus(content, at));
      if (!read.isMoved(content, at)) queue.enqueued += 1;
      if (this.#orphans.size > 0) this.#orphans.delete(keyOf(id));
    }
    engine.placeTask(slot, segment, at, read.length(content, at));
  }

  #state(segment: number, content: Buffer, at: number): void {
    const engine = this.#engine;
    const id = read.id(content, at);
    const slot = engine.table.findWords(id.a, id.b, id.c);
    if (slot === -1) {
      this.#orphans.set(keyOf(id), { segment, at });
      return;
    }
    const status = read.status(content, at);
    if (status === undefined) throw new CorruptJournalError(segmentName(segment), at, "unknown state");
    engine.table.setStatus(slot, status);
    engine.placeState(slot, segment, at, read.length(content, at));
  }

  #removed(content: Buffer, at: number): void {
    const engine = this.#engine;
    const id = read.id(content, at);
    const queue = this.#queueAt(content, at);
    queue.pruned += 1;
    this.#orphans.delete(keyOf(id));
    const slot = engine.table.findWords(id.a, id.b, id.c);
    if (slot !== -1) engine.removeTask(queue, slot);
  }

  #key(content: Buffer, at: number): void {
    const queue = this.#queueAt(content, at);
    rememberKeyOnly(queue, read.key(content, at), idAt(queue, content, at));
  }

  #queue(content: Buffer, at: number): void {
    const record = read.queueRecord(content, at);
    let queue = this.#engine.queues[record.number];
    if (queue === undefined) {
      queue = this.#engine.newQueue(parseQueueName(record.name) as QueueName);
      this.#engine.addQueue(queue);
    }
    queue.config = record.config;
    queue.paused = record.paused;
    queue.enqueued = record.enqueued;
    queue.pruned = record.pruned;
  }

  #queueAt(content: Buffer, at: number): QueueState {
    return this.#engine.queues[read.queue(content, at)] as QueueState;
  }
}

function keyOf(id: IdWords): string {
  return `${id.a}.${id.b}.${id.c}`;
}

/** The 96 bits stand in the record as three little-endian words; the id's text reads them from the highest bit. */
function idAt(queue: QueueState, content: Buffer, at: number): TaskId {
  return idIn(queue.name, read.id(content, at));
}
