import assert from "node:assert/strict";
import { newTaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import { aTask, completed, heartbeatOf, nacked, QUEUE, tasks, withToken } from "./builders.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function heartbeatContract(suite: Suite): void {
  suite.test("moves the end of a lease to its length as claimed from now", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ leaseMs: 2 * MINUTE, worker: "w" });
    await stage.advance(MINUTE);

    const [outcome] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(task)]);

    assert.ok(outcome?.kind === "extended");
    stage.assertAbout(outcome.expiresAt, task.lease.claimedAt + 3 * MINUTE);
    const { token, ...lease } = task.lease;
    const stored = await stage.taskIn(task.id, "leased");
    assert.deepEqual(stored.lease, { ...lease, expiresAt: outcome.expiresAt });
    assert.equal(stored.attempt, 1);
  });

  suite.test("keeps a task from the reaper for as long as its holder beats", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ leaseMs: MINUTE });

    for (let beat = 0; beat < 10; beat += 1) {
      await stage.advance(40_000);
      await stage.storage.heartbeat(QUEUE, [heartbeatOf(task)]);
      assert.equal(await stage.reapAll(), 0);
    }

    const [outcome] = await stage.settle(completed(task));
    assert.equal(outcome?.kind, "completed");
  });

  suite.test("holds another length once: the next beat is as claimed again", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ leaseMs: MINUTE });

    const [longer] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(task, 10 * MINUTE)]);
    const stored = await stage.taskIn(task.id, "leased");
    const [asClaimed] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(task)]);

    assert.ok(longer?.kind === "extended" && asClaimed?.kind === "extended");
    stage.assertAbout(longer.expiresAt, task.lease.claimedAt + 10 * MINUTE);
    assert.equal(stored.lease.ms, MINUTE);
    assert.equal(stored.lease.expiresAt, longer.expiresAt);
    stage.assertAbout(asClaimed.expiresAt, task.lease.claimedAt + MINUTE);
  });

  suite.test("can bring the end of a lease nearer", async (stage) => {
    await stage.enqueue(...tasks(2));
    const [task, other] = await stage.claim(2, { leaseMs: 10 * MINUTE });

    await stage.storage.heartbeat(QUEUE, [heartbeatOf(task, MINUTE)]);
    await stage.advance(2 * MINUTE);
    const { reaped } = await stage.storage.reapExpired(QUEUE, 10);

    assert.deepEqual(reaped, [{ id: task.id, state: "ready" }]);
    await stage.taskIn(other.id, "leased");
  });

  suite.test("takes the last of several beats of one lease in one call", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();

    const beats = [MINUTE, 3 * MINUTE, 2 * MINUTE].map((leaseMs) => heartbeatOf(task, leaseMs));
    const outcomes = await stage.storage.heartbeat(QUEUE, beats);

    const { lease } = await stage.taskIn(task.id, "leased");
    stage.assertAbout(lease.expiresAt, task.lease.claimedAt + 2 * MINUTE);
    assert.deepEqual(outcomes.at(-1), { kind: "extended", expiresAt: lease.expiresAt });
  });

  suite.test("says that a lease is lost, and where its task is now", async (stage) => {
    await stage.enqueue(...tasks(4, { backoff: { type: "fixed", baseMs: MINUTE, jitter: "none" } }));
    const [done, failed, cancelled, stolen] = await stage.claim(4);
    await stage.settle(completed(done), nacked(failed));
    await stage.storage.cancel(QUEUE, [cancelled.id]);

    const outcomes = await stage.storage.heartbeat(QUEUE, [
      heartbeatOf(done),
      heartbeatOf(failed),
      heartbeatOf(cancelled),
      heartbeatOf(withToken(stolen, done.lease.token)),
      heartbeatOf({ ...done, id: newTaskId(QUEUE) }),
    ]);

    assert.deepEqual(outcomes, [
      { kind: "lease-lost", state: "completed" },
      { kind: "lease-lost", state: "scheduled" },
      { kind: "lease-lost", state: "cancelled" },
      { kind: "lease-lost", state: "leased" },
      { kind: "not-found" },
    ]);
    assert.equal((await stage.taskIn(stolen.id, "leased")).lease.expiresAt, stolen.lease.expiresAt);
  });

  suite.exactTest("keeps a lease in its last millisecond, and does not at its end", async (stage) => {
    await stage.enqueue(...tasks(2));
    const [live, lost] = await stage.claim(2, { leaseMs: 1_000 });

    await stage.advance(999);
    const [extended] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(live)]);
    await stage.advance(1);
    const [tooLate] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(lost, MINUTE)]);

    assert.deepEqual(extended, { kind: "extended", expiresAt: live.lease.claimedAt + 1_999 });
    assert.deepEqual(tooLate, { kind: "lease-lost", state: "leased" });
  });

  suite.test("extends a thousand leases in one call", async (stage) => {
    await stage.enqueue(...tasks(LIMITS.batchMax));
    const claimed = await stage.claim(LIMITS.batchMax as number, { leaseMs: MINUTE });

    const outcomes = await stage.storage.heartbeat(
      QUEUE,
      claimed.map((task) => heartbeatOf(task, 5 * MINUTE)),
    );
    await stage.advance(4 * MINUTE);

    assert.equal(outcomes.filter(({ kind }) => kind === "extended").length, LIMITS.batchMax);
    assert.equal(await stage.reapAll(), 0);
  });

  suite.test(
    "answers nothing for nothing, and knows nothing in a queue that does not exist",
    async (stage) => {
      assert.deepEqual(await stage.storage.heartbeat(QUEUE, []), []);
      await stage.enqueue(aTask());
      const task = await stage.claimOne();
      const elsewhere = await stage.storage.heartbeat("nowhere" as typeof QUEUE, [heartbeatOf(task)]);
      assert.deepEqual(elsewhere, [{ kind: "not-found" }]);
    },
  );

  suite.test("goes on in a paused queue", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.storage.configure(QUEUE, { paused: true });

    const [outcome] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(task)]);

    assert.equal(outcome?.kind, "extended");
  });

  suite.reopenTest("keeps an extended lease across close and reopen", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ leaseMs: MINUTE });
    await stage.storage.heartbeat(QUEUE, [heartbeatOf(task, 10 * MINUTE)]);
    const stored = await stage.task(task.id);
    await stage.reopen();

    assert.deepEqual(await stage.task(task.id), stored);
    await stage.advance(5 * MINUTE);
    assert.equal(await stage.reapAll(), 0);
    const [outcome] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(task)]);
    assert.equal(outcome?.kind, "extended");
  });
}
