import assert from "node:assert/strict";
import { DEFAULT_QUEUE_CONFIG } from "../../task/queue.ts";
import { aQueue, aTask, completed, nacked, QUEUE, refused, released, tasks } from "./builders.ts";
import type { Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;
const EMPTY = { scheduled: 0, ready: 0, leased: 0, completed: 0, dead: 0, cancelled: 0 };

export function snapshotContract(suite: Suite): void {
  suite.test("does not know a queue before its first task or configuration", async (stage) => {
    assert.equal(await stage.storage.snapshot(QUEUE), undefined);
    assert.deepEqual(await stage.storage.queues(), []);
  });

  suite.test("knows a queue from its first task on, for ever", async (stage) => {
    await stage.enqueue(aTask());
    await stage.storage.purge(QUEUE, "ready", 1);

    assert.deepEqual(await stage.storage.snapshot(QUEUE), {
      queue: QUEUE,
      paused: false,
      config: DEFAULT_QUEUE_CONFIG,
      counts: EMPTY,
      enqueued: 1,
      pruned: 1,
    });
    assert.deepEqual(await stage.storage.queues(), [QUEUE]);
  });

  suite.test("counts tasks in every state", async (stage) => {
    await everyState(stage);

    assert.deepEqual(await stage.counts(), {
      scheduled: 2,
      ready: 1,
      leased: 1,
      completed: 1,
      dead: 1,
      cancelled: 1,
    });
    const snapshot = await stage.storage.snapshot(QUEUE);
    assert.deepEqual([snapshot?.enqueued, snapshot?.pruned], [7, 0]);
  });

  suite.test("says since when the task that waits longest is ready", async (stage) => {
    const oldest = async () => (await stage.storage.snapshot(QUEUE))?.oldestReadyAt;
    const [{ createdAt }] = await stage.enqueue(aTask({ priority: 1 }));
    await stage.advance(MINUTE);
    await stage.enqueue(aTask({ priority: 9 }), aTask({ priority: 1 }));
    assert.equal(await oldest(), createdAt);

    const urgent = await stage.claimOne({ leaseMs: 10 * MINUTE });
    assert.equal(await oldest(), createdAt, "the oldest waits behind a more urgent one");
    await stage.claimOne();
    stage.assertAbout(await oldest(), createdAt + MINUTE);
    await stage.claimOne();
    assert.equal(await oldest(), undefined);

    await stage.advance(MINUTE);
    await stage.settle(nacked(urgent, { delayMs: 0 }));
    stage.assertAbout(await oldest(), createdAt + 2 * MINUTE);
  });

  suite.test("counts the wait of a promoted task from the time that it was due", async (stage) => {
    const [{ runAt }] = await stage.enqueue(aTask({ delayMs: 10 * MINUTE }));
    await stage.advance(12 * MINUTE);
    await stage.promoteAll();

    assert.equal((await stage.storage.snapshot(QUEUE))?.oldestReadyAt, runAt);
  });

  suite.test("names all queues, sorted", async (stage) => {
    for (const name of ["b", "a.2", "a-1", "B", "10", "9"]) {
      const queue = aQueue(name);
      await stage.enqueueTo(queue, aTask({}, queue));
    }
    await stage.storage.configure(aQueue("a"), {});

    assert.deepEqual(await stage.storage.queues(), ["10", "9", "B", "a", "a-1", "a.2", "b"]);
  });

  suite.test("counts each queue for itself", async (stage) => {
    const other = aQueue("letters");
    await stage.enqueue(...tasks(3));
    await stage.enqueueTo(other, aTask({}, other));
    await stage.claimOne();

    assert.deepEqual(await stage.counts(), { ...EMPTY, ready: 2, leased: 1 });
    assert.deepEqual(await stage.counts(other), { ...EMPTY, ready: 1 });
  });

  suite.reopenTest("counts the same after close and reopen", async (stage) => {
    await everyState(stage);
    await stage.advance(MINUTE);
    const before = await stage.storage.snapshot(QUEUE);
    await stage.reopen();

    assert.deepEqual(await stage.storage.snapshot(QUEUE), before);
  });
}

async function everyState(stage: Stage): Promise<void> {
  await stage.enqueue(...tasks(6), aTask({ delayMs: MINUTE }));
  const [done, dead, failed, cancelled, back] = await stage.claim(6);
  await stage.settle(completed(done), refused(dead), nacked(failed, { delayMs: MINUTE }), released(back));
  await stage.storage.cancel(QUEUE, [cancelled.id]);
}
