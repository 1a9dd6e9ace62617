import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { DEFAULT_QUEUE_CONFIG } from "../../task/queue.ts";
import { aQueue, aTask, nacked, QUEUE, tasks } from "./builders.ts";
import { idempotencyKeyContract } from "./idempotency-key.ts";
import { maxDepthContract } from "./max-depth.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function enqueueContract(suite: Suite): void {
  tasksOfEveryKind(suite);
  suite.chapter("with an idempotency key", idempotencyKeyContract);
  suite.chapter("into a queue with a bound on its depth", maxDepthContract);
}

function tasksOfEveryKind(suite: Suite): void {
  suite.test("adds a task that is ready at once", async (stage) => {
    const wanted = aTask();

    const [task] = await stage.enqueue(wanted);

    assert.deepEqual(task, {
      id: wanted.id,
      queue: QUEUE,
      state: "ready",
      priority: 0,
      payload: "null",
      attempt: 0,
      maxAttempts: DEFAULT_QUEUE_CONFIG.maxAttempts,
      createdAt: task.createdAt,
      runAt: task.createdAt,
      failures: [],
    });
    assert.deepEqual(await stage.task(task.id), task);
    assert.equal((await stage.counts()).ready, 1);
  });

  suite.test("keeps everything that a producer said", async (stage) => {
    const wanted = aTask({
      payload: '{"to":"ada@example.org"}',
      priority: 9,
      delayMs: MINUTE,
      maxAttempts: 100,
      idempotencyKey: "welcome-ada",
      tags: { tenant: "nord", "trace id": "00-4bf9" },
    });

    const [task] = await stage.enqueue(wanted);

    assert.deepEqual(task, {
      id: wanted.id,
      queue: QUEUE,
      state: "scheduled",
      priority: 9,
      payload: '{"to":"ada@example.org"}',
      attempt: 0,
      maxAttempts: 100,
      createdAt: task.createdAt,
      runAt: task.createdAt + MINUTE,
      idempotencyKey: "welcome-ada",
      tags: { tenant: "nord", "trace id": "00-4bf9" },
      failures: [],
    });
    assert.deepEqual(await stage.task(task.id), task);
  });

  suite.test("keeps payload and tags as they are, in every script and with every blank", async (stage) => {
    const payloads = [
      '{"b" : 1.0,\n\t"a":[ ]}',
      '"\\u0000\\ud800 Grüße, 世界, مرحبا, 👩‍👩‍👧‍👦"',
      '"\u2028\u2029\u0085\ufeff\ufffd"',
      '""',
      "-0",
      "1e400",
    ];
    const tags = JSON.parse('{"größe":"🦔","ключ":"\\n\\u0000","toString":"own","__proto__":"too"}');

    const enqueued = await stage.enqueue(...payloads.map((payload) => aTask({ payload, tags })));
    const claimed = await stage.claim(payloads.length);

    for (const seen of [enqueued, claimed, await stage.storage.get(QUEUE, idsOf(enqueued))]) {
      assert.deepEqual(
        seen.map((task) => task?.payload),
        payloads,
      );
      for (const task of seen) assert.deepEqual({ ...task?.tags }, tags);
    }
  });

  suite.test("fills what a task leaves out from the queue's configuration of that moment", async (stage) => {
    await stage.configure({ maxAttempts: 1, backoff: { type: "fixed", baseMs: MINUTE, jitter: "none" } });
    const [before] = await stage.enqueue(aTask());
    await stage.configure({ maxAttempts: 7, backoff: { baseMs: 2 * MINUTE } });
    const [after] = await stage.enqueue(aTask());

    assert.equal(before.maxAttempts, 1);
    assert.equal((await stage.task(before.id)).maxAttempts, 1);
    assert.equal(after.maxAttempts, 7);

    const [first, second] = await stage.claim(2);
    const outcomes = await stage.settle(nacked(first), nacked(second));
    assert.deepEqual(
      outcomes.map((outcome) => outcome.kind),
      ["dead", "scheduled"],
    );
  });

  suite.test("takes from the queue's backoff what a task's own leaves open", async (stage) => {
    await stage.configure({ backoff: { type: "fixed", baseMs: MINUTE, jitter: "none" } });
    await stage.enqueue(aTask({ backoff: { baseMs: 2 * MINUTE } }));
    await stage.configure({ backoff: { type: "exponential", baseMs: 1, jitter: "full" } });

    const task = await stage.claimOne();
    const [outcome] = await stage.settle(nacked(task));

    assert.equal(outcome?.kind, "scheduled");
    const later = await stage.taskIn(task.id, "scheduled");
    stage.assertAbout(later.runAt, task.lease.claimedAt + 2 * MINUTE);
  });

  suite.test("schedules a task for a delay or a moment to come", async (stage) => {
    const [now] = await stage.enqueue(aTask());
    const at = now.createdAt + 10 * MINUTE;
    const [delayed, timed, farAway] = await stage.enqueue(
      aTask({ delayMs: MINUTE }),
      aTask({ runAt: at }),
      aTask({ runAt: LIMITS.runAtMax }),
    );

    assert.equal(delayed.state, "scheduled");
    assert.equal(delayed.runAt, delayed.createdAt + MINUTE);
    assert.equal(timed.state, "scheduled");
    assert.equal(timed.runAt, at);
    assert.equal(farAway.runAt, LIMITS.runAtMax);
    assert.equal((await stage.counts()).scheduled, 3);
  });

  suite.test("takes a moment in the past as now", async (stage) => {
    const [longAgo, atOnce] = await stage.enqueue(aTask({ runAt: 0 }), aTask({ delayMs: 0 }));

    assert.equal(longAgo.state, "ready");
    assert.equal(longAgo.runAt, longAgo.createdAt);
    assert.equal(atOnce.state, "ready");
    assert.equal(atOnce.runAt, atOnce.createdAt);
  });

  suite.exactTest("takes this very millisecond as now, and the next one as later", async (stage) => {
    const [{ createdAt: now }] = await stage.enqueue(aTask());

    const [atOnce, later] = await stage.enqueue(aTask({ runAt: now }), aTask({ runAt: now + 1 }));

    assert.equal(atOnce.state, "ready");
    assert.equal(later.state, "scheduled");
  });

  suite.test("adds a thousand tasks in one call and answers in their order", async (stage) => {
    const wanted = tasks(LIMITS.batchMax);

    const enqueued = await stage.enqueue(...wanted);

    assert.deepEqual(idsOf(enqueued), idsOf(wanted));
    assert.deepEqual(idsOf(await stage.claimAll()), idsOf(wanted));
  });

  suite.test("adds nothing for an empty call, and makes no queue of it", async (stage) => {
    assert.deepEqual(await stage.storage.enqueue(QUEUE, []), []);
    assert.equal(await stage.storage.snapshot(QUEUE), undefined);
    assert.deepEqual(await stage.storage.queues(), []);
  });

  suite.test("adds a task that is sent again with its id only once", async (stage) => {
    const wanted = aTask({ payload: '"once"' });
    const keyed = aTask({ payload: '"once"', idempotencyKey: "once" });
    const [sent, sentWithKey] = await stage.enqueue(wanted, keyed);
    await stage.claimOne();

    const again = await stage.storage.enqueue(QUEUE, [wanted, keyed]);

    assert.deepEqual(again, [
      { kind: "enqueued", task: await stage.task(sent.id) },
      { kind: "enqueued", task: sentWithKey },
    ]);
    assert.equal((await stage.storage.snapshot(QUEUE))?.enqueued, 2);
    assert.equal((await stage.claimAll()).length, 1);
  });

  suite.test("keeps queues apart", async (stage) => {
    const other = aQueue("Emails");
    const [here] = await stage.enqueue(aTask());
    const [there] = await stage.enqueueTo(other, aTask({}, other));

    assert.equal((await stage.claimOne()).id, here.id);
    assert.deepEqual(await stage.storage.get(QUEUE, [there.id]), [undefined]);
    assert.equal((await stage.counts(other)).ready, 1);
    assert.deepEqual(await stage.storage.queues(), [other, QUEUE]);
  });
}
