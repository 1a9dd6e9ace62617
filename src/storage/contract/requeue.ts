import assert from "node:assert/strict";
import { newTaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { ClaimedTask } from "../../task/task.ts";
import { aTask, completed, nacked, QUEUE, refused, released, tasks } from "./builders.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function requeueContract(suite: Suite): void {
  suite.test("brings a dead task back with attempts begun anew and its failures kept", async (stage) => {
    const [{ createdAt }] = await stage.enqueue(aTask({ maxAttempts: 1, payload: "7", priority: 2 }));
    const task = await stage.claimOne({ worker: "w" });
    await stage.settle(nacked(task, { error: "told" }));
    const dead = await stage.taskIn(task.id, "dead");
    await stage.advance(MINUTE);

    const [outcome] = await stage.storage.requeue(QUEUE, [task.id]);

    const stored = await stage.taskIn(task.id, "ready");
    const { finishedAt, deadReason, ...kept } = dead;
    assert.deepEqual(stored, { ...kept, state: "ready", attempt: 0, runAt: stored.runAt });
    stage.assertAbout(stored.runAt, createdAt + MINUTE);
    assert.deepEqual(outcome, { kind: "moved", task: stored });
    assert.equal(stored.failures.length, 1);
    assert.equal(stored.lastError, "told");
  });

  suite.test("lets a requeued task be claimed maxAttempts times again, and die once more", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 2 }));

    for (let life = 0; life < 3; life += 1) {
      for (const kind of ["ready", "dead"]) {
        const [outcome] = await stage.settle(nacked(await stage.claimOne(), { delayMs: 0 }));
        assert.equal(outcome?.kind, kind);
      }
      assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 1 }]), { grants: [[]], more: false });
      await stage.storage.requeue(QUEUE, [id]);
    }

    assert.equal((await stage.task(id)).failures.length, 6);
  });

  suite.test("begins the hundred releases anew", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 1 }));
    for (let time = 0; time < LIMITS.releasesMax; time += 1)
      await stage.settle(released(await stage.claimOne()));
    await stage.settle(refused(await stage.claimOne()));
    await stage.storage.requeue(QUEUE, [id]);

    const [outcome] = await stage.settle(released(await stage.claimOne()));

    assert.equal(outcome?.kind, "ready");
  });

  suite.test("makes a cancelled and a scheduled task ready now, at the tail", async (stage) => {
    const [cancelled, scheduled, waiting] = await stage.enqueue(
      aTask(),
      aTask({ delayMs: 60 * MINUTE }),
      aTask(),
    );
    await stage.storage.cancel(QUEUE, [cancelled.id]);

    const outcomes = await stage.storage.requeue(QUEUE, [scheduled.id, cancelled.id]);

    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["moved", "moved"],
    );
    assert.equal("finishedAt" in (await stage.task(cancelled.id)), false);
    stage.assertAbout((await stage.task(scheduled.id)).runAt, scheduled.createdAt);
    assert.deepEqual(idsOf(await stage.claim(3)), idsOf([waiting, scheduled, cancelled]));
    await stage.advance(120 * MINUTE);
    assert.equal(await stage.promoteAll(), 0);
  });

  suite.test("leaves ready, leased, completed and unknown tasks as they are", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [done, leased] = await stage.claim(2);
    await stage.settle(completed(done, "1"));
    const [ready] = await stage.listAll({ state: "ready" });
    const ids = [ready!.id, leased.id, done.id];
    const before = await stage.storage.get(QUEUE, ids);

    const outcomes = await stage.storage.requeue(QUEUE, [...ids, newTaskId(QUEUE)]);

    assert.deepEqual(outcomes, [
      { kind: "wrong-state", state: "ready" },
      { kind: "wrong-state", state: "leased" },
      { kind: "wrong-state", state: "completed" },
      { kind: "not-found" },
    ]);
    assert.deepEqual(await stage.storage.get(QUEUE, ids), before);
  });

  suite.test("moves a task that is named twice once", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ delayMs: MINUTE }));

    const outcomes = await stage.storage.requeue(QUEUE, [id, id]);

    assert.equal(outcomes[0]?.kind, "moved");
    assert.deepEqual(outcomes[1], { kind: "wrong-state", state: "ready" });
    assert.equal((await stage.claimAll()).length, 1);
  });

  suite.test("grows the fence on: a holder from the life before stays a stranger", async (stage) => {
    await stage.enqueue(aTask());
    const before = await stage.claimOne();
    await stage.settle(refused(before));
    await stage.storage.requeue(QUEUE, [before.id]);
    const after = await stage.claimOne();

    assert.ok(after.lease.fence > before.lease.fence);
    const outcomes = await stage.settle(completed(before), completed(after));
    assert.deepEqual(outcomes[0], { kind: "lease-lost", state: "leased" });
    assert.equal(outcomes[1]?.kind, "completed");
  });

  suite.test("is not held up by the queue's bound on its depth", async (stage) => {
    await stage.configure({ maxDepth: 1 });
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.settle(refused(task));
    await stage.enqueue(aTask());

    const [outcome] = await stage.storage.requeue(QUEUE, [task.id]);

    assert.equal(outcome?.kind, "moved");
    assert.equal((await stage.counts()).ready, 2);
  });

  suite.test("requeues a thousand in one call, and nothing in a queue that does not exist", async (stage) => {
    const wanted = tasks(LIMITS.batchMax, { delayMs: MINUTE });
    assert.deepEqual(await stage.storage.requeue(QUEUE, idsOf(wanted.slice(0, 1))), [{ kind: "not-found" }]);
    assert.deepEqual(await stage.storage.requeue(QUEUE, []), []);
    await stage.enqueue(...wanted);

    await stage.storage.requeue(QUEUE, idsOf(wanted.toReversed()));

    assert.deepEqual(idsOf(await stage.claimAll()), idsOf(wanted.toReversed()));
  });

  suite.chapter("of all dead tasks", requeueDeadTasks);
}

function requeueDeadTasks(suite: Suite): void {
  suite.test("brings dead tasks back oldest first, at most so many as it is told", async (stage) => {
    const dead: ClaimedTask[] = [];
    for (const task of tasks(5)) {
      await stage.enqueue(task);
      dead.push(await stage.claimOne());
    }
    for (const place of [3, 0, 4, 1, 2]) {
      await stage.advance(1_000);
      await stage.settle(refused(dead[place]!));
    }

    const replies = [];
    for (const limit of [2, 3, 3]) replies.push(await stage.storage.requeueDead(QUEUE, limit));

    assert.deepEqual(replies, [
      { requeued: 2, more: true },
      { requeued: 3, more: false },
      { requeued: 0, more: false },
    ]);
    const order = idsOf(await stage.claimAll());
    assert.deepEqual(
      order,
      [3, 0, 4, 1, 2].map((place) => dead[place]!.id),
    );
  });

  suite.test("takes tasks that died in one call in the order of the call", async (stage) => {
    await stage.enqueue(...tasks(4));
    const [a, b, c, d] = await stage.claim(4);
    await stage.settle(refused(c), refused(a), refused(d), refused(b));

    await stage.storage.requeueDead(QUEUE, 3);
    await stage.storage.requeueDead(QUEUE, 3);

    assert.deepEqual(idsOf(await stage.claim(4)), idsOf([c, a, d, b]));
  });

  suite.test("leaves completed and cancelled tasks alone", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [done, cancelled, dead] = await stage.claim(3);
    await stage.settle(completed(done), refused(dead));
    await stage.storage.cancel(QUEUE, [cancelled.id]);

    assert.deepEqual(await stage.storage.requeueDead(QUEUE, 10), { requeued: 1, more: false });
    const stored = await stage.taskIn(dead.id, "ready");
    assert.equal(stored.attempt, 0);
    assert.equal("deadReason" in stored, false);
  });

  suite.test("brings five hundred back in one step", async (stage) => {
    await stage.enqueue(...tasks(LIMITS.stepMax + 1));
    await stage.settle(...(await stage.claimAll()).map((task) => refused(task)));

    const reply = await stage.storage.requeueDead(QUEUE, LIMITS.stepMax);

    assert.deepEqual(reply, { requeued: LIMITS.stepMax, more: true });
  });

  suite.test("brings nothing back in a queue that does not exist", async (stage) => {
    assert.deepEqual(await stage.storage.requeueDead(QUEUE, 10), { requeued: 0, more: false });
  });
}
