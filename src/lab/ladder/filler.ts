import { setImmediate as nextTurn } from "node:timers/promises";
import { newTaskId, type QueueName } from "../../task/ids.ts";
import type { DeliveryLedger } from "../delivery.ts";
import { payloadPool } from "../payload.ts";
import type { OpenRung, RungTask } from "./rung.ts";

/** Tasks a call, always: what a filled task costs the server is known from the same calls. */
export const FILL = 500;
/** Calls under way at a time, so that filling keeps up with the quickest rung. */
const CALLS_MAX = 4;
const PRIORITY = 5;
const PAYLOADS = payloadPool();

/** Keeps the depth of a queue: adds tasks as they are completed. */
export class Filler {
  filled = 0;
  readonly #rung: OpenRung;
  readonly #queue: QueueName;
  readonly #ledger: DeliveryLedger;
  readonly #underWay = new Set<Promise<void>>();
  #error: unknown;

  constructor(rung: OpenRung, queue: QueueName, ledger: DeliveryLedger) {
    this.#rung = rung;
    this.#queue = queue;
    this.#ledger = ledger;
  }

  /** Adds so many tasks, in whole calls. */
  async fill(count: number): Promise<void> {
    const target = this.filled + count;
    while (this.filled < target) {
      while (this.filled < target && this.#underWay.size < CALLS_MAX) this.#add();
      await Promise.race(this.#underWay);
      await nextTurn();
    }
    await this.settled();
  }

  /** Starts what is needed for `unfinished` tasks to be there when `completed` have gone. Does not wait. */
  keep(unfinished: number, completed: number): void {
    while (this.filled - completed < unfinished && this.#underWay.size < CALLS_MAX) this.#add();
  }

  /** Resolves when nothing is under way. @throws what a call failed with. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
    if (this.#error !== undefined) throw this.#error;
  }

  #add(): void {
    const tasks = Array.from({ length: FILL }, (_, n): RungTask => {
      const payload = PAYLOADS[(this.filled + n) % PAYLOADS.length] as string;
      return { id: newTaskId(this.#queue), payload, priority: PRIORITY };
    });
    this.filled += FILL;
    for (const { id } of tasks) this.#ledger.enqueued(id);
    const call = this.#rung.fill(tasks).catch((error: unknown) => {
      this.#error ??= error;
    });
    this.#underWay.add(call);
    void call.finally(() => this.#underWay.delete(call));
  }
}
