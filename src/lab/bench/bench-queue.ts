import { setImmediate as nextTurn } from "node:timers/promises";
import type { ClaimedTaskMessage, EnqueueItemAnswer } from "../../protocol/messages.ts";
import type { Connection, EnqueueItem } from "../../sdk/connection.ts";
import type { QueueName } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import { type DeliveryAudit, DeliveryLedger } from "../delivery.ts";
import { payloadOf } from "../payload.ts";
import { HeldTasks } from "./held-tasks.ts";
import { BenchFailed } from "./tally.ts";

/** Longer than any stretch: nothing that is claimed comes back while it is measured. */
export const LEASE_MS = 600_000;
/** Payloads are made beforehand and used in turn; of large ones fewer. */
const PAYLOADS_MAX = 4_096;
const PAYLOADS_BYTES_MAX = 16 * 1024 * 1024;

/** The queue of one run, and the account of what went into it and came out. */
export class BenchQueue {
  readonly name: QueueName;
  readonly ledger = new DeliveryLedger();
  readonly #connection: Connection;
  /** Tasks of one call that fills: no more than a request may hold. */
  readonly #batch: number;
  readonly #items: readonly EnqueueItem[];
  #next = 0;
  /** Enqueued and not yet claimed, by this account. */
  #waiting = 0;

  constructor(connection: Connection, name: QueueName, payloadBytes: number) {
    const count = Math.max(16, Math.min(PAYLOADS_MAX, Math.floor(PAYLOADS_BYTES_MAX / payloadBytes)));
    this.name = name;
    this.#batch = Math.max(1, Math.min(LIMITS.batchMax, Math.floor(LIMITS.bodyBytesMax / payloadBytes)));
    this.#connection = connection;
    this.#items = Array.from({ length: count }, (_, n) => ({
      queue: name,
      payloadJson: payloadOf(n, payloadBytes),
    }));
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** The next task to be enqueued. */
  nextItem(): EnqueueItem {
    this.#next += 1;
    return this.#items[this.#next % this.#items.length] as EnqueueItem;
  }

  nextItems(count: number): EnqueueItem[] {
    return Array.from({ length: count }, () => this.nextItem());
  }

  enqueued(id: string): void {
    this.ledger.enqueued(id);
    this.#waiting += 1;
  }

  /** Takes down the answers of a batch; how many were accepted. */
  allEnqueued(answers: readonly EnqueueItemAnswer[]): number {
    let accepted = 0;
    for (const answer of answers) {
      if (!("task" in answer)) continue;
      this.enqueued(answer.task.id);
      accepted += 1;
    }
    return accepted;
  }

  claimed(tasks: readonly ClaimedTaskMessage[]): void {
    for (const { id } of tasks) this.ledger.claimed(id);
    this.#waiting -= tasks.length;
  }

  /** Enqueues until `depth` tasks wait. */
  async fillTo(depth: number, signal: AbortSignal): Promise<void> {
    while (this.#waiting < depth && !signal.aborted) {
      const count = Math.min(this.#batch, depth - this.#waiting);
      const answers = await this.#connection.enqueueMany(this.nextItems(count));
      if (this.allEnqueued(answers) < answers.length)
        throw new BenchFailed(`Filling the queue: ${refusalIn(answers)}`);
      await nextTurn();
    }
  }

  /** Claims until `depth` tasks wait; what it took. */
  async takeDownTo(depth: number, signal: AbortSignal): Promise<HeldTasks> {
    const held = new HeldTasks();
    while (this.#waiting > depth && !signal.aborted) {
      const max = Math.min(LIMITS.claimMax, this.#waiting - depth);
      const tasks = await this.#connection.claim({ queues: [this.name], max, leaseMs: LEASE_MS });
      if (tasks.length === 0)
        throw new BenchFailed(`${this.#waiting} tasks were enqueued, and a claim found none`);
      this.claimed(tasks);
      held.push(tasks);
      await nextTurn();
    }
    return held;
  }

  /** Completes tasks, many a call. */
  async complete(held: HeldTasks): Promise<void> {
    while (held.left > 0) {
      const { results } = await this.#connection.settle(held.next(LIMITS.batchMax));
      const failed = this.allCompleted(results);
      if (failed !== undefined) throw new BenchFailed(`Completing tasks: ${failed}`);
      await nextTurn();
    }
  }

  /** Takes down the answers of a settle; the message of the first that failed. */
  allCompleted(results: Awaited<ReturnType<Connection["settle"]>>["results"]): string | undefined {
    let failed: string | undefined;
    for (const result of results) {
      if ("error" in result) failed ??= result.error.message;
      else this.ledger.completed(result.id);
    }
    return failed;
  }

  /** Compares the account with the engine's own count. */
  async audit(): Promise<DeliveryAudit> {
    const { counts } = await this.#connection.queue(this.name);
    return this.ledger.audit(counts.scheduled + counts.ready + counts.leased);
  }
}

function refusalIn(answers: readonly EnqueueItemAnswer[]): string {
  for (const answer of answers) if ("error" in answer) return answer.error.message;
  return "not all tasks were answered";
}
