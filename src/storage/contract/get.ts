import assert from "node:assert/strict";
import { newTaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import { aQueue, aTask, nacked, QUEUE, tasks } from "./builders.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

export function getContract(suite: Suite): void {
  suite.test("reads tasks in the order of the ids, with gaps where there is none", async (stage) => {
    const [a, b] = await stage.enqueue(aTask({ payload: "1" }), aTask({ payload: "2", priority: 3 }));

    const found = await stage.storage.get(QUEUE, [b.id, newTaskId(QUEUE), a.id, b.id]);

    assert.deepEqual(found, [b, undefined, a, b]);
  });

  suite.test("shows the lease of a leased task without its token", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ leaseMs: 60_000, worker: "w" });

    const { token, ...lease } = task.lease;

    assert.deepEqual(await stage.task(task.id), { ...task, lease });
    assert.equal(JSON.stringify(await stage.task(task.id)).includes(token), false);
  });

  suite.test("shows a lease that has expired and that nobody reaped as it stands", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ leaseMs: 60_000 });
    await stage.advance(120_000);

    const stored = await stage.taskIn(task.id, "leased");

    assert.equal(stored.lease.expiresAt, task.lease.expiresAt);
  });

  suite.test("gives out values that a caller may keep: a later step does not change them", async (stage) => {
    const [before] = await stage.enqueue(aTask({ tags: { a: "b" } }));
    const copy = structuredClone(before);
    const task = await stage.claimOne();
    const leased = await stage.task(task.id);
    const leasedCopy = structuredClone(leased);

    await stage.settle(nacked(task, { error: "told", delayMs: 0 }));

    assert.deepEqual(before, copy);
    assert.deepEqual(leased, leasedCopy);
  });

  suite.test("reads a thousand tasks in one call, and nothing for nothing", async (stage) => {
    const wanted = tasks(LIMITS.batchMax);
    await stage.enqueue(...wanted);

    const found = await stage.storage.get(QUEUE, idsOf(wanted));

    assert.deepEqual(
      found.map((task) => task?.payload),
      wanted.map(({ payload }) => payload),
    );
    assert.deepEqual(await stage.storage.get(QUEUE, []), []);
  });

  suite.test("finds nothing in a queue that does not exist, and makes none", async (stage) => {
    const nowhere = aQueue("nowhere");

    assert.deepEqual(await stage.storage.get(nowhere, [newTaskId(nowhere)]), [undefined]);
    assert.deepEqual(await stage.storage.queues(), []);
  });
}
