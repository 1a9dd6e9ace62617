import assert from "node:assert/strict";
import type { LeaseToken, TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { Task } from "../../task/task.ts";
import type { StoredTask } from "../stored-task.ts";
import {
  aTask,
  completed,
  heartbeatOf,
  nacked,
  QUEUE,
  refused,
  released,
  SETTLEMENTS,
  tasks,
  withToken,
} from "./builders.ts";
import { exported, MINUTE, move, populate } from "./moving.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

export function movedTasksChapter(suite: Suite): void {
  suite.pairTest("claims what was moved in the same order, and what is new behind it", async (from, to) => {
    await populate(from);
    await move(from, to);
    const urgent = await to.enqueueTo(QUEUE, aTask({ priority: 9 }), aTask());

    const order = idsOf(await to.claimAll());

    const left = idsOf(await from.claimAll());
    const newcomers: readonly TaskId[] = idsOf(urgent);
    assert.deepEqual(
      order.filter((id) => !newcomers.includes(id)),
      left,
    );
    assert.equal(order.at(-1), urgent[1].id);
    assert.ok(order.indexOf(urgent[0].id) > 0, "behind those of its priority");
  });

  suite.pairTest("gives a release in the new store its place at the head", async (from, to) => {
    await from.enqueue(...tasks(4));
    await move(from, to);
    const [a, b] = await to.claim(2);

    await to.settle(released(a), released(b));

    assert.deepEqual(idsOf(await to.claim(2)), [a.id, b.id]);
  });

  suite.pairTest("gives the next claim a greater fence than any before", async (from, to) => {
    await from.enqueue(...tasks(3));
    let greatest = 0;
    for (let round = 0; round < 5; round += 1) {
      const held = await from.claim(3);
      greatest = Math.max(greatest, ...held.map(({ lease }) => lease.fence));
      await from.settle(...held.map((task) => released(task)));
    }

    await move(from, to);

    for (const { lease } of await to.claim(3)) assert.ok(lease.fence > greatest, "a fence grows (I2)");
  });

  suite.pairTest("gives greater fences also after a fence far beyond its own", async (from, to) => {
    await from.enqueue(...tasks(2));
    await from.claim(1);
    const [first, second] = (await exported(from.storage)).tasks as [StoredTask, StoredTask];
    const far = 4_102_444_800_000_000; // microseconds, in the year 2100

    await to.storage.importTasks(QUEUE, {
      tasks: [
        { ...first, fence: far },
        { ...second, fence: far },
      ],
    });

    const [claimed] = await to.claim(1);
    assert.ok(claimed.lease.fence > far);
    await to.settle(released(claimed));
    assert.ok((await to.claimOne()).lease.fence > claimed.lease.fence);
  });

  suite.pairTest("lets a holder go on in the new store: heartbeat, then complete", async (from, to) => {
    await from.enqueue(...tasks(2));
    const [a, b] = await from.claim(2, { worker: "w" });
    await move(from, to);

    const [beat] = await to.storage.heartbeat(QUEUE, [heartbeatOf(a)]);
    const outcomes = await to.settle(completed(a, '"done"'), nacked(b, { delayMs: 0, error: "no" }));

    assert.equal(beat?.kind, "extended");
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["completed", "ready"],
    );
    assert.equal((await to.taskIn(a.id, "completed")).result, '"done"');
    assert.equal((await to.taskIn(b.id, "ready")).failures[0]?.worker, "w");
  });

  suite.pairTest("refuses in the new store what was refused in the old one", async (from, to) => {
    const [{ id }] = await from.enqueue(aTask());
    const stale = await from.claimOne();
    await from.settle(released(stale));
    await from.claimOne();

    await move(from, to);

    const before = await to.task(id);
    for (const settle of SETTLEMENTS) {
      for (const task of [stale, withToken(stale, "0.0"), withToken(stale, `${stale.lease.fence}`)])
        assert.deepEqual(await to.settle(settle(task)), [{ kind: "lease-lost", state: "leased" }]);
    }
    assert.deepEqual(await to.task(id), before);
  });

  suite.pairTest("gives the same answer to a holder that completes again", async (from, to) => {
    await from.enqueue(aTask());
    const held = await from.claimOne();
    await from.settle(completed(held, "1"));

    await move(from, to);

    assert.deepEqual(await to.settle(completed(held, "1")), [
      { kind: "completed", ranMs: 0, repeated: true },
    ]);
  });

  suite.pairTest("tells leases of one fence and one end apart", async (from, to) => {
    await from.enqueue(...tasks(3));
    await from.claim(3);
    const twins = (await exported(from.storage)).tasks.map((stored, place): StoredTask => {
      assert.equal(stored.task.state, "leased");
      const lease = { ...(stored.task as Extract<Task, { state: "leased" }>).lease, fence: 5 };
      return { ...stored, task: { ...stored.task, state: "leased", lease }, fence: 5, token: token(place) };
    });
    function token(place: number): LeaseToken {
      return `5.${place + 1}` as LeaseToken;
    }

    await to.storage.importTasks(QUEUE, { tasks: twins });
    const settled = await to.storage.settle(QUEUE, [
      { outcome: "complete", id: twins[1]!.task.id, token: token(1) },
    ]);

    assert.equal(settled.outcomes[0]?.kind, "completed");
    assert.deepEqual(
      idsOf(await to.listAll({ state: "leased", limit: 1 })).toSorted(),
      [twins[0]!.task.id, twins[2]!.task.id].toSorted(),
    );
    await to.advance(LIMITS.leaseMsMax);
    assert.equal(await to.reapAll(), 2);
  });

  suite.pairTest(
    "reaps a moved lease and promotes a moved schedule when their time comes",
    async (from, to) => {
      const [later, sooner] = await from.enqueue(aTask({ delayMs: 2 * MINUTE }), aTask({ delayMs: MINUTE }));
      const [{ id }] = await from.enqueue(aTask());
      await from.claimOne({ leaseMs: MINUTE });
      await move(from, to);

      const [due] = await to.storage.nextDueAt(10);
      to.assertAbout(due?.at, later.createdAt + MINUTE);
      await to.advance(3 * MINUTE);

      assert.equal(await to.reapAll(), 1);
      assert.equal(await to.promoteAll(), 2);
      assert.deepEqual(idsOf(await to.claimAll()), [id, sooner.id, later.id]);
    },
  );

  suite.pairTest(
    "finds a moved task by its key, and remembers the key of one that is gone",
    async (from, to) => {
      const [kept, gone] = await from.enqueue(
        aTask({ idempotencyKey: "kept" }),
        aTask({ idempotencyKey: "gone" }),
      );
      await from.storage.cancel(QUEUE, [gone.id]);
      await from.storage.purge(QUEUE, "cancelled", 1);
      await move(from, to);

      const [again, vanished, other] = await to.storage.enqueue(QUEUE, [
        aTask({ idempotencyKey: "kept" }),
        aTask({ idempotencyKey: "gone" }),
        aTask({ idempotencyKey: "kept", payload: "2" }),
      ]);

      assert.equal(again?.kind, "deduplicated");
      assert.equal(again?.kind === "deduplicated" && again.task.id, kept.id);
      assert.deepEqual(vanished, { kind: "pruned", id: gone.id });
      assert.deepEqual(other, { kind: "conflict", id: kept.id });
    },
  );

  suite.pairTest("forgets a moved key 24 hours after its first enqueue", async (from, to) => {
    await from.enqueue(aTask({ idempotencyKey: "kept" }));
    await from.enqueue(aTask({ idempotencyKey: "gone" }));
    const [, gone] = await from.claim(2);
    await from.settle(completed(gone));
    await from.storage.purge(QUEUE, "completed", 1);
    await move(from, to);

    await to.advance(LIMITS.idempotencyKeyMs - MINUTE);
    const before = await to.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "gone" })]);
    await to.advance(2 * MINUTE);
    await to.pruneAll();
    const after = await to.storage.enqueue(QUEUE, [
      aTask({ idempotencyKey: "kept" }),
      aTask({ idempotencyKey: "gone" }),
    ]);

    assert.equal(before[0]?.kind, "pruned");
    assert.deepEqual(
      after.map(({ kind }) => kind),
      ["enqueued", "enqueued"],
    );
  });

  suite.pairTest("goes on counting attempts and releases", async (from, to) => {
    await from.configure({ maxAttempts: 2 });
    await from.enqueue(aTask());
    for (let round = 0; round < LIMITS.releasesMax - 1; round += 1)
      await from.settle(released(await from.claimOne()));
    await move(from, to);

    await to.settle(released(await to.claimOne()));
    await to.settle(released(await to.claimOne()));
    const last = await to.claimOne();

    assert.equal(last.attempt, 2, "the hundred and first release counted");
    assert.equal((await to.settle(nacked(last)))[0]?.kind, "dead");
  });

  suite.pairTest("waits after a failure as the moved task's own backoff says", async (from, to) => {
    await from.enqueue(aTask({ backoff: { type: "fixed", baseMs: 90_000, jitter: "none" } }));
    await move(from, to);

    const held = await to.claimOne();
    const [outcome] = await to.settle(nacked(held, { error: "no" }));

    assert.equal(outcome?.kind, "scheduled");
    to.assertAbout(outcome?.kind === "scheduled" ? outcome.runAt : 0, held.lease.claimedAt + 90_000);
  });

  suite.pairTest("prunes moved tasks by retention, the oldest first", async (from, to) => {
    await from.configure({ retention: { completedMax: 2 } });
    await from.enqueue(...tasks(5));
    const held = await from.claim(5);
    for (const task of held) await from.settle(completed(task));
    await from.advance(MINUTE);
    await move(from, to);
    await to.advance(MINUTE);

    assert.equal(await to.pruneAll(), 3);
    assert.deepEqual(idsOf(await to.listAll({ state: "completed" })), idsOf(held.slice(3)));
  });

  suite.pairTest("requeues a moved dead task with its history", async (from, to) => {
    await from.enqueue(aTask());
    const held = await from.claimOne();
    await from.settle(refused(held, "never"));
    await move(from, to);

    const [moved] = await to.storage.requeue(QUEUE, [held.id]);

    assert.equal(moved?.kind, "moved");
    const again = await to.claimOne();
    assert.equal(again.lastError, "never");
    assert.equal(again.attempt, 1);
    assert.ok(again.lease.fence > held.lease.fence);
  });
}
