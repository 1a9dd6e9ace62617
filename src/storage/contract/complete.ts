import assert from "node:assert/strict";
import { aTask, completed, nacked, QUEUE, refused, released, tasks, undelivered } from "./builders.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function completeContract(suite: Suite): void {
  suite.test("keeps the result of each of several completions in one call", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [first, second, third] = await stage.claim(3);

    await stage.settle(completed(first, '"first"'), completed(second), completed(third, '"third"'));

    const stored = await Promise.all([first, second, third].map(({ id }) => stage.taskIn(id, "completed")));
    assert.deepEqual(
      stored.map(({ result }) => result),
      ['"first"', undefined, '"third"'],
    );
  });

  suite.test("completes of several claims in one call those whose holder asks, each once", async (stage) => {
    await stage.enqueue(...tasks(4));
    const [first, second, third, fourth] = await stage.claim(4);
    const stale = { ...third, lease: { ...third.lease, token: second.lease.token } };

    const outcomes = await stage.settle(completed(first), completed(second), completed(first));
    const [refused] = await stage.settle(completed(stale), completed(fourth));

    assert.deepEqual(
      outcomes.map((outcome) => outcome.kind === "completed" && outcome.repeated),
      [false, false, true],
    );
    assert.equal(refused?.kind, "lease-lost");
    await stage.taskIn(third.id, "leased");
  });

  suite.test("completes none of several claims whose leases have ended, reaped or not", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [first, second, third] = await stage.claim(3, { leaseMs: MINUTE });
    await stage.storage.heartbeat(QUEUE, [{ id: third.id, token: third.lease.token, leaseMs: 3 * MINUTE }]);
    await stage.advance(MINUTE + 1);

    const outcomes = await stage.settle(completed(first), completed(second), completed(third));

    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["lease-lost", "lease-lost", "completed"],
    );
  });

  suite.test("completes a task with its result", async (stage) => {
    await stage.enqueue(aTask({ payload: "1" }));
    const task = await stage.claimOne({ worker: "w" });
    await stage.advance(250);

    const [outcome] = await stage.settle(completed(task, '{ "sum" : 1.0 }'));

    const { lease, ...core } = task;
    const stored = await stage.taskIn(task.id, "completed");
    assert.deepEqual(stored, {
      ...core,
      state: "completed",
      result: '{ "sum" : 1.0 }',
      finishedAt: stored.finishedAt,
    });
    stage.assertAbout(stored.finishedAt, lease.claimedAt + 250);
    assert.ok(outcome?.kind === "completed" && !outcome.repeated);
    stage.assertAbout(outcome.ranMs, 250);
  });

  suite.test("completes a task without a result", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();

    await stage.settle(completed(task));

    assert.equal("result" in (await stage.taskIn(task.id, "completed")), false);
  });

  suite.test(
    "answers the same when the same token completes again, and keeps the first result",
    async (stage) => {
      await stage.enqueue(aTask());
      const task = await stage.claimOne();
      await stage.settle(completed(task, "1"));
      const stored = await stage.task(task.id);
      await stage.advance(2 * MINUTE);

      const again = await stage.settle(completed(task, "2"), completed(task));

      for (const outcome of again) assert.ok(outcome.kind === "completed" && outcome.repeated);
      assert.deepEqual(await stage.task(task.id), stored);
      assert.equal((await stage.counts()).completed, 1);
    },
  );

  suite.test("does not know a repeated completion after its task was pruned", async (stage) => {
    await stage.configure({ retention: { completedMs: 0 } });
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.settle(completed(task));
    await stage.advance(MINUTE);
    await stage.pruneAll();

    assert.deepEqual(await stage.settle(completed(task)), [{ kind: "not-found" }]);
  });

  suite.test("does not let the token of a completed task do anything else", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.settle(completed(task, "1"));
    const stored = await stage.task(task.id);

    const outcomes = await stage.settle(nacked(task), refused(task), released(task), undelivered(task));

    for (const outcome of outcomes) assert.deepEqual(outcome, { kind: "lease-lost", state: "completed" });
    assert.deepEqual(await stage.task(task.id), stored);
  });

  suite.test("keeps the failures of earlier attempts with a completed task", async (stage) => {
    await stage.enqueue(aTask());
    await stage.settle(nacked(await stage.claimOne(), { error: "first", delayMs: 0 }));
    const task = await stage.claimOne();

    await stage.settle(completed(task));

    const stored = await stage.taskIn(task.id, "completed");
    assert.equal(stored.lastError, "first");
    assert.equal(stored.failures.length, 1);
    assert.equal(stored.attempt, 2);
  });

  suite.reopenTest("answers a repeated completion also after close and reopen", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.settle(completed(task, "1"));
    await stage.reopen();

    const [outcome] = await stage.settle(completed(task, "1"));

    assert.ok(outcome?.kind === "completed" && outcome.repeated);
  });
}
