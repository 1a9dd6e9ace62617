import type { QueueMessage, TaskMessage } from "../../../src/protocol/messages.ts";
import { TASK_STATES } from "../../../src/task/task.ts";
import type { Snapshot } from "../../crash/snapshot.ts";
import type { Asked, Call, EndingSent, EnqueueSent, Grant, Refusal, Reply } from "./call.ts";

export const QUEUE = "emails";
export const LEASE_MS = 1_000;
/** The store's clock at moment 0. */
const EPOCH = 1_000_000;
const END = 100_000;

export const LEASE_LOST: Refusal = { code: "lease_lost", message: "The lease is gone" };
export const UNAVAILABLE: Refusal = { code: "storage_unavailable", message: "Redis is away" };

export function idOf(number: number): string {
  return `${QUEUE}~${String(number).padStart(16, "0")}`;
}

type Fields = Partial<Omit<TaskMessage, "id" | "lease">> & { fence?: number; expiresAt?: number };

/**
 * A history made by hand: each call takes 2 ms from the moment given, unless it says otherwise, and the store's
 * clock is a million milliseconds ahead. The end that it shows is what was acknowledged, but for what is said.
 */
export class HandMade {
  readonly calls: Call[] = [];
  readonly #tasks = new Map<number, TaskMessage>();
  #off = 0;

  /** Enqueues that were acknowledged, in one call. */
  enqueue(at: number, ...items: (Partial<EnqueueSent> & { number: number })[]): this {
    const sent = items.map(enqueueOf);
    const enqueued = sent.map(({ number, delayMs = 0 }) => ({
      id: idOf(number),
      runAt: this.#tasks.get(number)?.runAt ?? EPOCH + at + 1 + delayMs,
    }));
    for (const each of sent) this.#put(each, at);
    return this.call("producer", at, { verb: "enqueue", items: sent }, { enqueued });
  }

  /** An enqueue that was not answered, or with an error. */
  tryEnqueue(at: number, item: Partial<EnqueueSent> & { number: number }, error?: Refusal): this {
    const asked = { verb: "enqueue", items: [enqueueOf(item)] } as const;
    if (error === undefined) this.calls.push({ who: "producer", invoked: at, asked });
    else this.calls.push({ who: "producer", invoked: at, answered: at + 2, asked, error });
    return this;
  }

  /** A claim that brought these; its effect was in the middle. */
  claim(who: string, at: number, ...grants: (Partial<Grant> & { number: number; fence: number })[]): this {
    const tasks = grants.map((grant) => grantOf(grant, at + 1));
    for (const { number, attempt, fence, expiresAt } of tasks)
      this.shows(number, { state: "leased", attempt, fence, expiresAt });
    const claim = { queues: [QUEUE], max: Math.max(1, grants.length), leaseMs: LEASE_MS, waitMs: 0 };
    return this.call(who, at, { verb: "claim", claim }, { tasks });
  }

  /** A claim that was not answered. */
  tryClaim(who: string, at: number): this {
    const claim = { queues: [QUEUE], max: 1, leaseMs: LEASE_MS, waitMs: 0 };
    this.calls.push({ who, invoked: at, asked: { verb: "claim", claim } });
    return this;
  }

  /** An ending that was acknowledged. */
  end(
    who: string,
    at: number,
    outcome: EndingSent["outcome"],
    number: number,
    fence: number,
    delayMs = 0,
  ): this {
    const state = {
      complete: "completed",
      refuse: "dead",
      release: "ready",
      nack: delayMs > 0 ? "scheduled" : "ready",
    }[outcome] as TaskMessage["state"];
    const runAt = delayMs > 0 ? { runAt: EPOCH + at + 1 + delayMs } : {};
    const attempt = (this.#tasks.get(number)?.attempt ?? 1) - (outcome === "release" ? 1 : 0);
    this.shows(number, { state, attempt, ...runAt, ...(outcome === "refuse" && { deadReason: "refused" }) });
    const asked = { verb: "settle", endings: [endingOf(outcome, number, fence, delayMs)] } as const;
    return this.call(who, at, asked, { ended: [{ state, ...runAt }] });
  }

  /** An ending that was not answered, or with an error. */
  tryEnd(
    who: string,
    at: number,
    outcome: EndingSent["outcome"],
    number: number,
    fence: number,
    error?: Refusal,
  ): this {
    const asked = { verb: "settle", endings: [endingOf(outcome, number, fence, 0)] } as const;
    if (error === undefined) this.calls.push({ who, invoked: at, asked });
    else this.call(who, at, asked, { ended: [{ error }] });
    return this;
  }

  beat(who: string, at: number, number: number, fence: number, error?: Refusal): this {
    const beats = [{ id: idOf(number), token: String(fence), leaseMs: LEASE_MS }];
    const answer = error === undefined ? { expiresAt: EPOCH + at + 1 + LEASE_MS } : { error };
    return this.call(who, at, { verb: "heartbeat", beats }, { beaten: [answer] });
  }

  move(
    at: number,
    verb: "cancel" | "requeue" | "forceRelease",
    number: number,
    state: TaskMessage["state"],
  ): this {
    this.shows(number, { state });
    return this.call("operator", at, { verb, id: idOf(number) }, { moved: { state } });
  }

  call(who: string, at: number, asked: Asked, reply: Reply): this {
    this.calls.push({ who, invoked: at, answered: at + 2, asked, reply });
    return this;
  }

  /** In the end the task looks like this; undefined: it is not there. */
  shows(number: number, fields: Fields | undefined): this {
    if (fields === undefined) {
      this.#tasks.delete(number);
      return this;
    }
    const { fence, expiresAt = 0, ...rest } = fields;
    const { lease, ...before } = this.#tasks.get(number) ?? messageOf(enqueueOf({ number }), 0);
    const task: TaskMessage = { ...before, ...rest };
    if (task.state === "leased" && fence !== undefined)
      task.lease = { fence, expiresAt, ms: LEASE_MS, claimedAt: expiresAt - LEASE_MS };
    else if (task.state === "leased" && lease !== undefined) task.lease = lease;
    this.#tasks.set(number, task);
    return this;
  }

  /** In the end the counter of ready tasks is wrong by so much. */
  miscounts(by: number): this {
    this.#off = by;
    return this;
  }

  /** What the store shows at the moment `at`. */
  snapshot(at = END): Snapshot {
    const tasks = [...this.#tasks.values()];
    const counts = Object.fromEntries(
      TASK_STATES.map((state) => [state, tasks.filter((task) => task.state === state).length]),
    ) as QueueMessage["counts"];
    counts.ready += this.#off;
    const queue = { queue: QUEUE, paused: false, counts, enqueued: tasks.length, pruned: 0, waiting: 0 };
    return { queues: [queue], tasks, from: EPOCH + at, to: EPOCH + at };
  }

  #put(sent: EnqueueSent, at: number): void {
    this.#tasks.set(sent.number, messageOf(sent, at));
  }
}

function enqueueOf(item: Partial<EnqueueSent> & { number: number }): EnqueueSent {
  return { queue: QUEUE, priority: 0, maxAttempts: 3, ...item };
}

function grantOf(grant: Partial<Grant> & { number: number; fence: number }, at: number): Grant {
  const claimedAt = EPOCH + at;
  return {
    id: idOf(grant.number),
    queue: QUEUE,
    priority: 0,
    attempt: 1,
    maxAttempts: 3,
    runAt: EPOCH,
    token: String(grant.fence),
    claimedAt,
    expiresAt: claimedAt + LEASE_MS,
    ...grant,
  };
}

function endingOf(
  outcome: EndingSent["outcome"],
  number: number,
  fence: number,
  delayMs: number,
): EndingSent {
  return { id: idOf(number), token: String(fence), outcome, ...(delayMs > 0 && { delayMs }) };
}

function messageOf(sent: EnqueueSent, at: number): TaskMessage {
  const { number, queue, priority, maxAttempts, delayMs = 0 } = sent;
  return {
    id: idOf(number),
    queue,
    state: delayMs > 0 ? "scheduled" : "ready",
    priority,
    payload: { number },
    attempt: 0,
    maxAttempts,
    createdAt: EPOCH + at + 1,
    runAt: EPOCH + at + 1 + delayMs,
  };
}
