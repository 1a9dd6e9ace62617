import assert from "node:assert/strict";
import { DEFAULT_QUEUE_CONFIG } from "../../task/queue.ts";
import { aTask, completed, nacked, QUEUE, released, tasks } from "./builders.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

/**
 * Enqueues, claims and completions of a single task, as a producer and a worker with one slot send them. An engine
 * may have a shorter way for these: from the second on, while an earlier lease is known, with nothing cancelled.
 */
export function oneAtATimeContract(suite: Suite): void {
  singleEnqueues(suite);
  singleClaims(suite);
  singleCompletions(suite);
}

function singleEnqueues(suite: Suite): void {
  suite.test("adds a task that is sent alone, and once more, only once and as it was", async (stage) => {
    await stage.enqueue(aTask());
    const [sent] = await stage.enqueue(aTask({ payload: '"once"', tags: { a: "b" } }));

    const again = await stage.storage.enqueue(QUEUE, [aTask({ id: sent.id, payload: '"twice"' })]);

    assert.deepEqual(again, [{ kind: "enqueued", task: sent }]);
    assert.deepEqual(await stage.task(sent.id), sent);
    const snapshot = await stage.storage.snapshot(QUEUE);
    assert.deepEqual([snapshot?.enqueued, snapshot?.counts.ready], [2, 2]);
  });

  suite.test("hands out once a task that came alone, was cancelled and brought back", async (stage) => {
    const [first] = await stage.enqueue(aTask());
    const [second] = await stage.enqueue(aTask());
    await stage.storage.cancel(QUEUE, [second.id]);
    await stage.storage.requeue(QUEUE, [second.id]);

    assert.deepEqual(idsOf(await stage.claimAll()), [first.id, second.id]);
  });

  suite.test("fills a task that comes alone from the queue's configuration", async (stage) => {
    await stage.configure({
      maxAttempts: 2,
      backoff: { type: "fixed", baseMs: 7 * MINUTE, capMs: 9 * MINUTE, jitter: "none" },
    });
    await stage.enqueue(aTask());
    const [second] = await stage.enqueue(aTask());
    const [, claimed] = await stage.claim(2);

    const [outcome] = await stage.settle(nacked(claimed));

    assert.equal(outcome?.kind, "scheduled");
    const stored = await stage.taskIn(second.id, "scheduled");
    assert.deepEqual([second.maxAttempts, stored.maxAttempts], [2, 2]);
    stage.assertAbout(stored.runAt, claimed.lease.claimedAt + 7 * MINUTE);
  });
}

function singleClaims(suite: Suite): void {
  suite.test("leases a single task for as long as the ask says, else the queue", async (stage) => {
    await stage.enqueue(...tasks(4));

    const claimed = [await stage.claimOne({ leaseMs: 1_000 }), await stage.claimOne()];
    await stage.configure({ leaseMs: 5 * MINUTE });
    claimed.push(await stage.claimOne(), await stage.claimOne({ leaseMs: 2 * MINUTE, worker: "w" }));

    const wanted = [1_000, DEFAULT_QUEUE_CONFIG.leaseMs, 5 * MINUTE, 2 * MINUTE];
    for (const [place, task] of claimed.entries()) {
      const { token: _, ...lease } = task.lease;
      assert.equal(lease.ms, wanted[place]);
      assert.equal(lease.expiresAt, lease.claimedAt + lease.ms);
      assert.deepEqual((await stage.taskIn(task.id, "leased")).lease, lease);
    }
    assert.equal(claimed[3]?.lease.worker, "w");
    await stage.advance(4 * MINUTE);
    assert.equal(await stage.reapAll(), 3);
    assert.deepEqual(idsOf(await stage.listAll({ state: "leased" })), idsOf(claimed).slice(2, 3));
  });

  suite.test("gives each ask its single task, and says whether more is ready", async (stage) => {
    await stage.enqueue(...tasks(5));
    await stage.claimOne({ leaseMs: MINUTE });
    const ask = { max: 1, leaseMs: 2 * MINUTE };

    const one = await stage.storage.claim(QUEUE, [ask]);
    const two = await stage.storage.claim(QUEUE, [
      { ...ask, worker: "a" },
      { ...ask, worker: "b" },
    ]);
    const last = await stage.storage.claim(QUEUE, [ask]);

    const replies = [one, two, last].map(({ grants, more }) => [grants.map((grant) => grant.length), more]);
    assert.deepEqual(replies, [
      [[1], true],
      [[1, 1], true],
      [[1], false],
    ]);
    assert.deepEqual(
      two.grants.flat().map(({ lease }) => lease.worker),
      ["a", "b"],
    );
  });

  suite.test("gives a single failed task as its next attempt, with what had failed", async (stage) => {
    await stage.enqueue(...tasks(2));
    await stage.claimOne({ leaseMs: MINUTE });
    const failed = await stage.claimOne({ leaseMs: 2 * MINUTE });
    await stage.settle(nacked(failed, { error: "first", delayMs: 0 }));

    const again = await stage.claimOne({ leaseMs: 3 * MINUTE });

    assert.equal(again.id, failed.id);
    assert.equal(again.attempt, 2);
    assert.equal(again.lastError, "first");
    assert.equal(again.failures.length, 1);
    assert.ok(again.lease.fence > failed.lease.fence);
    assert.equal((await stage.taskIn(again.id, "leased")).attempt, 2);
    assert.equal((await stage.counts()).leased, 2);
  });

  suite.test("gives no single task that was cancelled, but the one behind it", async (stage) => {
    const [, second, third, fourth, fifth] = await stage.enqueue(aTask(), aTask(), aTask(), aTask(), aTask());
    await stage.claimOne({ leaseMs: MINUTE });
    await stage.storage.cancel(QUEUE, [second.id]);

    const behind = await stage.claimOne({ leaseMs: 2 * MINUTE });
    await stage.storage.cancel(QUEUE, [fourth.id]);
    const { claim } = await stage.storage.settle(
      QUEUE,
      [completed(behind)],
      [{ max: 1, leaseMs: 2 * MINUTE }],
    );

    assert.equal(behind.id, third.id);
    assert.deepEqual(claim.grants.map(idsOf), [[fifth.id]]);
  });
}

function singleCompletions(suite: Suite): void {
  suite.test("completes one task and gives the next in the same step", async (stage) => {
    await stage.configure({ leaseMs: 5 * MINUTE });
    await stage.enqueue(...tasks(2));
    const early = await stage.claimOne({ leaseMs: MINUTE });
    await stage.claimOne({ leaseMs: MINUTE });
    const [fresh, last] = await stage.enqueue(aTask({ payload: '"fresh"' }), aTask());
    await stage.advance(250);

    const reply = await stage.storage.settle(
      QUEUE,
      [completed(early, '"done"')],
      [{ max: 1, leaseMs: 2 * MINUTE, worker: "w" }],
    );
    const more = await stage.storage.settle(QUEUE, [completed(reply.claim.grants[0]![0]!)]);

    assert.deepEqual(reply.claim.grants.map(idsOf), [[fresh.id]]);
    const [[granted] = []] = reply.claim.grants;
    assert.equal(granted?.payload, '"fresh"');
    assert.equal(granted.attempt, 1);
    assert.equal(granted.lease.worker, "w");
    assert.equal(granted.lease.expiresAt, granted.lease.claimedAt + 2 * MINUTE);
    const stored = await stage.taskIn(early.id, "completed");
    assert.equal(stored.result, '"done"');
    stage.assertAbout(stored.finishedAt, early.lease.claimedAt + 250);
    const [outcome] = reply.outcomes;
    assert.ok(outcome?.kind === "completed" && !outcome.repeated);
    stage.assertAbout(outcome.ranMs, 250);
    assert.deepEqual([reply.claim.more, more.claim], [true, { grants: [], more: true }]);
    assert.equal((await stage.claimOne()).id, last.id);
    const counts = await stage.counts();
    assert.deepEqual([counts.completed, counts.leased, counts.ready], [2, 2, 0]);
  });

  suite.test("gives with a completion the next attempt of what had failed", async (stage) => {
    await stage.configure({ leaseMs: 5 * MINUTE });
    await stage.enqueue(...tasks(3));
    await stage.claimOne({ leaseMs: 1_000 });
    const failed = await stage.claimOne({ leaseMs: 2 * MINUTE });
    const task = await stage.claimOne({ leaseMs: 2 * MINUTE });
    await stage.settle(nacked(failed, { error: "first", delayMs: 0 }));

    const { claim } = await stage.storage.settle(QUEUE, [completed(task)], [{ max: 1 }]);

    const [[again] = []] = claim.grants;
    assert.equal(again?.id, failed.id);
    assert.equal(again.attempt, 2);
    assert.equal(again.lastError, "first");
    assert.ok(again.lease.fence > failed.lease.fence);
    const { token: _, ...lease } = again.lease;
    assert.equal(lease.ms, 5 * MINUTE);
    assert.deepEqual((await stage.taskIn(again.id, "leased")).lease, lease);
    assert.equal(claim.more, false);
  });

  suite.test(
    "names the end of a lease that came with a completion when it is the earliest",
    async (stage) => {
      await stage.enqueue(...tasks(3));
      const task = await stage.claimOne({ leaseMs: 20 * MINUTE });
      await stage.claimOne({ leaseMs: 20 * MINUTE });

      const { claim } = await stage.storage.settle(QUEUE, [completed(task)], [{ max: 1, leaseMs: MINUTE }]);

      const [due] = await stage.storage.nextDueAt(10);
      assert.equal(due?.at, claim.grants[0]?.[0]?.lease.expiresAt);
    },
  );

  suite.pairTest("gives single tasks greater fences than ones far beyond its own", async (from, to) => {
    await from.enqueue(...tasks(3));
    for (const task of await from.claim(3)) await from.settle(released(task));
    const far = 4_102_444_800_000_000; // microseconds, in the year 2100
    let cursor: string | undefined;
    do {
      const page = await from.storage.exportTasks(QUEUE, {
        limit: 500,
        ...(cursor !== undefined && { cursor }),
      });
      await to.storage.importTasks(QUEUE, { tasks: page.tasks.map((task) => ({ ...task, fence: far })) });
      cursor = page.cursor;
    } while (cursor !== undefined);

    const first = await to.claimOne({ leaseMs: MINUTE });
    const second = await to.claimOne({ leaseMs: MINUTE });
    const { claim } = await to.storage.settle(QUEUE, [completed(second)], [{ max: 1, leaseMs: MINUTE }]);

    const claimed = [first, second, ...claim.grants.flat()];
    assert.deepEqual(
      claimed.map(({ lease }) => lease.fence > far),
      [true, true, true],
    );
  });

  suite.test("takes a single completion from nobody but the holder, and once", async (stage) => {
    await stage.enqueue(aTask());
    const stale = await stage.claimOne({ leaseMs: 1_000 });
    await stage.advance(1_000);
    await stage.reapAll();
    const held = await stage.claimOne({ leaseMs: MINUTE });

    assert.deepEqual(await stage.settle(completed(stale, "1")), [{ kind: "lease-lost", state: "leased" }]);
    await stage.settle(completed(held, "2"));
    const [again] = await stage.settle(completed(held, "3"));

    assert.ok(again?.kind === "completed" && again.repeated);
    assert.equal((await stage.taskIn(held.id, "completed")).result, "2");
    assert.deepEqual(await stage.settle(completed(stale)), [{ kind: "lease-lost", state: "completed" }]);
  });

  suite.test("takes no single completion after the end of the lease, reaped or not", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);

    assert.deepEqual(await stage.settle(completed(task, "1")), [{ kind: "lease-lost", state: "leased" }]);
    assert.equal(await stage.reapAll(), 1);
  });

  suite.test("counts the bytes of single completions, payload and result", async (stage) => {
    await stage.configure({ retention: { bytesMax: 5 } });
    await stage.enqueue(...tasks(3));
    for (let count = 0; count < 3; count += 1) await stage.settle(completed(await stage.claimOne(), "12"));
    await stage.advance(MINUTE);

    // Three bytes each: two are more than the bound.
    assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 2, more: false });
  });
}
