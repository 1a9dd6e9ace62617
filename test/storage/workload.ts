import { createHash } from "node:crypto";
import type { ManualClock } from "../../src/clock.ts";
import type { Settlement, Storage } from "../../src/storage/storage.ts";
import type { QueueName, TaskId } from "../../src/task/ids.ts";
import { type ClaimedTask, type NewTask, TASK_STATES, type Task } from "../../src/task/task.ts";

type Grants = readonly (readonly ClaimedTask[])[];

export const QUEUES = ["emails", "renders"] as QueueName[];

/**
 * A random but repeatable load on an engine: the same numbers give the same steps, ids and answers, whatever
 * the disk beneath does, until a step fails.
 */
export class Workload {
  readonly #random: () => number;
  readonly #clock: ManualClock;
  #held: ClaimedTask[] = [];
  #ids = 0;
  #keys = 0;
  #configured = 0;
  readonly #tasks: TaskId[] = [];
  /** The highest fence that was handed out. */
  fence = 0;
  /** Tasks that it had an effect on. */
  readonly did = { pruned: 0, cancelled: 0, released: 0 };

  constructor(random: () => number, clock: ManualClock) {
    this.#random = random;
    this.#clock = clock;
  }

  /** Takes one step; rejects when the engine does. */
  async step(storage: Storage): Promise<void> {
    this.hold(await this.call(storage));
  }

  /** Calls the engine once, at once; resolves to what was claimed, for {@link hold}. Rejects when the engine does. */
  call(storage: Storage): Promise<Grants> {
    this.#clock.advance(this.#below(2_000));
    const unset = QUEUES[this.#configured];
    if (unset !== undefined) return this.#keepFew(storage, unset);
    const queue = QUEUES[this.#below(QUEUES.length)] as QueueName;
    const dice = this.#below(100);
    if (dice < 26) return none(storage.enqueue(queue, this.#newTasks(queue)));
    if (dice < 48) return this.#claim(storage, queue);
    if (dice < 70) return this.#settle(storage, queue);
    if (dice < 73) return none(this.#heartbeat(storage, queue));
    if (dice < 76) return none(storage.promoteDue(queue, 20));
    if (dice < 79) return none(storage.reapExpired(queue, 20));
    if (dice < 85) return this.#prune(storage, queue);
    if (dice < 88) return this.#cancel(storage, queue);
    if (dice < 90) return none(storage.requeueDead(queue, 5));
    if (dice < 94) return none(storage.purge(queue, this.#purged(), 10));
    if (dice < 95) return none(storage.forceRelease(queue, this.#someId(queue)));
    const change = { config: { retention: { completedMax: this.#below(5) } } };
    return none(storage.configure(queue, change));
  }

  /** Takes what was claimed in hand. */
  hold(grants: Grants): void {
    const tasks = grants.flat();
    this.#held.push(...tasks);
    for (const { lease } of tasks) this.fence = Math.max(this.fence, lease.fence);
  }

  /** The first call of each queue, so that there is something to prune soon. */
  #keepFew(storage: Storage, queue: QueueName): Promise<Grants> {
    this.#configured += 1;
    return none(storage.configure(queue, { config: { retention: { completedMax: 0, deadMax: 0 } } }));
  }

  async #claim(storage: Storage, queue: QueueName): Promise<Grants> {
    return (await storage.claim(queue, this.#asks())).grants;
  }

  async #prune(storage: Storage, queue: QueueName): Promise<Grants> {
    this.did.pruned += (await storage.prune(queue, 1 + this.#below(20))).pruned;
    return [];
  }

  async #cancel(storage: Storage, queue: QueueName): Promise<Grants> {
    const outcomes = await storage.cancel(queue, this.#someId(queue));
    this.did.cancelled += outcomes.filter(({ kind }) => kind === "moved").length;
    return [];
  }

  #purged(): "ready" | "completed" | "dead" | "cancelled" {
    return (["ready", "completed", "dead", "cancelled"] as const)[this.#below(4)] as "ready";
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  #newTasks(queue: QueueName): NewTask[] {
    return Array.from({ length: 1 + this.#below(3) }, () => {
      const id = this.#newId(queue);
      this.#tasks.push(id);
      return {
        id,
        payload: JSON.stringify({ text: "x".repeat(this.#below(300)), n: this.#ids }),
        priority: this.#below(3),
        maxAttempts: 1 + this.#below(3),
        ...(this.#below(4) === 0 ? { delayMs: this.#below(3_000) } : {}),
        ...(this.#below(5) === 0 ? this.#key() : {}),
      };
    });
  }

  #newId(queue: QueueName): TaskId {
    this.#ids += 1;
    return `${queue}~${createHash("sha256").update(String(this.#ids)).digest("base64url").slice(0, 16)}` as TaskId;
  }

  #key(): { idempotencyKey: string; payloadHash: string } {
    this.#keys += this.#below(2);
    return {
      idempotencyKey: `key-${this.#keys}`,
      payloadHash: createHash("sha256").update(String(this.#keys)).digest("hex"),
    };
  }

  #asks(): { max: number; leaseMs: number; worker: string }[] {
    return Array.from({ length: 1 + this.#below(2) }, (_, i) => ({
      max: 1 + this.#below(3),
      leaseMs: 1_000 + this.#below(15_000),
      worker: `worker-${i}`,
    }));
  }

  async #settle(storage: Storage, queue: QueueName): Promise<Grants> {
    const settlements = this.#take(queue).map((task) => this.#settlement(task));
    const reply = await storage.settle(queue, settlements, this.#below(2) === 0 ? this.#asks() : []);
    this.did.released += reply.outcomes.filter(
      ({ kind }, index) => kind === "ready" && settlements[index]?.outcome === "release",
    ).length;
    return reply.claim.grants;
  }

  #settlement({ id, lease: { token } }: ClaimedTask): Settlement {
    const dice = this.#below(10);
    if (dice < 5)
      return {
        outcome: "complete",
        id,
        token,
        result: JSON.stringify({ done: "y".repeat(this.#below(100)) }),
      };
    if (dice < 8)
      return {
        outcome: "nack",
        id,
        token,
        error: "broken",
        delayMs: this.#below(2) * this.#below(2_000),
        random: 0,
      };
    return dice < 9 ? { outcome: "release", id, token } : { outcome: "refuse", id, token, error: "never" };
  }

  async #heartbeat(storage: Storage, queue: QueueName): Promise<void> {
    const held = this.#held.filter((task) => task.queue === queue);
    await storage.heartbeat(
      queue,
      held.map(({ id, lease: { token } }) => ({ id, token })),
    );
  }

  #take(queue: QueueName): ClaimedTask[] {
    const mine = this.#held.filter((task) => task.queue === queue).slice(0, 1 + this.#below(6));
    this.#held = this.#held.filter((task) => !mine.includes(task));
    return mine;
  }

  #someId(queue: QueueName): TaskId[] {
    const mine = this.#tasks.filter((id) => id.startsWith(`${queue}~`));
    return mine.length === 0 ? [] : [mine[this.#below(mine.length)] as TaskId];
  }
}

async function none(call: Promise<unknown>): Promise<Grants> {
  await call;
  return [];
}

/** Everything that a user can see of an engine, in order, as one text. */
export async function fingerprint(storage: Storage): Promise<string> {
  const queues = await Promise.all(
    (await storage.queues()).map(async (queue) => ({
      snapshot: await storage.snapshot(queue),
      tasks: (await Promise.all(TASK_STATES.map((state) => listAll(storage, queue, state)))).flat(),
    })),
  );
  return JSON.stringify(queues);
}

async function listAll(storage: Storage, queue: QueueName, state: Task["state"]): Promise<Task[]> {
  const tasks: Task[] = [];
  let cursor: string | undefined;
  do {
    const page = await storage.list(queue, {
      state,
      limit: 200,
      ...(cursor === undefined ? {} : { cursor }),
    });
    tasks.push(...page.tasks);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return tasks;
}
