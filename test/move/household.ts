import assert from "node:assert/strict";
import {
  aQueue,
  aTask,
  completed,
  nacked,
  payloadOf,
  refused,
  released,
} from "../../src/storage/contract/builders.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { QueueName } from "../../src/task/ids.ts";
import type { QueueSnapshot } from "../../src/task/queue.ts";
import {
  type ClaimedTask,
  type NewTask,
  TASK_STATES,
  type Task,
  type TaskState,
} from "../../src/task/task.ts";
import type { Random } from "../crash/random.ts";

/** What somebody outside remembers of a store, and wants to find again wherever it moves. */
export interface Memories {
  /** Leased when the store was left. */
  held: readonly ClaimedTask[];
  readonly completed: ClaimedTask[];
  /** The greatest fence of each task that was ever claimed. */
  readonly fences: Map<string, number>;
  readonly keyed: NewTask[];
}

const QUEUES = ["emails", "renders.v2", "a-b_C"].map(aQueue);
const BATCH = 200;

/** Fills a store, through the port, with tasks in every state and with every kind of past. */
export async function furnish(storage: Storage, tasks: number, random: Random): Promise<Memories> {
  const memories: Memories = { held: [], completed: [], fences: new Map(), keyed: [] };
  await storage.configure(QUEUES[1] as QueueName, {
    config: { maxAttempts: 2, leaseMs: 3_600_000, retention: { deadMax: 12_345 }, maxDepth: tasks },
  });
  await storage.configure(aQueue("empty"), { paused: true });
  for (let left = tasks; left > 0; left -= BATCH) {
    const queue = random.of(QUEUES);
    await live(storage, queue, Math.min(BATCH, left), random, memories);
  }
  await storage.configure(QUEUES[2] as QueueName, { paused: true });
  return memories;
}

/** A day in the life of a queue: some tasks come, some of those that are there go on. */
async function live(
  storage: Storage,
  queue: QueueName,
  count: number,
  random: Random,
  memories: Memories,
): Promise<void> {
  const wanted = Array.from({ length: count }, () => anyTask(queue, random));
  memories.keyed.push(...wanted.filter(({ idempotencyKey }) => idempotencyKey !== undefined));
  await storage.enqueue(queue, wanted);
  const asks = [
    { max: Math.floor(count * 0.5), leaseMs: 3_600_000 },
    { max: 20, leaseMs: 7_200_000, worker: "wörker, 2" },
  ];
  const { grants } = await storage.claim(queue, asks);
  for (const task of grants.flat()) await goOn(storage, queue, task, random, memories);
  const { tasks: dead } = await storage.list(queue, { state: "dead", limit: 10 });
  await storage.requeue(
    queue,
    dead.slice(0, 2).map(({ id }) => id),
  );
  const cancelled = wanted.slice(0, 5).map(({ id }) => id);
  await storage.cancel(queue, cancelled);
  memories.held = memories.held.filter(({ id }) => !cancelled.includes(id));
  await storage.purge(queue, "completed", 3);
}

function anyTask(queue: QueueName, random: Random): NewTask {
  const roll = random.next();
  const payload =
    random.next() < 0.02 ? payloadOf(20_000) : JSON.stringify({ n: random.next(), text: "Ä 🦔\n" });
  return aTask(
    {
      payload,
      priority: random.below(10),
      ...(roll < 0.2 && { delayMs: 3_600_000 + random.below(50) }),
      ...(roll > 0.6 && { idempotencyKey: `key ${random.next()}` }),
      ...(random.next() < 0.1 && { tags: { for: "Ärzte", n: String(random.next()) } }),
      ...(random.next() < 0.1 && { backoff: { type: "linear", baseMs: 1_234, jitter: "none" } }),
      ...(random.next() < 0.1 && { maxAttempts: 1 }),
    },
    queue,
  );
}

async function goOn(
  storage: Storage,
  queue: QueueName,
  task: ClaimedTask,
  random: Random,
  memories: Memories,
): Promise<void> {
  memories.fences.set(task.id, task.lease.fence);
  const roll = random.next();
  const settle = (settlement: ReturnType<typeof released>) => storage.settle(queue, [settlement]);
  if (roll < 0.3) memories.held = [...memories.held, task];
  else if (roll < 0.5) await settle(released(task));
  else if (roll < 0.6) await settle(nacked(task, { error: "no 🦔", delayMs: 0 }));
  else if (roll < 0.7) await settle(nacked(task, { delayMs: 3_600_000 }));
  else if (roll < 0.8) await settle(refused(task, "never"));
  else {
    await settle(completed(task, ...(roll < 0.9 ? [JSON.stringify({ done: random.next() })] : [])));
    memories.completed.push(task);
  }
}

/** All that the port shows of a store. */
export interface Picture {
  readonly snapshots: readonly QueueSnapshot[];
  readonly tasks: Readonly<Record<QueueName, Readonly<Record<TaskState, readonly Task[]>>>>;
}

export async function pictureOf(storage: Storage): Promise<Picture> {
  const snapshots: QueueSnapshot[] = [];
  const tasks: Record<QueueName, Record<TaskState, readonly Task[]>> = {};
  for (const queue of await storage.queues()) {
    const snapshot = await storage.snapshot(queue);
    assert.ok(snapshot);
    snapshots.push(snapshot);
    const lists: Partial<Record<TaskState, readonly Task[]>> = {};
    for (const state of TASK_STATES) lists[state] = await listAll(storage, queue, state);
    tasks[queue] = lists as Record<TaskState, readonly Task[]>;
  }
  return { snapshots, tasks };
}

async function listAll(storage: Storage, queue: QueueName, state: TaskState): Promise<readonly Task[]> {
  const listed: Task[] = [];
  let cursor: string | undefined;
  do {
    const page = await storage.list(queue, { state, limit: 200, ...(cursor !== undefined && { cursor }) });
    const read = await storage.get(
      queue,
      page.tasks.map(({ id }) => id),
    );
    assert.deepEqual(read, page.tasks, "a task is read as it is listed");
    listed.push(...page.tasks);
    cursor = page.cursor;
  } while (cursor !== undefined);
  // Leases that end in one millisecond stand in any order.
  return state === "leased" ? listed.sort((a, b) => (a.id < b.id ? -1 : 1)) : listed;
}

/** Asserts that everything goes on in the store as it would have in the one that `memories` are of. */
export async function assertLivesOn(storage: Storage, picture: Picture, memories: Memories): Promise<void> {
  for (const task of memories.held) {
    const [again] = (await storage.settle(task.queue, [completed(task, '"late"')])).outcomes;
    assert.equal(again?.kind, "completed", `the holder of ${task.id} completes`);
  }
  await assertCompletedAgain(storage, memories);
  await assertKeysKnown(storage, memories);
  for (const { queue, counts } of picture.snapshots) {
    await storage.configure(queue, { paused: false });
    const { grants } = await storage.claim(queue, [{ max: 500 }, { max: 500 }]);
    const claimed = grants.flat();
    const ready = picture.tasks[queue]?.ready ?? [];
    assert.deepEqual(
      claimed.map(({ id }) => id),
      ready.slice(0, claimed.length).map(({ id }) => id),
    );
    assert.equal(claimed.length, Math.min(1_000, counts.ready));
    for (const { id, lease } of claimed)
      assert.ok(lease.fence > (memories.fences.get(id) ?? 0), `the fence of ${id} grows`);
  }
}

async function assertCompletedAgain(storage: Storage, { completed: done }: Memories): Promise<void> {
  for (const task of done) {
    const [again] = (await storage.settle(task.queue, [completed(task)])).outcomes;
    const isRemoved = again?.kind === "not-found";
    assert.ok(isRemoved || (again?.kind === "completed" && again.repeated), `${task.id} completes again`);
  }
}

async function assertKeysKnown(storage: Storage, { keyed }: Memories): Promise<void> {
  for (const first of keyed) {
    const queue = first.id.slice(0, first.id.indexOf("~")) as QueueName;
    const again = aTask({ payload: first.payload, idempotencyKey: first.idempotencyKey as string }, queue);
    const [outcome] = await storage.enqueue(queue, [again]);
    const id = outcome?.kind === "deduplicated" ? outcome.task.id : outcome?.kind === "pruned" && outcome.id;
    assert.equal(id, first.id, `the key of ${first.id} is remembered`);
  }
}
