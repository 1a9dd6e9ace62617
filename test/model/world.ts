import assert from "node:assert/strict";
import type { ManualClock } from "../../src/clock.ts";
import { aQueue } from "../../src/storage/contract/builders.ts";
import type { DueQueue, Storage } from "../../src/storage/storage.ts";
import type { LeaseToken, QueueName, TaskId } from "../../src/task/ids.ts";
import { type ClaimedTask, type NewTask, TASK_STATES, type Task } from "../../src/task/task.ts";
import type { ArrowCounts } from "./arrows.ts";
import { ModelQueue } from "./model-queue.ts";
import { type ModelTask, viewOf } from "./model-task.ts";

export const QUEUES: readonly QueueName[] = [aQueue("emails"), aQueue("letters")];

/** The engine under test, and the ways to lose and find it again. */
export interface Real {
  storage: Storage;
  /** Closes and opens the same data. */
  reopen(): Promise<void>;
  /** Opens what a process that is killed now would leave behind. */
  crash(): Promise<void>;
}

/** A claim that happened, for settling it now, late or twice. */
export interface Claim {
  readonly id: TaskId;
  readonly token: LeaseToken;
}

/** All that the model knows of one run. */
export class World {
  readonly clock: ManualClock;
  readonly arrows: ArrowCounts;
  readonly queues: ReadonlyMap<QueueName, ModelQueue>;
  readonly claims = new Map<QueueName, Claim[]>(QUEUES.map((queue) => [queue, []]));
  readonly sent = new Map<QueueName, NewTask[]>(QUEUES.map((queue) => [queue, []]));
  /** Commands so far: what the engine's clock may tell apart, and the model's does not. */
  turn = 0;
  /** Whether the engine names a due time that has gone another way, until it looks: the port allows it. */
  readonly dueMayBeEarly: boolean;
  readonly #tokens = new Set<string>();

  constructor(clock: ManualClock, arrows: ArrowCounts, { dueMayBeEarly = false, timeFlows = false } = {}) {
    this.clock = clock;
    this.arrows = arrows;
    this.dueMayBeEarly = dueMayBeEarly;
    this.queues = new Map(
      QUEUES.map((name) => [
        name,
        new ModelQueue(
          name,
          () => clock.now(),
          (arrow) => arrows.take(arrow),
          () => (timeFlows ? this.turn : 0),
        ),
      ]),
    );
  }

  queue(name: QueueName): ModelQueue {
    return this.queues.get(name) as ModelQueue;
  }

  claimsOf(name: QueueName): Claim[] {
    return this.claims.get(name) as Claim[];
  }

  sentTo(name: QueueName): NewTask[] {
    return this.sent.get(name) as NewTask[];
  }

  /** Takes a task that the engine granted into the model, and checks what the engine chose: token and fence. */
  granted(name: QueueName, expected: ModelTask, granted: ClaimedTask, lease: () => void): void {
    assert.ok(
      granted.lease.fence > expected.fence,
      `I2: fence ${granted.lease.fence} after ${expected.fence}`,
    );
    assert.equal(this.#tokens.has(granted.lease.token), false, "I2: a lease token came twice");
    assert.ok(expected.runAt <= this.clock.now(), "I4: claimed before its time");
    assert.equal(expected.state, "ready", "I2: claimed while not ready");
    this.#tokens.add(granted.lease.token);
    this.claimsOf(name).push({ id: granted.id, token: granted.lease.token });
    lease();
    const { token, ...shown } = granted.lease;
    same({ ...granted, lease: shown }, viewOf(expected), "the claimed task");
  }
}

/** Deep equality, tried as text first: most of the time of a run goes into comparing what is equal. */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) assert.deepEqual(actual, expected, what);
}

/** Compares the whole engine with the model: I1, I4 and I6 in every queue, and each task in every detail. */
export async function assertSame(world: World, { storage }: Pick<Real, "storage">): Promise<void> {
  for (const [name, model] of world.queues) {
    same(await storage.snapshot(name), model.snapshot(), `the snapshot of ${name}`);
    assert.equal(model.enqueued, model.tasks.size + model.pruned, "I1: the model itself");
    for (const state of TASK_STATES) await assertSameListing(storage, name, model, state);
  }
  assertSameDue(world, await storage.nextDueAt(10));
}

/** I4: never too late. */
function assertSameDue(world: World, told: readonly DueQueue[]): void {
  const due = [...world.queues].flatMap(([queue, model]) => {
    const at = model.dueAt();
    return at === undefined ? [] : [{ queue, at }];
  });
  const byTime = (a: DueQueue, b: DueQueue) => a.at - b.at || (a.queue < b.queue ? -1 : 1);
  if (!world.dueMayBeEarly) same(told.toSorted(byTime), due.sort(byTime), "nextDueAt");
  for (const { queue, at } of due) {
    const named = told.find((other) => other.queue === queue);
    assert.ok(named !== undefined && named.at <= at, `I4: ${queue} is due at ${at}, not at ${named?.at}`);
  }
}

async function assertSameListing(
  storage: Storage,
  name: QueueName,
  model: ModelQueue,
  state: Task["state"],
): Promise<void> {
  const listed: Task[] = [];
  let cursor: string | undefined;
  do {
    const page = await storage.list(name, { state, limit: 200, ...(cursor !== undefined && { cursor }) });
    listed.push(...page.tasks);
    cursor = page.cursor;
  } while (cursor !== undefined);
  const expected = model.listing(state).map(viewOf);
  if (state === "leased") for (const tasks of [listed, expected]) tasks.sort(byLeaseEnd);
  same(listed, expected, `the ${state} tasks of ${name}`);
}

/** Leases that end in one millisecond may come in any order. */
function byLeaseEnd(a: Task, b: Task): number {
  if (a.state !== "leased" || b.state !== "leased") return 0;
  return a.lease.expiresAt - b.lease.expiresAt || (a.id < b.id ? -1 : 1);
}
