import assert from "node:assert/strict";
import { newTaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import { aTask, completed, heartbeatOf, QUEUE, released, tasks } from "./builders.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function forceReleaseContract(suite: Suite): void {
  suite.test("takes a task from its holder, who learns it at its next call", async (stage) => {
    await stage.enqueue(aTask(), aTask());
    const task = await stage.claimOne({ leaseMs: 60 * MINUTE });

    const outcomes = await stage.storage.forceRelease(QUEUE, [task.id]);

    assert.deepEqual(outcomes, [{ kind: "ready" }]);
    const [lost] = await stage.settle(completed(task));
    const [beat] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(task)]);
    assert.deepEqual(lost, { kind: "lease-lost", state: "ready" });
    assert.deepEqual(beat, { kind: "lease-lost", state: "ready" });
    const again = await stage.claimOne();
    assert.equal(again.id, task.id, "a release enters at the head");
    assert.equal(again.attempt, 1, "a release gives the attempt back");
    assert.ok(again.lease.fence > task.lease.fence);
  });

  suite.test(
    "gives several tasks of one call out again in the order given, one named twice too",
    async (stage) => {
      await stage.enqueue(...tasks(4));
      const [a, b, c] = await stage.claim(3);

      const outcomes = await stage.storage.forceRelease(QUEUE, idsOf([c, c, a, c, b]));

      assert.deepEqual(
        outcomes.map(({ kind }) => kind),
        ["ready", "wrong-state", "ready", "wrong-state", "ready"],
      );
      assert.deepEqual(idsOf(await stage.claim(3)), idsOf([c, a, b]));
    },
  );

  suite.test(
    "counts towards the hundred releases of a task, of which the next one ends it",
    async (stage) => {
      const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 1 }));
      for (let time = 0; time < LIMITS.releasesMax; time += 1) {
        const task = await stage.claimOne();
        if (time % 2 === 0) await stage.settle(released(task));
        else assert.deepEqual(await stage.storage.forceRelease(QUEUE, [id]), [{ kind: "ready" }]);
      }
      await stage.claimOne();

      assert.deepEqual(await stage.storage.forceRelease(QUEUE, [id]), [{ kind: "dead" }]);
      const stored = await stage.taskIn(id, "dead");
      assert.equal(stored.deadReason, "attempts");
      assert.equal(stored.attempt, 1);
    },
  );

  suite.test("releases a task whose lease has expired and which nobody reaped", async (stage) => {
    await stage.enqueue(aTask());
    const { id } = await stage.claimOne({ leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);

    assert.deepEqual(await stage.storage.forceRelease(QUEUE, [id]), [{ kind: "ready" }]);
    assert.equal(await stage.reapAll(), 0);
    const stored = await stage.taskIn(id, "ready");
    assert.equal(stored.attempt, 0);
    assert.deepEqual(stored.failures, []);
  });

  suite.test("names the state of a task that nobody holds", async (stage) => {
    const [done, ready, scheduled] = await stage.enqueue(aTask(), aTask(), aTask({ delayMs: MINUTE }));
    await stage.settle(completed(await stage.claimOne()));

    const outcomes = await stage.storage.forceRelease(QUEUE, [
      ...idsOf([ready, scheduled, done]),
      newTaskId(QUEUE),
    ]);

    assert.deepEqual(outcomes, [
      { kind: "wrong-state", state: "ready" },
      { kind: "wrong-state", state: "scheduled" },
      { kind: "wrong-state", state: "completed" },
      { kind: "not-found" },
    ]);
  });

  suite.test("releases a thousand in one call, and nothing in a queue that does not exist", async (stage) => {
    const wanted = tasks(LIMITS.batchMax);
    assert.deepEqual(await stage.storage.forceRelease(QUEUE, idsOf(wanted.slice(0, 1))), [
      { kind: "not-found" },
    ]);
    assert.deepEqual(await stage.storage.forceRelease(QUEUE, []), []);
    await stage.enqueue(...wanted);
    await stage.claimAll();

    await stage.storage.forceRelease(QUEUE, [...idsOf(wanted), wanted[0]!.id]);

    assert.deepEqual(idsOf(await stage.claimAll()), idsOf(wanted));
  });
}
