import assert from "node:assert/strict";
import { newTaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import { aTask, completed, heartbeatOf, nacked, QUEUE, refused, tasks } from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function cancelContract(suite: Suite): void {
  suite.test("ends a scheduled, a ready and a leased task", async (stage) => {
    const [leased, ready, scheduled] = await stage.enqueue(aTask(), aTask(), aTask({ delayMs: MINUTE }));
    const held = await stage.claimOne();
    await stage.advance(100);

    const outcomes = await stage.storage.cancel(QUEUE, idsOf([scheduled, leased, ready]));

    const [first, second, third] = [
      await stage.taskIn(scheduled.id, "cancelled"),
      await stage.taskIn(leased.id, "cancelled"),
      await stage.taskIn(ready.id, "cancelled"),
    ];
    assert.deepEqual(outcomes, [
      { kind: "moved", task: first },
      { kind: "moved", task: second },
      { kind: "moved", task: third },
    ]);
    for (const task of [first, second, third]) stage.assertAbout(task.finishedAt, ready.createdAt + 100);
    assert.equal(second.attempt, 1);
    assert.deepEqual(second.failures, []);
    assert.equal("lease" in second, false);
    assert.deepEqual(await stage.settle(completed(held)), [{ kind: "lease-lost", state: "cancelled" }]);
  });

  suite.test("leaves nothing in the way of others, also when it is gone", async (stage) => {
    const [first, , third] = await stage.enqueue(aTask(), aTask(), aTask());
    await removeFromTheMiddle(stage, 1);

    assert.deepEqual(idsOf(await stage.listAll({ state: "ready" })), [first.id, third.id]);
    assert.deepEqual(idsOf(await stage.claim(2)), [first.id, third.id]);

    const [fourth, , sixth] = await stage.enqueue(aTask(), aTask(), aTask());
    await removeFromTheMiddle(stage, 1);
    await removeFromTheMiddle(stage, 0);

    assert.deepEqual(idsOf(await stage.claim(1)), [sixth.id]);
    assert.deepEqual(await stage.storage.get(QUEUE, [fourth.id]), [undefined]);
  });

  suite.test("is not purged with the ready tasks between which it stood", async (stage) => {
    await stage.enqueue(...tasks(4));
    await removeFromTheMiddle(stage, 1);

    assert.deepEqual(await stage.storage.purge(QUEUE, "ready", 2), { pruned: 2, more: true });
    assert.equal((await stage.claimAll()).length, 1);
  });

  suite.test("tells the holder of a cancelled task at its next heartbeat", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.storage.cancel(QUEUE, [task.id]);

    const [outcome] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(task)]);

    assert.deepEqual(outcome, { kind: "lease-lost", state: "cancelled" });
  });

  suite.test("leaves finished and unknown tasks as they are", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [done, dead, cancelled] = await stage.claim(3);
    await stage.settle(completed(done), refused(dead));
    await stage.storage.cancel(QUEUE, [cancelled.id]);
    const before = await stage.storage.get(QUEUE, idsOf([done, dead, cancelled]));

    const outcomes = await stage.storage.cancel(QUEUE, [...idsOf([done, dead, cancelled]), newTaskId(QUEUE)]);

    assert.deepEqual(outcomes, [
      { kind: "wrong-state", state: "completed" },
      { kind: "wrong-state", state: "dead" },
      { kind: "wrong-state", state: "cancelled" },
      { kind: "not-found" },
    ]);
    assert.deepEqual(await stage.storage.get(QUEUE, idsOf([done, dead, cancelled])), before);
  });

  suite.test("ends a task that is named twice once", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask());

    const outcomes = await stage.storage.cancel(QUEUE, [id, id]);

    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["moved", "wrong-state"],
    );
  });

  suite.test("ends a task whose lease has expired and which nobody reaped", async (stage) => {
    await stage.enqueue(aTask());
    const { id } = await stage.claimOne({ leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);

    const [outcome] = await stage.storage.cancel(QUEUE, [id]);

    assert.equal(outcome?.kind, "moved");
    assert.equal(await stage.reapAll(), 0);
  });

  suite.test("takes ready tasks out of the middle, the head and the tail of their line", async (stage) => {
    const wanted = tasks(50);
    await stage.enqueue(...wanted);
    const gone = new Set([0, 1, 2, 10, 11, 25, 30, 47, 48, 49].map((place) => wanted[place]!.id));
    await stage.storage.cancel(QUEUE, [...gone]);
    const [last] = await stage.enqueue(aTask());

    assert.equal((await stage.counts()).ready, 41);
    const listed = idsOf(await stage.listAll({ state: "ready" }));
    const order = idsOf(await stage.claimAll());

    const kept = idsOf(wanted).filter((id) => !gone.has(id));
    assert.deepEqual(listed, [...kept, last.id]);
    assert.deepEqual(order, [...kept, last.id]);
  });

  suite.test("leaves an empty line behind that fills again", async (stage) => {
    const wanted = tasks(20);
    await stage.enqueue(...wanted);
    await stage.storage.cancel(QUEUE, idsOf(wanted));

    assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 5 }]), { grants: [[]], more: false });
    assert.equal((await stage.storage.snapshot(QUEUE))?.oldestReadyAt, undefined);
    const [next] = await stage.enqueue(aTask());
    assert.equal((await stage.claimOne()).id, next.id);
  });

  suite.test("finds a task behind a thousand cancelled ones", async (stage) => {
    const wanted = tasks(LIMITS.batchMax);
    await stage.enqueue(...wanted, aTask({ payload: '"last"' }));
    await stage.storage.cancel(QUEUE, idsOf(wanted));

    const claimed = await stage.claimAll({ max: 1 });

    assert.deepEqual(
      claimed.map(({ payload }) => payload),
      ['"last"'],
    );
  });

  suite.test("keeps what a failed task told, and never runs it again", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.settle(nacked(task, { error: "told", delayMs: MINUTE }));
    await stage.storage.cancel(QUEUE, [task.id]);
    await stage.advance(2 * MINUTE);

    assert.equal(await stage.promoteAll(), 0);
    const stored = await stage.taskIn(task.id, "cancelled");
    assert.equal(stored.lastError, "told");
    assert.equal(stored.attempt, 1);
  });

  suite.test("cancels a thousand in one call, and nothing in a queue that does not exist", async (stage) => {
    const wanted = tasks(LIMITS.batchMax);
    assert.deepEqual(await stage.storage.cancel(QUEUE, idsOf(wanted.slice(0, 1))), [{ kind: "not-found" }]);
    assert.deepEqual(await stage.storage.cancel(QUEUE, []), []);
    await stage.enqueue(...wanted);

    const outcomes = await stage.storage.cancel(QUEUE, idsOf(wanted));

    assert.equal(outcomes.filter(({ kind }) => kind === "moved").length, LIMITS.batchMax);
    assert.equal((await stage.counts()).cancelled, LIMITS.batchMax);
  });
}

/** Cancels the ready task of this place, and removes it. */
async function removeFromTheMiddle(stage: Stage, place: number): Promise<void> {
  const ready = await stage.listAll({ state: "ready" });
  await stage.storage.cancel(QUEUE, idsOf(ready.slice(place, place + 1)));
  assert.equal(await stage.storage.purge(QUEUE, "cancelled", 1).then(({ pruned }) => pruned), 1);
}
