import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { aTask, completed, heartbeatOf, QUEUE, released, tasks } from "./builders.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;
const NOTHING = { reaped: [], more: false };

export function reapExpiredContract(suite: Suite): void {
  suite.test("returns a task to ready when its lease expires", async (stage) => {
    const [{ id, runAt }] = await stage.enqueue(aTask());
    await stage.claimOne({ leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);

    const reply = await stage.storage.reapExpired(QUEUE, 10);

    assert.deepEqual(reply, { reaped: [{ id, state: "ready" }], more: false });
    const stored = await stage.taskIn(id, "ready");
    assert.equal(stored.attempt, 1);
    assert.ok(stored.runAt >= runAt);
    assert.equal("lease" in stored, false);
    assert.equal((await stage.claimOne()).attempt, 2);
  });

  suite.exactTest("takes a lease back at its exact end, and not a millisecond before", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask());
    await stage.claimOne({ leaseMs: 1_000 });

    await stage.advance(999);
    assert.deepEqual(await stage.storage.reapExpired(QUEUE, 10), NOTHING);
    await stage.advance(1);
    assert.deepEqual(await stage.storage.reapExpired(QUEUE, 10), {
      reaped: [{ id, state: "ready" }],
      more: false,
    });
  });

  suite.test("keeps an expired lease as a failure that says so", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask());
    const { lease } = await stage.claimOne({ leaseMs: MINUTE, worker: "w 1" });
    await stage.advance(2 * MINUTE);
    await stage.reapAll();

    const stored = await stage.task(id);
    assert.match(stored.lastError ?? "", /lease expired/i);
    assert.deepEqual(stored.failures, [
      { attempt: 1, at: stored.failures[0]?.at, worker: "w 1", error: stored.lastError },
    ]);
    stage.assertAbout(stored.failures[0]?.at, lease.claimedAt + 2 * MINUTE);
  });

  suite.test("ends a task whose last attempt expired", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 1 }));
    const { lease } = await stage.claimOne({ leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);

    const { reaped } = await stage.storage.reapExpired(QUEUE, 10);

    assert.deepEqual(reaped, [{ id, state: "dead" }]);
    const stored = await stage.taskIn(id, "dead");
    assert.equal(stored.deadReason, "attempts");
    assert.equal(stored.attempt, 1);
    stage.assertAbout(stored.finishedAt, lease.claimedAt + 2 * MINUTE);
    assert.match(stored.failures[0]?.error ?? "", /lease expired/i);
  });

  suite.test("takes the earliest expired first, to the tail of their priority", async (stage) => {
    const [a, b, c] = await stage.enqueue(...tasks(3));
    for (const leaseMs of [3 * MINUTE, MINUTE, 2 * MINUTE]) await stage.claimOne({ leaseMs });
    const [waiting] = await stage.enqueue(aTask());
    await stage.advance(5 * MINUTE);

    const { reaped } = await stage.storage.reapExpired(QUEUE, 10);

    assert.deepEqual(idsOf(reaped), [b!.id, c!.id, a!.id]);
    assert.deepEqual(idsOf(await stage.claimAll()), [waiting.id, b!.id, c!.id, a!.id]);
  });

  suite.test("reaps at most so many as it is told, and says whether more have expired", async (stage) => {
    await stage.enqueue(...tasks(6));
    await stage.claim(5, { leaseMs: MINUTE });
    await stage.claimOne({ leaseMs: 60 * MINUTE });
    await stage.advance(2 * MINUTE);

    const replies = [];
    for (const limit of [2, 3, 3]) replies.push(await stage.storage.reapExpired(QUEUE, limit));

    assert.deepEqual(
      replies.map(({ reaped, more }) => [reaped.length, more]),
      [
        [2, true],
        [3, false],
        [0, false],
      ],
    );
  });

  suite.test("reaps five hundred in one step", async (stage) => {
    await stage.enqueue(...tasks(LIMITS.stepMax + 1));
    await stage.claim((LIMITS.stepMax + 1) as number, { leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);

    const { reaped, more } = await stage.storage.reapExpired(QUEUE, LIMITS.stepMax);

    assert.deepEqual([reaped.length, more], [LIMITS.stepMax, true]);
  });

  suite.test("leaves leases alone that ended or moved before", async (stage) => {
    await stage.enqueue(...tasks(4));
    const [done, handedBack, cancelled, extended] = await stage.claim(4, { leaseMs: MINUTE });
    await stage.settle(completed(done), released(handedBack));
    await stage.storage.cancel(QUEUE, [cancelled.id]);
    await stage.storage.heartbeat(QUEUE, [heartbeatOf(extended, 60 * MINUTE)]);
    const again = await stage.claimOne({ leaseMs: 60 * MINUTE });
    await stage.advance(2 * MINUTE);

    assert.deepEqual(await stage.storage.reapExpired(QUEUE, 10), NOTHING);
    assert.equal(again.id, handedBack.id);
    assert.equal((await stage.counts()).leased, 2);
  });

  suite.test("reaps in a paused queue, and nothing in one that does not exist", async (stage) => {
    assert.deepEqual(await stage.storage.reapExpired(QUEUE, 10), NOTHING);
    await stage.enqueue(aTask());
    await stage.claimOne({ leaseMs: MINUTE });
    await stage.storage.configure(QUEUE, { paused: true });
    await stage.advance(2 * MINUTE);

    assert.equal(await stage.reapAll(), 1);
  });
}
