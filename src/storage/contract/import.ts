import assert from "node:assert/strict";
import { newTaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { Task } from "../../task/task.ts";
import type { StoredTask } from "../stored-task.ts";
import { aTask, completed, payloadOf, QUEUE, tasks } from "./builders.ts";
import { everything, exported, move, populate } from "./moving.ts";
import type { Suite } from "./suite.ts";

export function importChapter(suite: Suite): void {
  suite.pairTest("shows every task in the new store as it was, in the same order", async (from, to) => {
    await populate(from);

    await move(from, to);

    assert.deepEqual(await everything(to), await everything(from));
    const whole = await exported(from.storage);
    assert.deepEqual((await exported(to.storage)).tasks, whole.tasks);
  });

  suite.pairTest("keeps counts, totals, configuration and the pause", async (from, to) => {
    await populate(from);
    await from.storage.configure(QUEUE, { paused: true });

    await move(from, to);

    assert.deepEqual(await to.storage.snapshot(QUEUE), await from.storage.snapshot(QUEUE));
  });

  suite.pairTest("moves a queue without tasks", async (from, to) => {
    await from.configure({ maxAttempts: 7 });

    await move(from, to);

    assert.deepEqual(await to.storage.queues(), [QUEUE]);
    assert.equal((await to.storage.snapshot(QUEUE))?.config.maxAttempts, 7);
  });

  suite.test("makes the queue, also for an empty batch", async (stage) => {
    assert.deepEqual(await stage.storage.importTasks(QUEUE, {}), { imported: 0 });
    assert.deepEqual(await stage.storage.queues(), [QUEUE]);
  });

  suite.pairTest("takes tasks in whatever the queue's depth is bounded to", async (from, to) => {
    await from.enqueue(...tasks(5));
    await from.configure({ maxDepth: 2 });

    await move(from, to);

    assert.equal((await to.counts()).ready, 5);
    assert.equal((await to.storage.enqueue(QUEUE, [aTask()]))[0]?.kind, "queue-full");
  });

  suite.pairTest("moves the largest payload and result", async (from, to) => {
    await from.enqueue(
      aTask({ payload: payloadOf(LIMITS.payloadBytesMax) }),
      aTask({ payload: '"\\u0000 \\" 🦔"' }),
    );
    await from.settle(completed(await from.claimOne(), payloadOf(LIMITS.payloadBytesMax)));

    await move(from, to);

    assert.deepEqual(await everything(to), await everything(from));
  });

  suite.reopenPairTest("keeps what arrived over close and reopen", async (from, to) => {
    const held = await populate(from);
    await move(from, to);
    const before = await exported(to.storage);
    const counts = await to.storage.snapshot(QUEUE);

    await to.reopen();

    assert.deepEqual(await to.storage.snapshot(QUEUE), counts);
    assert.deepEqual(await exported(to.storage), before);
    assert.deepEqual(await everything(to), await everything(from));
    for (const task of await to.claimAll()) {
      const past = before.tasks.find((stored) => stored.task.id === task.id);
      assert.ok(past && task.lease.fence > past.fence, `the fence of ${task.id} grows`);
    }
    assert.equal((await to.settle(...held.map((task) => completed(task))))[2]?.kind, "completed");
  });
}

export function importAgainChapter(suite: Suite): void {
  suite.pairTest("changes nothing when all of it comes again", async (from, to) => {
    await populate(from);
    await move(from, to);
    const before = await exported(to.storage);
    const counts = await to.storage.snapshot(QUEUE);

    await move(from, to, 5);

    assert.deepEqual(await exported(to.storage), before);
    assert.deepEqual(await to.storage.snapshot(QUEUE), counts);
  });

  suite.pairTest("ends in the same order when it begins again half-way", async (from, to) => {
    await populate(from);
    const half = await from.storage.exportTasks(QUEUE, { limit: 4 });
    await to.storage.importTasks(QUEUE, { tasks: half.tasks.slice(0, 2) });

    await move(from, to);

    assert.deepEqual(await everything(to), await everything(from));
  });

  suite.test("takes a task that comes twice in one call once", async (stage) => {
    const task: Task = {
      id: newTaskId(QUEUE),
      queue: QUEUE,
      priority: 3,
      payload: "1",
      attempt: 0,
      maxAttempts: 5,
      createdAt: 1_000,
      runAt: 1_000,
      failures: [],
      state: "ready",
    };
    const stored: StoredTask = {
      task,
      backoff: { type: "fixed", baseMs: 1, capMs: 1, jitter: "none" },
      releases: 0,
      fence: 0,
    };

    assert.deepEqual(await stage.storage.importTasks(QUEUE, { tasks: [stored, stored] }), { imported: 1 });
    assert.deepEqual(await stage.listAll({ state: "ready" }), [task]);
  });

  suite.pairTest("leaves a task alone that has gone on in the new store", async (from, to) => {
    const [{ id }] = await from.enqueue(aTask());
    await move(from, to);
    await to.settle(completed(await to.claimOne(), "1"));

    await move(from, to);

    assert.equal((await to.taskIn(id, "completed")).result, "1");
    assert.equal((await to.counts()).ready, 0);
  });

  suite.pairTest("sets the total of removed tasks, and adds nothing when told again", async (from, to) => {
    await from.enqueue(...tasks(4));
    await from.storage.purge(QUEUE, "ready", 3);
    await move(from, to);
    await move(from, to);

    const snapshot = await to.storage.snapshot(QUEUE);
    assert.equal(snapshot?.pruned, 3);
    assert.equal(snapshot?.enqueued, 4);
  });
}
