import { newTaskId, type QueueName } from "../../task/ids.ts";
import type { DeliveryLedger } from "../delivery.ts";
import { payloadPool } from "../payload.ts";
import type { OpenRung, RungTask } from "./rung.ts";

/** Tasks a call. */
const FILL = 500;
/** Calls under way at a time. */
const CALLS_MAX = 4;
const PRIORITY = 5;
const PAYLOADS = payloadPool();

/** Brings a queue to its depth, between the stretches that are measured. */
export class Filler {
  #filled = 0;
  readonly #rung: OpenRung;
  readonly #queue: QueueName;
  readonly #ledger: DeliveryLedger;

  constructor(rung: OpenRung, queue: QueueName, ledger: DeliveryLedger) {
    this.#rung = rung;
    this.#queue = queue;
    this.#ledger = ledger;
  }

  /** Adds what is missing to `unfinished` tasks, of which `completed` have ended since the beginning. */
  async fillTo(unfinished: number, completed: number): Promise<void> {
    const lane = async () => {
      for (;;) {
        const missing = unfinished - (this.#filled - completed);
        if (missing <= 0) return;
        await this.#rung.fill(this.#tasks(Math.min(FILL, missing)));
      }
    };
    await Promise.all(Array.from({ length: CALLS_MAX }, lane));
  }

  #tasks(count: number): RungTask[] {
    const tasks = Array.from({ length: count }, (_, n): RungTask => {
      const payload = PAYLOADS[(this.#filled + n) % PAYLOADS.length] as string;
      return { id: newTaskId(this.#queue), payload, priority: PRIORITY };
    });
    this.#filled += count;
    for (const { id } of tasks) this.#ledger.enqueued(id);
    return tasks;
  }
}
