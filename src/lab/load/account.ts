import type { Connection } from "../../sdk/connection.ts";
import { type DeliveryAudit, DeliveryLedger } from "../delivery.ts";
import type { GeneratorEnd } from "./generator-process.ts";

/** The account of all processes over all queues of a run: what was enqueued, claimed, completed, and left in doubt. */
export class LoadAccount {
  readonly ledger = new DeliveryLedger();
  readonly failures = new Set<string>();
  readonly #queues: string[] = [];
  readonly #doubtfulCompletions: string[] = [];
  #doubtfulEnqueues = 0;

  addQueue(queue: string): void {
    this.#queues.push(queue);
  }

  add(ends: readonly GeneratorEnd[]): void {
    for (const { ledger, doubtfulEnqueues, doubtfulCompletions, failures } of ends) {
      this.ledger.append(ledger);
      this.#doubtfulEnqueues += doubtfulEnqueues;
      this.#doubtfulCompletions.push(...doubtfulCompletions);
      for (const failure of failures) this.failures.add(failure);
    }
  }

  /** Judges all of it by the engine's own count of what is left. */
  async audit(connection: Connection): Promise<DeliveryAudit> {
    // A completion whose answer never came may have been carried out: the task itself knows.
    for (const id of this.#doubtfulCompletions.splice(0)) {
      const task = await connection.task(id).catch(() => undefined);
      if (task?.state === "completed") this.ledger.completed(id);
    }
    let pending = 0;
    for (const queue of this.#queues) {
      const { counts } = await connection.queue(queue);
      pending += counts.ready + counts.leased + counts.scheduled;
    }
    return this.ledger.audit(pending);
  }

  /** What a reader of the audit must know. */
  remarks({ exact }: DeliveryAudit): string[] {
    if (exact || this.#doubtfulEnqueues === 0) return [];
    const count = this.#doubtfulEnqueues.toLocaleString("en-US");
    return [
      `${count} enqueues were never answered: whether their tasks exist is not known, so the audit cannot be exact.`,
    ];
  }
}
