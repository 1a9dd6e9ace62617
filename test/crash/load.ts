import type { ClaimedTaskMessage } from "../../src/protocol/messages.ts";
import { type Http, NotSent, type Reply, Unanswered } from "./http.ts";
import type { Claim, EnqueueSent, Ledger, Outcome, Settled } from "./ledger.ts";
import type { Random } from "./random.ts";

/**
 * Mixed load: each actor does one thing after the other, chosen by chance, and enters in the ledger what it sent
 * and what was acknowledged. An actor ends when its server is gone, or when told to.
 */
export const QUEUES = ["alpha", "beta", "gamma"] as const;
export const PARKED_QUEUE = "parked";
const HOUR_MS = 3_600_000;
const LONG_LEASE_MS = 120_000;
const SHORT_LEASE_MS = 1_000;

export class Load {
  readonly #http: Http;
  readonly #ledger: Ledger;
  readonly #random: Random;
  readonly #actors: Promise<void>[];
  #isStopped = false;
  /** Answers that no server should give. */
  readonly faults: string[] = [];

  constructor(http: Http, ledger: Ledger, random: Random, actors: { busy: number; parked: number }) {
    this.#http = http;
    this.#ledger = ledger;
    this.#random = random;
    this.#actors = [
      ...Array.from({ length: actors.busy }, () => this.#act(() => this.#somethingBusy())),
      ...Array.from({ length: actors.parked }, () => this.#act(() => this.#claimParked())),
    ];
  }

  /** Resolves when every actor has ended: when the server is gone, or after {@link stop}. */
  async ended(): Promise<void> {
    await Promise.all(this.#actors);
    this.#ledger.adoptLateClaims();
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    return this.ended();
  }

  async #act(action: () => Promise<void>): Promise<void> {
    try {
      while (!this.#isStopped) await action();
    } catch (error) {
      if (error instanceof Unanswered || error instanceof NotSent || error instanceof Draining) return;
      throw error;
    }
  }

  #somethingBusy(): Promise<void> {
    return this.#random.pick([
      [35, () => this.#enqueue(this.#random.of(QUEUES))],
      [3, () => this.#enqueueAgain()],
      [6, () => this.#enqueueBatch()],
      [4, () => this.#enqueue(PARKED_QUEUE)],
      [52, () => this.#claimAndSettle()],
    ]);
  }

  async #enqueue(queue: string): Promise<void> {
    const sent = this.#newEnqueue(queue);
    const reply = await this.#enqueueing([sent], () => this.#http.post("/v1/tasks", bodyOf(sent)));
    if (reply.status === 201) this.#enqueued(sent, (reply.body as { id: string }).id);
    else this.#strange("enqueue", reply);
  }

  async #enqueueBatch(): Promise<void> {
    const sent = Array.from({ length: 10 }, () => this.#newEnqueue(this.#random.of(QUEUES)));
    const tasks = sent.map(bodyOf);
    const reply = await this.#enqueueing(sent, () => this.#http.post("/v1/tasks/batch", { tasks }));
    if (reply.status !== 200) return this.#strange("batch", reply);
    const { results } = reply.body as { results: { task?: { id: string } }[] };
    for (const [at, { task }] of results.entries()) {
      if (task === undefined) this.#strange("batch", reply);
      else this.#enqueued(sent[at] as EnqueueSent, task.id);
    }
  }

  /** Until it is answered, nobody knows whether it happened. */
  async #enqueueing(sent: readonly EnqueueSent[], send: () => Promise<Reply>): Promise<Reply> {
    for (const each of sent) this.#ledger.unknownEnqueues.set(each.number, each);
    const forget = () => {
      for (const each of sent) this.#ledger.unknownEnqueues.delete(each.number);
    };
    return this.#counted(send, forget);
  }

  #enqueued(sent: EnqueueSent, id: string): void {
    this.#ledger.unknownEnqueues.delete(sent.number);
    this.#ledger.enqueued(sent, id);
  }

  /** The same key again must give the same task (I8). */
  async #enqueueAgain(): Promise<void> {
    const keyed = [...this.#ledger.tasks.values()]
      .slice(-50)
      .filter(({ sent }) => sent.idempotencyKey !== undefined);
    if (keyed.length === 0) return this.#enqueue("alpha");
    const { id, sent } = this.#random.of(keyed);
    const reply = await this.#counted(() => this.#http.post("/v1/tasks", bodyOf(sent)));
    const again = reply.body as { id?: string; deduplicated?: boolean };
    if (reply.status !== 200 || again.id !== id || again.deduplicated !== true)
      this.#strange(`key of ${id}`, reply);
  }

  async #claimAndSettle(): Promise<void> {
    const claim = this.#newClaim();
    const held = await this.#claiming(claim.worker, async () => {
      const reply = await this.#counted(() => this.#http.post("/v1/claims", claim));
      return reply.status === 204 ? [] : this.#tasksOf(reply);
    });
    if (held.length > 1 && this.#random.chance(0.5)) await this.#settleTogether(held);
    else for (const each of held) await this.#settleAlone(each);
  }

  async #claimParked(): Promise<void> {
    const worker = this.#ledger.label("parked");
    const body = { queues: [PARKED_QUEUE], waitMs: 30_000, leaseMs: LONG_LEASE_MS, worker };
    const held = await this.#claiming(worker, async () => {
      const reply = await this.#http.post("/v1/claims", body);
      if (reply.status === 503) throw new Draining();
      return reply.status === 204 ? [] : this.#tasksOf(reply);
    });
    for (const each of held) await this.#settleAlone(each);
  }

  /** Until it is answered, what it took is known to nobody else. */
  async #claiming(worker: string, send: () => Promise<ClaimedTaskMessage[]>): Promise<Held[]> {
    this.#ledger.unknownClaims.add(worker);
    try {
      const tasks = await send();
      this.#ledger.unknownClaims.delete(worker);
      return tasks.map((task) => ({ task, claim: this.#ledger.claimed(task, worker) }));
    } catch (error) {
      if (!(error instanceof Unanswered)) this.#ledger.unknownClaims.delete(worker);
      throw error;
    }
  }

  #tasksOf(reply: Reply): ClaimedTaskMessage[] {
    if (reply.status === 200) return (reply.body as { tasks: ClaimedTaskMessage[] }).tasks;
    this.#strange("claim", reply);
    return [];
  }

  async #settleAlone({ task, claim }: Held): Promise<void> {
    if (this.#random.chance(0.07)) return; // A worker that died: the lease has to end by itself.
    if (this.#random.chance(0.1)) await this.#heartbeat(task, claim);
    const outcome = this.#newOutcome(claim);
    const { path, body } = requestOf(task, outcome);
    const settled = this.#ledger.settling(claim, outcome);
    const reply = await this.#settling([[claim, settled]], () => this.#http.post(path, body));
    this.#settled(settled, reply.status, reply.body as SettledBody);
  }

  /** All outcomes in one call, and the next claim with them. */
  async #settleTogether(all: readonly Held[]): Promise<void> {
    const pairs = all.map(({ task, claim }) => ({
      task,
      claim,
      settled: this.#ledger.settling(claim, this.#newOutcome(claim)),
    }));
    const outcomes = pairs.map(({ task, settled }) => outcomeItem(task, settled));
    const claim = this.#newClaim();
    const settling = pairs.map(({ claim: held, settled }) => [held, settled] as const);
    const next = await this.#claiming(claim.worker, async () => {
      const reply = await this.#settling(settling, () => this.#http.post("/v1/settle", { outcomes, claim }));
      if (reply.status !== 200) this.#strange("settle", reply);
      const { results } = reply.body as { results: (SettledBody & { error?: { code: string } })[] };
      for (const [at, result] of results.entries()) {
        const status = result.error === undefined ? 200 : result.error.code === "lease_lost" ? 409 : 500;
        this.#settled((pairs[at] as { settled: Settled }).settled, status, result);
      }
      return this.#tasksOf(reply);
    });
    for (const each of next) await this.#settleAlone(each);
  }

  async #heartbeat(task: ClaimedTaskMessage, claim: Claim): Promise<void> {
    const body = { leaseToken: claim.token, leaseMs: LONG_LEASE_MS };
    const path = `/v1/tasks/${encodeURIComponent(task.id)}/heartbeat`;
    const reply = await this.#counted(() => this.#http.post(path, body));
    if (reply.status === 200) claim.expiresAt = (reply.body as { expiresAt: number }).expiresAt;
    else if (reply.status !== 409 || claim.expiresAt > Date.now()) this.#strange("heartbeat", reply);
  }

  async #settling(pairs: readonly (readonly [Claim, Settled])[], send: () => Promise<Reply>): Promise<Reply> {
    return this.#counted(send, () => {
      for (const [claim] of pairs) delete claim.settled;
    });
  }

  #settled(settled: Settled, status: number, body: SettledBody): void {
    if (status === 200)
      settled.acknowledged = { state: body.state, ...(body.runAt !== undefined && { runAt: body.runAt }) };
    else if (status === 409) settled.refused = true;
    else this.#strange("settle", { status, body });
  }

  /** Sends, and counts what was acknowledged and what was not answered; `undo` when it surely had no effect. */
  async #counted(send: () => Promise<Reply>, undo: () => void = () => {}): Promise<Reply> {
    try {
      const reply = await send();
      if (reply.status === 503) throw new Draining();
      if (reply.status < 300 && reply.status !== 204) this.#ledger.acknowledged += 1;
      return reply;
    } catch (error) {
      if (error instanceof Unanswered) this.#ledger.unanswered += 1;
      else undo();
      throw error;
    }
  }

  #newEnqueue(queue: string): EnqueueSent {
    const number = this.#ledger.nextNumber();
    const delayMs = this.#random.chance(0.1) ? this.#random.of([200, HOUR_MS]) : undefined;
    return {
      number,
      queue,
      maxAttempts: this.#random.of([1, 3, 5, 5]),
      ...(delayMs !== undefined && queue !== PARKED_QUEUE && { delayMs }),
      ...(this.#random.chance(0.3) && { idempotencyKey: `key-${number}` }),
    };
  }

  #newClaim() {
    return {
      queues: this.#random.shuffled(QUEUES).slice(0, 1 + this.#random.below(QUEUES.length)),
      max: 1 + this.#random.below(5),
      leaseMs: this.#random.chance(0.1) ? SHORT_LEASE_MS : LONG_LEASE_MS,
      worker: this.#ledger.label("worker"),
    };
  }

  #newOutcome(claim: Claim): Outcome {
    const error = `fault-${this.#ledger.label("e")}`;
    return this.#random.pick<Outcome>([
      [72, () => ({ outcome: "complete", result: { fence: claim.fence, by: claim.worker } })],
      [15, () => ({ outcome: "nack", error, delayMs: this.#random.of([0, 200, HOUR_MS]) })],
      [3, () => ({ outcome: "refuse", error })],
      [10, () => ({ outcome: "release" })],
    ]);
  }

  #strange(what: string, reply: Reply): void {
    this.faults.push(`${what} was answered ${reply.status} ${JSON.stringify(reply.body)}`);
  }
}

/** A task in hand, and its entry in the ledger. */
interface Held {
  readonly task: ClaimedTaskMessage;
  readonly claim: Claim;
}

interface SettledBody {
  readonly state: string;
  readonly runAt?: number;
}

/** The server said that it drains: this actor has nothing more to do with it. */
class Draining extends Error {}

/** What a task's payload is, known from its number alone. */
export function payloadOf(number: number): { readonly number: number; readonly pad: string } {
  return { number, pad: "é".repeat(number % 97) };
}

/** The request of an enqueue; the same one again for the same task. */
export function bodyOf({ number, ...fields }: EnqueueSent): object {
  return { ...fields, payload: payloadOf(number), priority: number % 10 };
}

function outcomeItem(task: ClaimedTaskMessage, settled: Outcome): object {
  const held = { id: task.id, leaseToken: task.lease.token };
  switch (settled.outcome) {
    case "complete":
      return { ...held, outcome: "complete", result: settled.result };
    case "nack":
      return { ...held, outcome: "nack", error: settled.error, delayMs: settled.delayMs };
    case "refuse":
      return { ...held, outcome: "nack", error: settled.error, retry: false };
    case "release":
      return { ...held, outcome: "release" };
  }
}

function requestOf(
  task: ClaimedTaskMessage,
  outcome: Outcome,
): { readonly path: string; readonly body: object } {
  const { id: _, outcome: verb, ...body } = outcomeItem(task, outcome) as { id: string; outcome: string };
  return { path: `/v1/tasks/${encodeURIComponent(task.id)}/${verb}`, body };
}
