import { createHash } from "node:crypto";
import type { ManualClock } from "../../src/clock.ts";
import type { Settlement, Storage } from "../../src/storage/storage.ts";
import type { QueueName, TaskId } from "../../src/task/ids.ts";
import { type ClaimedTask, type NewTask, TASK_STATES, type Task } from "../../src/task/task.ts";

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
  readonly #tasks: TaskId[] = [];
  /** The highest fence that was handed out. */
  fence = 0;

  constructor(random: () => number, clock: ManualClock) {
    this.#random = random;
    this.#clock = clock;
  }

  /** Takes one step; rejects when the engine does. */
  async step(storage: Storage): Promise<void> {
    this.#clock.advance(this.#below(2_000));
    const queue = QUEUES[this.#below(QUEUES.length)] as QueueName;
    const dice = this.#below(100);
    if (dice < 26) await storage.enqueue(queue, this.#newTasks(queue));
    else if (dice < 50) this.#hold((await storage.claim(queue, this.#asks())).grants);
    else if (dice < 72) await this.#settle(storage, queue);
    else if (dice < 76) await this.#heartbeat(storage, queue);
    else if (dice < 79) await storage.promoteDue(queue, 20);
    else if (dice < 82) await storage.reapExpired(queue, 20);
    else if (dice < 85) await storage.prune(queue, 1 + this.#below(20));
    else if (dice < 88) await storage.cancel(queue, this.#someId(queue));
    else if (dice < 90) await storage.requeueDead(queue, 5);
    else if (dice < 97) await storage.purge(queue, this.#purged(), 10);
    else if (dice < 98) await storage.forceRelease(queue, this.#someId(queue));
    else await storage.configure(queue, { config: { retention: { completedMax: this.#below(5) } } });
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

  async #settle(storage: Storage, queue: QueueName): Promise<void> {
    const settlements = this.#take(queue).map((task) => this.#settlement(task));
    const reply = await storage.settle(queue, settlements, this.#below(2) === 0 ? this.#asks() : []);
    this.#hold(reply.claim.grants);
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

  #hold(grants: readonly (readonly ClaimedTask[])[]): void {
    this.#held.push(...grants.flat());
    for (const { lease } of grants.flat()) this.fence = Math.max(this.fence, lease.fence);
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
