import { setTimeout as sleep } from "node:timers/promises";
import type { ErrorMessage } from "../../../src/protocol/messages.ts";
import type { Connection } from "../../../src/sdk/connection.ts";
import { Random } from "../../crash/random.ts";
import type { ClaimSent, EndingSent, EnqueueSent, Grant } from "../history/call.ts";
import { RecordedConnection } from "../history/recorded-connection.ts";
import type { Recorder } from "../history/recorder.ts";

/** What a group of participants on one connection does. Plain data: it also goes to another process. */
export interface Plan {
  /** A name that is given once in a history. */
  readonly name: string;
  readonly seed: number;
  readonly queues: readonly string[];
  readonly producers: number;
  readonly workers: number;
  /** The numbers of its tasks begin here; a million are its own. */
  readonly firstNumber: number;
  /** Tasks a second that its producers enqueue together, about. */
  readonly perSecond: number;
  readonly leaseMs: number;
  /** A worker keeps a task so long before it settles, at most. */
  readonly keepsMs: number;
}

/** Errors that a caller has to live with while things break. */
const EXPECTED: ReadonlySet<string> = new Set([
  "storage_unavailable",
  "connection_lost",
  "timeout",
  "shutting_down",
  "lease_lost",
  "wrong_state",
  "task_not_found",
]);
const PAUSE_MS = 25;
const MAX_ATTEMPTS = 10;

/** Producers and workers that do as their seed says until they are told to stop. */
export class Participants {
  readonly #connection: Connection;
  readonly #recorder: Recorder;
  readonly #plan: Plan;
  readonly #random: Random;
  #number: number;
  #isProducing = true;
  #isWorking = true;
  /** Nothing is let lie or failed any more, so that all comes to an end. */
  #isCalm = false;
  readonly #producers: Promise<void>[];
  readonly #workers: Promise<void>[];
  readonly #stop = new AbortController();
  /** Nothing is enqueued while it is so. */
  isPaused = false;
  /** Answers that nobody should get. */
  readonly strange: string[] = [];
  /** Errors that were met, by code and message, and how often. */
  readonly troubles = new Map<string, number>();
  /** Endings that were sent. */
  settled = 0;

  constructor(connection: Connection, recorder: Recorder, plan: Plan) {
    this.#connection = connection;
    this.#recorder = recorder;
    this.#plan = plan;
    this.#random = new Random(plan.seed);
    this.#number = plan.firstNumber;
    this.#producers = Array.from({ length: plan.producers }, (_, at) =>
      this.#produce(this.#as(`producer-${at}`)),
    );
    this.#workers = Array.from({ length: plan.workers }, (_, at) => this.#work(this.#as(`worker-${at}`)));
  }

  get enqueued(): number {
    return this.#number - this.#plan.firstNumber;
  }

  /** Enqueues no more; the workers go on, and finish what they get. */
  async stopProducing(): Promise<void> {
    this.#isProducing = false;
    this.#isCalm = true;
    await Promise.all(this.#producers);
  }

  async stop(): Promise<void> {
    await this.stopProducing();
    this.#isWorking = false;
    this.#stop.abort();
    await Promise.all(this.#workers);
  }

  #as(what: string): RecordedConnection {
    return new RecordedConnection(this.#connection, this.#recorder, `${this.#plan.name}/${what}`);
  }

  async #produce(me: RecordedConnection): Promise<void> {
    const share = this.#plan.perSecond / this.#plan.producers;
    let start = performance.now();
    for (let made = 0; this.#isProducing; ) {
      if (this.isPaused) {
        await sleep(PAUSE_MS);
        start += PAUSE_MS;
        continue;
      }
      const items = this.#newTasks(1 + this.#random.below(40));
      made += items.length;
      await this.#enqueue(me, items);
      if (this.#random.chance(0.05)) await this.#cancelOne(me);
      const ahead = (made / share) * 1_000 - (performance.now() - start);
      if (ahead > 0) await sleep(Math.min(ahead, 200));
    }
  }

  /** What has a key is sent again until it is answered; the key makes it one task. */
  async #enqueue(me: RecordedConnection, items: readonly EnqueueSent[]): Promise<void> {
    let left = items;
    while (left.length > 0) {
      const errors = await this.#tried(() => me.enqueue(left));
      if (errors !== undefined) for (const error of errors) this.#note(error);
      if (errors?.length === 0) return;
      await sleep(PAUSE_MS);
      left = this.#isProducing ? left.filter(({ idempotencyKey }) => idempotencyKey !== undefined) : [];
    }
  }

  readonly #cancellable: string[] = [];

  async #cancelOne(me: RecordedConnection): Promise<void> {
    const id = this.#cancellable.pop();
    if (id !== undefined) await this.#tried(() => me.move("cancel", id));
  }

  #newTasks(count: number): EnqueueSent[] {
    const queue = this.#random.of(this.#plan.queues);
    return Array.from({ length: count }, () => {
      this.#number += 1;
      const number = this.#number;
      return {
        number,
        queue: this.#random.chance(0.1) ? this.#random.of(this.#plan.queues) : queue,
        priority: this.#random.of([0, 0, 0, 0, 5, 9]),
        maxAttempts: MAX_ATTEMPTS,
        ...(this.#random.chance(0.05) && { delayMs: 20 + this.#random.below(300) }),
        ...(this.#random.chance(0.3) && { idempotencyKey: `key-${number}` }),
      };
    });
  }

  async #work(me: RecordedConnection): Promise<void> {
    let held: readonly Grant[] = [];
    while (this.#isWorking) {
      const next = await this.#tried(() => (held.length === 0 ? this.#claim(me) : this.#settle(me, held)));
      held = next ?? [];
      if (next === undefined) await sleep(PAUSE_MS);
    }
    if (held.length > 0) await this.#tried(() => me.settle(held.map((grant) => ended(grant, "complete"))));
  }

  #claim(me: RecordedConnection): Promise<readonly Grant[]> {
    return me.claim(this.#newClaim(), this.#stop.signal);
  }

  /** Ends what it holds, some way or other, and often claims the next with it. */
  async #settle(me: RecordedConnection, held: readonly Grant[]): Promise<readonly Grant[]> {
    const random = this.#random;
    if (random.chance(0.02)) this.#cancellable.push((held[0] as Grant).id);
    if (random.chance(0.2))
      await me.heartbeat(held.map(({ id, token }) => ({ id, token, leaseMs: this.#plan.leaseMs })));
    if (random.chance(0.3)) await sleep(random.below(this.#plan.keepsMs + 1));
    const endings = held.flatMap((grant) => this.#newEnding(grant));
    this.settled += endings.length;
    if (endings.length === 0) return [];
    return random.chance(0.7) && this.#isWorking
      ? me.settle(endings, { ...this.#newClaim(), waitMs: 0 })
      : me.settle(endings);
  }

  #newClaim(): ClaimSent {
    const { queues, leaseMs } = this.#plan;
    const some = this.#random.shuffled(queues).slice(0, 1 + this.#random.below(queues.length));
    return {
      queues: some,
      max: 1 + this.#random.below(20),
      leaseMs,
      waitMs: 500 + this.#random.below(1_000),
    };
  }

  #newEnding(grant: Grant): EndingSent[] {
    if (this.#isCalm) return [ended(grant, "complete")];
    return this.#random.pick<EndingSent[]>([
      [84, () => [ended(grant, "complete")]],
      [5, () => [{ ...ended(grant, "nack"), delayMs: this.#random.of([0, 30, 200]) }]],
      [2, () => [ended(grant, "refuse")]],
      [7, () => [ended(grant, "release")]],
      [1, () => [ended(grant, "complete"), ended(grant, "complete")]],
      // Somebody who lets it lie.
      [1, () => []],
    ]);
  }

  async #tried<Answer>(call: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await call();
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#note(error as ErrorMessage);
      return undefined;
    }
  }

  #note({ code, message }: ErrorMessage): void {
    const text = `${code}: ${message}`;
    if (!EXPECTED.has(code)) this.strange.push(text);
    this.troubles.set(text, (this.troubles.get(text) ?? 0) + 1);
  }
}

function ended({ id, token }: Grant, outcome: EndingSent["outcome"]): EndingSent {
  return { id, token, outcome };
}
