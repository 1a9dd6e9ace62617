import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { aTask, nacked, QUEUE, tasks } from "./builders.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;
const NOTHING = { latenessMs: [], more: false };

export function promoteDueContract(suite: Suite): void {
  suite.test("promotes a delayed task at its time, not before", async (stage) => {
    const [{ id, runAt }] = await stage.enqueue(aTask({ delayMs: 10 * MINUTE }));

    await stage.advance(9 * MINUTE);
    assert.deepEqual(await stage.storage.promoteDue(QUEUE, 10), NOTHING);
    await stage.advance(2 * MINUTE);
    const reply = await stage.storage.promoteDue(QUEUE, 10);

    assert.equal(reply.more, false);
    assert.equal(reply.latenessMs.length, 1);
    stage.assertAbout(reply.latenessMs[0], MINUTE);
    const stored = await stage.taskIn(id, "ready");
    assert.equal(stored.runAt, runAt);
    assert.equal((await stage.claimOne()).id, id);
  });

  suite.exactTest("promotes at the exact millisecond", async (stage) => {
    await stage.enqueue(aTask({ delayMs: 1_000 }));

    await stage.advance(999);
    assert.deepEqual(await stage.storage.promoteDue(QUEUE, 10), NOTHING);
    await stage.advance(1);
    assert.deepEqual(await stage.storage.promoteDue(QUEUE, 10), { latenessMs: [0], more: false });
  });

  suite.test("promotes what is due earliest first", async (stage) => {
    const [now] = await stage.enqueue(aTask({ priority: 9 }));
    await stage.claimOne();
    const minutes = [5, 3, 8, 1, 9, 2, 7, 4, 6];
    const scheduled = await stage.enqueue(
      ...minutes.map((minute) => aTask({ runAt: now.createdAt + minute * MINUTE, payload: String(minute) })),
    );
    await stage.advance(10 * MINUTE);

    const { latenessMs } = await stage.storage.promoteDue(QUEUE, 500);

    assert.equal(latenessMs.length, 9);
    latenessMs.forEach((late, place) => {
      stage.assertAbout(late, (9 - place) * MINUTE);
    });
    const order = await stage.claim(scheduled.length);
    assert.deepEqual(
      order.map(({ payload }) => Number(payload)),
      minutes.toSorted(),
    );
  });

  suite.test(
    "keeps tasks that are due in one millisecond in the order in which they were scheduled",
    async (stage) => {
      const [{ createdAt }] = await stage.enqueue(aTask());
      await stage.claimOne();
      const wanted = tasks(100, { runAt: createdAt + MINUTE });
      await stage.enqueue(...wanted.slice(0, 60));
      for (const task of wanted.slice(60)) await stage.enqueue(task);
      await stage.advance(2 * MINUTE);

      await stage.storage.promoteDue(QUEUE, 30);
      await stage.storage.promoteDue(QUEUE, 500);

      assert.deepEqual(idsOf(await stage.claimAll()), idsOf(wanted));
    },
  );

  suite.test("puts promoted tasks at the tail of their priority", async (stage) => {
    const [low, high] = await stage.enqueue(
      aTask({ delayMs: MINUTE }),
      aTask({ delayMs: MINUTE, priority: 5 }),
    );
    await stage.advance(2 * MINUTE);
    const [lowBefore, highBefore] = await stage.enqueue(aTask(), aTask({ priority: 5 }));

    await stage.promoteAll();

    const order = idsOf(await stage.claimAll());
    assert.deepEqual(order, [highBefore.id, high.id, lowBefore.id, low.id]);
  });

  suite.test("promotes at most so many as it is told, and says whether more are due", async (stage) => {
    await stage.enqueue(...tasks(5, { delayMs: MINUTE }), aTask({ delayMs: 60 * MINUTE }));
    await stage.advance(2 * MINUTE);

    const replies = [];
    for (const limit of [2, 2, 2, 2]) replies.push(await stage.storage.promoteDue(QUEUE, limit));

    assert.deepEqual(
      replies.map(({ latenessMs, more }) => [latenessMs.length, more]),
      [
        [2, true],
        [2, true],
        [1, false],
        [0, false],
      ],
    );
    assert.deepEqual((await stage.counts()).scheduled, 1);
  });

  suite.test("says that no more are due when the last one fills its limit", async (stage) => {
    await stage.enqueue(...tasks(2, { delayMs: MINUTE }));
    await stage.advance(2 * MINUTE);

    const { latenessMs, more } = await stage.storage.promoteDue(QUEUE, 2);

    assert.deepEqual([latenessMs.length, more], [2, false]);
  });

  suite.test("promotes five hundred in one step", async (stage) => {
    await stage.enqueue(...tasks(LIMITS.stepMax + 1, { delayMs: MINUTE }));
    await stage.advance(2 * MINUTE);

    const { latenessMs, more } = await stage.storage.promoteDue(QUEUE, LIMITS.stepMax);

    assert.deepEqual([latenessMs.length, more], [LIMITS.stepMax, true]);
  });

  suite.test("promotes a task whose backoff is over", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.settle(nacked(task, { delayMs: MINUTE }));
    await stage.advance(2 * MINUTE);

    assert.equal(await stage.promoteAll(), 1);
    assert.equal((await stage.claimOne()).attempt, 2);
  });

  suite.test("leaves tasks alone that left the schedule before their time", async (stage) => {
    const [cancelled, requeued, deleted] = await stage.enqueue(...tasks(3, { delayMs: MINUTE }));
    await stage.storage.cancel(QUEUE, [cancelled!.id]);
    await stage.storage.requeue(QUEUE, [requeued!.id]);
    await stage.storage.purge(QUEUE, "scheduled", 1);
    await stage.advance(2 * MINUTE);

    assert.deepEqual(await stage.storage.promoteDue(QUEUE, 10), NOTHING);
    assert.equal((await stage.claimAll()).length, 1);
    assert.deepEqual(await stage.storage.get(QUEUE, [deleted!.id]), [undefined]);
  });

  suite.test("promotes in a paused queue, and nothing in one that does not exist", async (stage) => {
    assert.deepEqual(await stage.storage.promoteDue(QUEUE, 10), NOTHING);
    await stage.enqueue(aTask({ delayMs: MINUTE }));
    await stage.storage.configure(QUEUE, { paused: true });
    await stage.advance(2 * MINUTE);

    assert.equal(await stage.promoteAll(), 1);
  });
}
