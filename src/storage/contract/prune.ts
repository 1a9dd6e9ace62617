import assert from "node:assert/strict";
import type { TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { Retention } from "../../task/queue.ts";
import { aTask, completed, payloadOf, QUEUE, refused, tasks } from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;
const NOTHING = { pruned: 0, more: false };
/** A retention under which only what a test sets makes records go. */
const ROOMY: Retention = {
  completedMs: 1_000 * MINUTE,
  completedMax: 1_000_000,
  deadMs: 1_000 * MINUTE,
  deadMax: 1_000_000,
  bytesMax: 1_000_000_000,
};

export function pruneContract(suite: Suite): void {
  suite.chapter("by age", byAge);
  suite.chapter("by number", byNumber);
  suite.chapter("by bytes", byBytes);
  boundsAndTotals(suite);
}

/** Finishes one task after another, a second apart, in the way that the test names. */
async function finish(
  stage: Stage,
  ends: readonly ("completed" | "dead" | "cancelled")[],
  payload = "null",
): Promise<readonly TaskId[]> {
  const ids: TaskId[] = [];
  for (const end of ends) {
    await stage.enqueue(aTask({ payload }));
    const task = await stage.claimOne();
    if (end === "cancelled") await stage.storage.cancel(QUEUE, [task.id]);
    else await stage.settle(end === "completed" ? completed(task) : refused(task));
    ids.push(task.id);
    await stage.advance(1_000);
  }
  return ids;
}

/** Which of the tasks are still there, by their places. */
async function left(stage: Stage, ids: readonly TaskId[]): Promise<readonly number[]> {
  const found = await stage.storage.get(QUEUE, ids);
  return ids.flatMap((_, place) => (found[place] === undefined ? [] : [place]));
}

function byAge(suite: Suite): void {
  suite.test(
    "removes completed and cancelled tasks after completedMs, dead ones after deadMs",
    async (stage) => {
      await stage.configure({ retention: { ...ROOMY, completedMs: 5 * MINUTE, deadMs: 20 * MINUTE } });
      const ids = await finish(stage, ["completed", "dead", "cancelled"]);

      await stage.advance(4 * MINUTE);
      assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
      await stage.advance(2 * MINUTE);
      assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 2, more: false });
      assert.deepEqual(await left(stage, ids), [1]);
      await stage.advance(20 * MINUTE);
      assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 1, more: false });

      assert.deepEqual(await left(stage, ids), []);
      assert.equal((await stage.storage.snapshot(QUEUE))?.pruned, 3);
    },
  );

  suite.exactTest("keeps a record to the last millisecond of its age", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, completedMs: MINUTE } });
    await stage.enqueue(aTask());
    await stage.settle(completed(await stage.claimOne()));

    await stage.advance(MINUTE - 1);
    assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
    await stage.advance(1);
    assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 1, more: false });
  });

  suite.exactTest("keeps every record for ten seconds, also when the retention keeps none", async (stage) => {
    const none = { completedMs: 0, completedMax: 0, deadMs: 0, deadMax: 0, bytesMax: 0 };
    await stage.configure({ retention: none });
    await stage.enqueue(...tasks(3));
    const [a, b, c] = await stage.claim(3);
    await stage.settle(completed(a), refused(b));
    await stage.storage.cancel(QUEUE, [c.id]);

    await stage.advance(LIMITS.retentionMsMin - 1);
    assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
    await stage.advance(1);
    assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 3, more: false });
  });

  suite.test(
    "keeps finished tasks for an hour, dead ones for two weeks, unless told otherwise",
    async (stage) => {
      const ids = await finish(stage, ["completed", "dead", "cancelled"]);

      await stage.advance(59 * MINUTE);
      assert.equal(await stage.pruneAll(), 0);
      await stage.advance(2 * MINUTE);
      assert.equal(await stage.pruneAll(), 2);
      await stage.advance(13 * 24 * 60 * MINUTE);
      assert.equal(await stage.pruneAll(), 0);
      assert.deepEqual(await left(stage, ids), [1]);
      await stage.advance(24 * 60 * MINUTE);
      assert.equal(await stage.pruneAll(), 1);
    },
  );

  suite.test("goes by the moment of finishing, not by that of the enqueue", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, completedMs: 5 * MINUTE } });
    await stage.enqueue(aTask());
    await stage.advance(60 * MINUTE);
    await stage.settle(completed(await stage.claimOne()));

    await stage.advance(4 * MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
  });
}

function byNumber(suite: Suite): void {
  suite.test("keeps the youngest completedMax completed and deadMax dead tasks", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, completedMax: 2, deadMax: 1 } });
    const ids = await finish(stage, ["completed", "dead", "completed", "completed", "dead", "completed"]);
    await stage.advance(MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 3, more: false });
    assert.deepEqual(await left(stage, ids), [3, 4, 5]);
  });

  suite.test("counts cancelled tasks on their own against completedMax", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, completedMax: 2 } });
    const ids = await finish(stage, ["cancelled", "completed", "cancelled", "completed", "cancelled"]);
    await stage.advance(MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 1, more: false });
    assert.deepEqual(await left(stage, ids), [1, 2, 3, 4]);
  });

  suite.test(
    "does not remove a record of less than ten seconds because there are too many",
    async (stage) => {
      await stage.configure({ retention: { ...ROOMY, completedMax: 1 } });
      const early = await finish(stage, ["completed", "completed", "completed"]);
      await stage.advance(MINUTE);
      await stage.enqueue(...tasks(3));
      const [a, b, c] = await stage.claim(3);
      await stage.settle(completed(a), completed(b), completed(c));

      assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 3, more: false });
      assert.deepEqual(await left(stage, early), []);
      assert.equal((await stage.counts()).completed, 3);
      assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
    },
  );

  suite.test("removes tasks that finished in one call in the order of the call", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, completedMax: 2 } });
    await stage.enqueue(...tasks(5));
    const [a, b, c, d, e] = await stage.claim(5);
    await stage.settle(completed(e), completed(a), completed(d), completed(b), completed(c));
    await stage.advance(MINUTE);

    await stage.pruneAll();

    assert.deepEqual(idsOf(await stage.listAll({ state: "completed" })), [b.id, c.id]);
  });

  suite.test("applies a new retention to records that are already there", async (stage) => {
    const ids = await finish(stage, ["completed", "completed", "completed", "dead", "dead"]);
    await stage.advance(MINUTE);
    assert.equal(await stage.pruneAll(), 0);

    await stage.configure({ retention: { completedMax: 1, deadMs: 1_000 } });

    assert.equal(await stage.pruneAll(), 4);
    assert.deepEqual(await left(stage, ids), [2]);
  });
}

function byBytes(suite: Suite): void {
  suite.test(
    "keeps payloads and results of all finished tasks within bytesMax, oldest first to go",
    async (stage) => {
      await stage.configure({ retention: { ...ROOMY, bytesMax: 350 } });
      const ends = ["dead", "completed", "cancelled", "completed", "dead"] as const;
      const ids = await finish(stage, ends, payloadOf(100));
      await stage.advance(MINUTE);

      assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 2, more: false });
      assert.deepEqual(await left(stage, ids), [2, 3, 4]);
    },
  );

  suite.test("counts the bytes of results too, and those of unfinished tasks never", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, bytesMax: 299 } });
    await stage.enqueue(...tasks(2, { payload: '"é"' }), aTask({ payload: payloadOf(5_000) }));
    const [a, b] = await stage.claim(2);
    await stage.settle(completed(a, payloadOf(146)));
    await stage.advance(1_000);
    await stage.settle(completed(b, payloadOf(146)));
    await stage.advance(MINUTE);

    assert.equal(await stage.pruneAll(), 1);
    assert.deepEqual(await left(stage, [a.id, b.id]), [1]);
  });

  suite.test("keeps exactly bytesMax bytes", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, bytesMax: 300 } });
    await finish(stage, ["completed", "completed", "completed"], payloadOf(100));
    await stage.advance(MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
  });

  suite.test("gives back the bytes of a task that was requeued, pruned or deleted", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, bytesMax: 200 } });
    const [dead, done] = await finish(stage, ["dead", "completed"], payloadOf(100));
    await stage.storage.requeue(QUEUE, [dead!]);
    await stage.storage.purge(QUEUE, "completed", 10);
    const ids = await finish(stage, ["cancelled", "cancelled"], payloadOf(100));
    await stage.advance(MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
    assert.deepEqual(await left(stage, [dead!, done!, ...ids]), [0, 2, 3]);
  });

  suite.reopenTest("counts the same after close and reopen", async (stage) => {
    await stage.configure({ retention: { ...ROOMY, bytesMax: 250 } });
    const ids = await finish(stage, ["completed", "dead", "completed"], payloadOf(100));
    await stage.reopen();
    await stage.advance(MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, 10), { pruned: 1, more: false });
    assert.deepEqual(await left(stage, ids), [1, 2]);
  });
}

function boundsAndTotals(suite: Suite): void {
  suite.test("removes at most so many as it is told, and says when no more can go", async (stage) => {
    await stage.configure({ retention: { completedMs: 0 } });
    await stage.enqueue(...tasks(5));
    for (const task of await stage.claim(5)) await stage.settle(completed(task));
    await stage.advance(MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, 2), { pruned: 2, more: true });
    assert.equal((await stage.storage.prune(QUEUE, 3)).pruned, 3);
    assert.deepEqual(await stage.storage.prune(QUEUE, 3), NOTHING);
  });

  suite.test("removes five hundred in one step", async (stage) => {
    await stage.configure({ retention: { completedMs: 0 } });
    await stage.enqueue(...tasks(LIMITS.stepMax + 1));
    await stage.settle(...(await stage.claimAll()).map((task) => completed(task)));
    await stage.advance(MINUTE);

    assert.deepEqual(await stage.storage.prune(QUEUE, LIMITS.stepMax), {
      pruned: LIMITS.stepMax,
      more: true,
    });
  });

  suite.test("leaves no trace of a removed task but the total and its key", async (stage) => {
    await stage.configure({ retention: { completedMs: 0 } });
    const [id] = await finish(stage, ["completed"]);
    await stage.advance(MINUTE);
    await stage.pruneAll();

    assert.deepEqual(await stage.storage.get(QUEUE, [id!]), [undefined]);
    assert.deepEqual(await stage.listAll({ state: "completed" }), []);
    assert.deepEqual(await stage.storage.cancel(QUEUE, [id!]), [{ kind: "not-found" }]);
    assert.deepEqual(await stage.storage.requeue(QUEUE, [id!]), [{ kind: "not-found" }]);
    const snapshot = await stage.storage.snapshot(QUEUE);
    assert.deepEqual([snapshot?.enqueued, snapshot?.pruned], [1, 1]);
  });

  suite.test("removes nothing from a queue that does not exist", async (stage) => {
    assert.deepEqual(await stage.storage.prune(QUEUE, 10), NOTHING);
  });
}
