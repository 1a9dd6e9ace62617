import type { ClaimedTaskMessage } from "../../src/protocol/messages.ts";

/**
 * What the clients of a crash test know: everything that they sent, and what of it was acknowledged. It lives in
 * another process than the server, so no crash touches it.
 */
export interface EnqueueSent {
  /** Names the task for ever: it stands in the payload. */
  readonly number: number;
  readonly queue: string;
  readonly delayMs?: number;
  readonly maxAttempts: number;
  readonly idempotencyKey?: string;
}

/** One claim of one task that was acknowledged, and what became of it. */
export interface Claim {
  readonly worker: string;
  readonly fence: number;
  readonly token: string;
  readonly attempt: number;
  readonly claimedAt: number;
  /** The latest end of the lease that was acknowledged, by the claim or a heartbeat. */
  expiresAt: number;
  /** Place of the claim's answer in the order of all that the clients saw. */
  readonly answeredAt: number;
  settled?: Settled;
}

export type Outcome =
  | { readonly outcome: "complete"; readonly result: unknown }
  | { readonly outcome: "nack"; readonly error: string; readonly delayMs: number }
  | { readonly outcome: "refuse"; readonly error: string }
  | { readonly outcome: "release" };

export type Settled = Outcome & {
  readonly sentAt: number;
  /** Undefined: never answered, so nobody knows. */
  acknowledged?: { readonly state: string; readonly runAt?: number };
  /** The server said that the lease was no longer this claim's. */
  refused?: true;
};

export interface TaskEntry {
  readonly id: string;
  readonly sent: EnqueueSent;
  readonly claims: Claim[];
}

export class Ledger {
  readonly tasks = new Map<string, TaskEntry>();
  /** Enqueues that were never answered, by number. */
  readonly unknownEnqueues = new Map<number, EnqueueSent>();
  /** Labels of claims that were never answered: what they took, they hold. */
  readonly unknownClaims = new Set<string>();
  /** Answers that changed something. */
  acknowledged = 0;
  unanswered = 0;
  #order = 0;
  #number = 0;

  nextNumber(): number {
    this.#number += 1;
    return this.#number;
  }

  /** A name that is given once in the life of the ledger, across restarts. */
  label(of: string): string {
    return `${of}-${this.#next()}`;
  }

  enqueued(sent: EnqueueSent, id: string): void {
    if (!this.tasks.has(id)) this.tasks.set(id, { id, sent, claims: [] });
  }

  claimed(task: ClaimedTaskMessage, worker: string): Claim {
    const { fence, token, claimedAt, expiresAt } = task.lease;
    const claim: Claim = {
      worker,
      fence,
      token,
      claimedAt,
      expiresAt,
      attempt: task.attempt,
      answeredAt: this.#next(),
    };
    const entry = this.tasks.get(task.id);
    if (entry !== undefined) entry.claims.push(claim);
    else this.#lateClaims.push({ task, claim });
    return claim;
  }

  settling(claim: Claim, outcome: Outcome): Settled {
    const settled: Settled = { ...outcome, sentAt: this.#next() };
    claim.settled = settled;
    return settled;
  }

  /**
   * A task may be claimed before its enqueue is answered, or although it never is. Such claims join their task
   * once it is known which enqueue it is from.
   */
  adoptLateClaims(): void {
    for (const { task, claim } of this.#lateClaims.splice(0)) {
      const entry = this.tasks.get(task.id) ?? this.#entryOfUnknown(task);
      entry.claims.push(claim);
      entry.claims.sort((a, b) => a.answeredAt - b.answeredAt);
    }
  }

  readonly #lateClaims: { readonly task: ClaimedTaskMessage; readonly claim: Claim }[] = [];

  #entryOfUnknown(task: ClaimedTaskMessage): TaskEntry {
    const { number } = task.payload as { number: number };
    const sent = this.unknownEnqueues.get(number);
    if (sent === undefined) throw new Error(`Task ${task.id} was claimed, enqueue ${number} was never sent`);
    // Its effect was seen, so it is known now.
    this.unknownEnqueues.delete(number);
    const entry: TaskEntry = { id: task.id, sent, claims: [] };
    this.tasks.set(task.id, entry);
    return entry;
  }

  #next(): number {
    this.#order += 1;
    return this.#order;
  }
}
