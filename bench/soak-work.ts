import type { SettleRequest } from "../src/broker/requests.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { payloadOf } from "../src/lab/payload.ts";
import { type LeaseToken, newTaskId, type QueueName, queueOf, type TaskId } from "../src/task/ids.ts";
import type { NewTask, TaskState } from "../src/task/task.ts";
import type { SoakBatch } from "./soak-process.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const LEASE_MS = HOUR_MS;
const ATTEMPTS_MAX = 100;
const CLAIM_MAX = 200;
const PAYLOAD_BYTES = [120, 2_000] as const;

interface Held {
  readonly id: TaskId;
  readonly token: LeaseToken;
}

/** The producers and workers of a soak, who live on when the store is killed, and their accounts. */
export class SoakWork {
  readonly ledgers: ReadonlyMap<QueueName, DeliveryLedger>;
  readonly #queues: readonly QueueName[];
  readonly #random: () => number;
  readonly #delayMsMax: number;
  #held: readonly Held[] = [];
  #n = 0;

  constructor(queues: readonly QueueName[], delayMsMax: number, random: () => number) {
    this.#queues = queues;
    this.#delayMsMax = delayMsMax;
    this.#random = random;
    this.ledgers = new Map(queues.map((queue) => [queue, new DeliveryLedger()]));
  }

  /** The next piece of work: so many new tasks, what becomes of the claimed ones, and a claim. */
  next(queue: QueueName, newTasks: number): SoakBatch {
    const tasks = Array.from({ length: newTasks }, () => this.#task(queue));
    // Noted before it is sent: it is sent until it is answered.
    for (const { id } of tasks) this.#ledgerOf(id).enqueued(id);
    const settlements = this.#held.flatMap((held) => this.#settlement(held));
    this.#held = [];
    return { queue, tasks, settlements, claimFrom: this.#queues, claimMax: CLAIM_MAX, leaseMs: LEASE_MS };
  }

  /** Notes what a piece of work was answered. */
  note(
    { settlements }: SoakBatch,
    answer: { readonly ends: readonly (TaskState | undefined)[]; readonly claimed: readonly Held[] },
  ): void {
    for (const [place, end] of answer.ends.entries()) {
      const { id } = settlements[place] as SettleRequest;
      if (end === undefined) throw new Error(`Task ${id} has gone before its end was answered`);
      if (end === "completed" || end === "dead") this.#ledgerOf(id).completed(id);
      else this.#ledgerOf(id).returned(id);
    }
    for (const { id } of answer.claimed) this.#ledgerOf(id).claimed(id);
    this.#held = answer.claimed;
  }

  #ledgerOf(id: TaskId): DeliveryLedger {
    const ledger = this.ledgers.get(queueOf(id));
    if (ledger === undefined) throw new Error(`Task ${id} is of a queue that nobody uses`);
    return ledger;
  }

  #task(queue: QueueName): NewTask {
    this.#n += 1;
    const [least, most] = PAYLOAD_BYTES;
    const payload = payloadOf(this.#n, Math.floor(least + this.#random() ** 3 * (most - least)));
    const task = { id: newTaskId(queue), payload, priority: this.#below(10), maxAttempts: ATTEMPTS_MAX };
    return this.#random() < 0.2 ? { ...task, delayMs: this.#delayMs() } : task;
  }

  /** Of any length from a minute to the longest, short ones as often as ten times longer ones. */
  #delayMs(): number {
    return Math.floor(MINUTE_MS * (this.#delayMsMax / MINUTE_MS) ** this.#random());
  }

  /** Most are completed; the others fail, are refused, given back, or forgotten until their lease ends. */
  #settlement({ id, token }: Held): SettleRequest[] {
    const draw = this.#random();
    if (draw < 0.9) return [{ outcome: "complete", id, token, result: `{"n":${this.#n}}` }];
    if (draw < 0.95)
      return [{ outcome: "nack", id, token, error: "not today", delayMs: this.#below(HOUR_MS) }];
    if (draw < 0.97) return [{ outcome: "refuse", id, token, error: "never" }];
    if (draw < 0.99) return [{ outcome: "release", id, token }];
    this.#ledgerOf(id).returned(id);
    return [];
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }
}
