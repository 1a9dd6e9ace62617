import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { aTask, completed, QUEUE, refused, tasks } from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;
const PURGEABLE = ["scheduled", "ready", "completed", "dead", "cancelled"] as const;

export function purgeContract(suite: Suite): void {
  for (const state of PURGEABLE)
    suite.test(`removes every ${state} task at once, and no other`, async (stage) => {
      await twoInEachState(stage);

      const reply = await stage.storage.purge(QUEUE, state, 10);

      assert.deepEqual(reply, { pruned: 2, more: false });
      const counts = await stage.counts();
      for (const other of [...PURGEABLE, "leased"] as const)
        assert.equal(counts[other], other === state ? 0 : 2, `tasks that are ${other}`);
      const snapshot = await stage.storage.snapshot(QUEUE);
      assert.deepEqual([snapshot?.enqueued, snapshot?.pruned], [12, 2]);
      assert.deepEqual(await stage.listAll({ state }), []);
    });

  suite.test("removes at most so many as it is told, and says whether more are there", async (stage) => {
    await stage.enqueue(...tasks(5));

    const replies = [];
    for (const limit of [2, 3, 3]) replies.push(await stage.storage.purge(QUEUE, "ready", limit));

    assert.deepEqual(replies, [
      { pruned: 2, more: true },
      { pruned: 3, more: false },
      { pruned: 0, more: false },
    ]);
  });

  suite.test("removes five hundred in one step", async (stage) => {
    await stage.enqueue(...tasks(LIMITS.stepMax + 1, { delayMs: MINUTE }));

    const reply = await stage.storage.purge(QUEUE, "scheduled", LIMITS.stepMax);

    assert.deepEqual(reply, { pruned: LIMITS.stepMax, more: true });
  });

  suite.test("leaves the order of the ready tasks that stay as it was", async (stage) => {
    const wanted = tasks(10, { priority: 3 });
    await stage.enqueue(...wanted);
    await stage.storage.cancel(QUEUE, [wanted[6]!.id]);
    await stage.storage.purge(QUEUE, "ready", 4);
    const [last] = await stage.enqueue(aTask({ priority: 3 }));

    const order = idsOf(await stage.claimAll());

    const kept = new Set(order);
    assert.equal(order.length, 6);
    assert.deepEqual(order, [...idsOf(wanted).filter((id) => kept.has(id)), last.id]);
  });

  suite.test("makes room in a queue with a bound on its depth", async (stage) => {
    await stage.configure({ maxDepth: 2 });
    await stage.enqueue(aTask(), aTask({ delayMs: MINUTE }));
    await stage.storage.purge(QUEUE, "scheduled", 10);

    const outcomes = await stage.storage.enqueue(QUEUE, tasks(2));

    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["enqueued", "queue-full"],
    );
  });

  suite.test("removes nothing from a queue that does not exist", async (stage) => {
    assert.deepEqual(await stage.storage.purge(QUEUE, "ready", 10), { pruned: 0, more: false });
    assert.equal(await stage.storage.snapshot(QUEUE), undefined);
  });

  suite.reopenTest("does not bring a removed task back by close and reopen", async (stage) => {
    await stage.enqueue(...tasks(3));
    await stage.storage.purge(QUEUE, "ready", 2);
    const before = await stage.storage.snapshot(QUEUE);
    await stage.reopen();

    assert.deepEqual(await stage.storage.snapshot(QUEUE), before);
    assert.equal((await stage.claimAll()).length, 1);
  });
}

/** Two tasks each that are scheduled, ready, leased, completed, dead and cancelled. */
async function twoInEachState(stage: Stage): Promise<void> {
  await stage.enqueue(...tasks(8));
  const [, , a, b, c, d, e, f] = await stage.claim(8);
  await stage.settle(completed(a), completed(b), refused(c), refused(d));
  await stage.storage.cancel(QUEUE, [e.id, f.id]);
  await stage.enqueue(...tasks(2), ...tasks(2, { delayMs: MINUTE }));
}
