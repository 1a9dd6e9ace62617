import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { type ClaimedTask, TASK_STATES, type Task } from "../../task/task.ts";
import type { Storage } from "../storage.ts";
import type { ExportPage, ExportRequest, StoredKey, StoredTask } from "../stored-task.ts";
import { aTask, completed, nacked, QUEUE, refused, released, tasks } from "./builders.ts";
import type { Stage } from "./stage.ts";

export const MINUTE = 60_000;

/** Every page of an export, as one. */
export async function exported(storage: Storage, request: Partial<ExportRequest> = {}): Promise<ExportPage> {
  const keys: StoredKey[] = [];
  const all: StoredTask[] = [];
  let cursor: string | undefined;
  do {
    const page = await storage.exportTasks(QUEUE, {
      limit: LIMITS.stepMax,
      ...request,
      ...(cursor !== undefined && { cursor }),
    });
    keys.push(...page.keys);
    all.push(...page.tasks);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return { keys, tasks: all };
}

/** Moves a queue as `dibs move` does: configuration, total, tasks and keys, page by page. */
export async function move(from: Stage, to: Stage, limit = 3): Promise<void> {
  const snapshot = await from.storage.snapshot(QUEUE);
  assert.ok(snapshot);
  await to.storage.configure(QUEUE, { config: snapshot.config, paused: snapshot.paused });
  await to.storage.importTasks(QUEUE, { pruned: snapshot.pruned });
  let cursor: string | undefined;
  do {
    const page = await from.storage.exportTasks(QUEUE, { limit, ...(cursor !== undefined && { cursor }) });
    await to.storage.importTasks(QUEUE, { keys: page.keys, tasks: page.tasks });
    cursor = page.cursor;
  } while (cursor !== undefined);
}

/** A queue with tasks in every state and with every kind of past. Returns those that are leased. */
export async function populate(stage: Stage): Promise<readonly ClaimedTask[]> {
  await stage.configure({ maxAttempts: 3, leaseMs: 40_000, retention: { deadMax: 77 } });
  await stage.enqueue(
    ...tasks(9, { priority: 9, tags: { for: "Ärzte 🦔", by: "night" }, maxAttempts: 2 }),
    aTask({ priority: 9, idempotencyKey: "kept", payload: '{"of":"a key"}' }),
    aTask({ priority: 9, idempotencyKey: "gone" }),
  );
  const [done, plain, refusedOne, failedOne, later, soon, handedBack, cancelled, purged, keyed, gone] =
    await stage.claim(11, { worker: "a worker" });
  await stage.settle(
    completed(plain),
    refused(refusedOne, "never"),
    nacked(later, { error: "later", delayMs: 5 * MINUTE }),
    nacked(soon, { error: "at once", delayMs: 0 }),
    nacked(failedOne, { error: "first", delayMs: 0 }),
    nacked(keyed, { delayMs: 0 }),
    completed(purged),
    completed(gone),
  );
  await stage.storage.purge(QUEUE, "completed", 3);
  await stage.settle(completed(done, '{"result":"of 🦔"}'), released(handedBack));
  await stage.storage.cancel(QUEUE, [cancelled.id]);
  // The one handed back, the one that failed at once, and the one that now fails for the last time.
  const [again, , last] = await stage.claim(3);
  assert.equal(last.id, failedOne.id);
  await stage.settle(nacked(last, { error: "second" }), released(again));
  await stage.enqueue(...tasks(4, { backoff: { type: "linear", baseMs: 7_000, jitter: "none" } }));
  await stage.enqueue(...tasks(2, { priority: 9 }));
  await stage.enqueue(...tasks(4, { delayMs: 3 * MINUTE }), ...tasks(3, { delayMs: MINUTE, priority: 2 }));
  const [silent] = await stage.claim(1, { leaseMs: 90_000 });
  return [silent, ...(await stage.claim(2, { worker: "holder", leaseMs: 60_000 }))];
}

export async function everything(stage: Stage): Promise<Record<string, readonly Task[]>> {
  const lists: Record<string, readonly Task[]> = {};
  for (const state of TASK_STATES) lists[state] = await stage.listAll({ state });
  return lists;
}
