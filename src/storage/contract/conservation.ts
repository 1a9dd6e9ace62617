import assert from "node:assert/strict";
import type { QueueName, TaskId } from "../../task/ids.ts";
import { TASK_STATES, type TaskState } from "../../task/task.ts";
import type { Storage } from "../storage.ts";

/**
 * Asserts I1 for every queue of an engine: each task is in exactly one state, the maintained counters equal
 * a recount by listing, and `enqueued` is their sum and `pruned`. It runs after each test of the suite.
 */
export async function assertConserved(storage: Storage): Promise<void> {
  for (const queue of await storage.queues()) await assertQueueConserved(storage, queue);
}

async function assertQueueConserved(storage: Storage, queue: QueueName): Promise<void> {
  const snapshot = await storage.snapshot(queue);
  assert.ok(snapshot, `I1: queue ${queue} is named and has no snapshot`);
  const recount = Object.fromEntries(
    await Promise.all(TASK_STATES.map(async (state) => [state, await idsIn(storage, queue, state)] as const)),
  ) as Record<TaskState, readonly TaskId[]>;

  const everywhere = TASK_STATES.flatMap((state) => recount[state]);
  assert.equal(new Set(everywhere).size, everywhere.length, `I1: a task of ${queue} is in two states`);
  for (const state of TASK_STATES)
    assert.equal(snapshot.counts[state], recount[state].length, `I1: the counter of ${state} in ${queue}`);
  assert.equal(snapshot.enqueued, everywhere.length + snapshot.pruned, `I1: the total of ${queue}`);
  assert.equal(snapshot.oldestReadyAt === undefined, snapshot.counts.ready === 0, "oldestReadyAt when ready");
}

async function idsIn(storage: Storage, queue: QueueName, state: TaskState): Promise<readonly TaskId[]> {
  const ids: TaskId[] = [];
  let cursor: string | undefined;
  do {
    const page = await storage.list(queue, { state, limit: 200, ...(cursor !== undefined && { cursor }) });
    for (const task of page.tasks) {
      assert.equal(task.state, state, `I1: task ${task.id} is listed as ${state}`);
      ids.push(task.id);
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  return ids;
}
