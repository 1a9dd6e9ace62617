import assert from "node:assert/strict";
import { StorageUnavailableError } from "../../task/errors.ts";
import { aQueue, aTask, completed, nacked, QUEUE, refused, released, tasks } from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function closeContract(suite: Suite): void {
  suite.test("has no trouble while all is well", async (stage) => {
    assert.equal(stage.storage.trouble(), undefined);
    await stage.enqueue(aTask());
    assert.equal(stage.storage.trouble(), undefined);
  });

  suite.test("closes twice as well as once", async (stage) => {
    await stage.enqueue(aTask());

    await Promise.all([stage.close(), stage.close()]);
    await stage.close();
  });

  suite.test("refuses every call after it", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    await stage.close();

    const { storage } = stage;
    const calls: readonly (() => Promise<unknown>)[] = [
      () => storage.enqueue(QUEUE, [aTask()]),
      () => storage.claim(QUEUE, [{ max: 1 }]),
      () => storage.settle(QUEUE, [completed(task)]),
      () => storage.heartbeat(QUEUE, [{ id: task.id, token: task.lease.token }]),
      () => storage.promoteDue(QUEUE, 1),
      () => storage.reapExpired(QUEUE, 1),
      () => storage.prune(QUEUE, 1),
      () => storage.purge(QUEUE, "ready", 1),
      () => storage.cancel(QUEUE, [task.id]),
      () => storage.requeue(QUEUE, [task.id]),
      () => storage.requeueDead(QUEUE, 1),
      () => storage.forceRelease(QUEUE, [task.id]),
      () => storage.get(QUEUE, [task.id]),
      () => storage.list(QUEUE, { state: "ready", limit: 1 }),
      () => storage.snapshot(QUEUE),
      () => storage.queues(),
      () => storage.configure(QUEUE, {}),
      () => storage.nextDueAt(1),
    ];
    for (const call of calls) await assert.rejects(async () => call(), StorageUnavailableError, String(call));
  });

  suite.test("finishes what is under way", async (stage) => {
    await stage.enqueue(...tasks(50));
    const calls = Array.from({ length: 20 }, () => [
      stage.storage.enqueue(QUEUE, tasks(10)),
      stage.storage.claim(QUEUE, [{ max: 1 }]),
    ]).flat();

    await stage.close();

    const settled = await Promise.allSettled(calls);
    assert.deepEqual(
      settled.filter(({ status }) => status === "rejected"),
      [],
    );
  });

  suite.reopenTest("survives close and reopen", async (stage) => {
    const ids = await someOfEverything(stage);
    const before = await stage.storage.get(QUEUE, ids);
    const snapshots = await Promise.all((await stage.storage.queues()).map((q) => stage.storage.snapshot(q)));

    await stage.reopen();

    assert.deepEqual(await stage.storage.get(QUEUE, ids), before);
    const after = await Promise.all((await stage.storage.queues()).map((q) => stage.storage.snapshot(q)));
    assert.deepEqual(after, snapshots);
  });

  suite.reopenTest("keeps every order across close and reopen", async (stage) => {
    await someOfEverything(stage);
    const states = ["scheduled", "ready", "leased", "completed", "dead", "cancelled"] as const;
    const before = [];
    for (const state of states) before.push(idsOf(await stage.listAll({ state })));

    await stage.reopen();
    const after = [];
    for (const state of states) after.push(idsOf(await stage.listAll({ state })));

    assert.deepEqual(after, before);
    await stage.advance(60 * MINUTE);
    await stage.promoteAll();
    assert.deepEqual(
      idsOf((await stage.listAll({ state: "ready" })).filter(({ priority }) => priority === 0)).slice(-3),
      before[0]!.slice(-3),
    );
  });

  suite.reopenTest("keeps what was under way when it closed", async (stage) => {
    const batches = Array.from({ length: 20 }, () => tasks(10));
    const calls = batches.map((batch) => stage.storage.enqueue(QUEUE, batch));

    await stage.reopen();

    await Promise.all(calls);
    assert.deepEqual(idsOf(await stage.claimAll()), batches.flatMap(idsOf));
  });

  suite.reopenTest("can be closed and opened again and again", async (stage) => {
    const wanted = tasks(10);
    for (const task of wanted) {
      await stage.enqueue(task);
      await stage.reopen();
    }
    for (const { id } of wanted) {
      const task = await stage.claimOne();
      assert.equal(task.id, id);
      await stage.reopen();
      assert.equal((await stage.settle(completed(task)))[0]?.kind, "completed");
    }
  });
}

/** Tasks in every state, with every field, in two queues; the ids of those in the queue of the builders. */
async function someOfEverything(stage: Stage) {
  const other = aQueue("letters");
  await stage.enqueueTo(other, ...tasks(3, {}, other));
  await stage.storage.claim(other, [{ max: 1 }]);
  await stage.storage.configure(aQueue("configured"), { paused: true, config: { maxAttempts: 3 } });
  const wanted = [
    ...tasks(10, { tags: { größe: "🦔" } }),
    ...tasks(4, { delayMs: 5 * MINUTE }),
    ...tasks(3, { priority: 7 }),
  ];
  const keyed = aTask({ idempotencyKey: "k", maxAttempts: 1, priority: 8 });
  await stage.enqueue(...wanted, keyed);

  const [dead, a, b, c, d, e, f] = await stage.claim(7, { worker: "w", leaseMs: 2 * MINUTE });
  await stage.settle(
    nacked(dead, { error: "told" }),
    completed(a, '"🦔"'),
    nacked(b, { error: "again", delayMs: MINUTE }),
    released(d),
    released(c),
    nacked(e, { error: "at once", delayMs: 0 }),
  );
  await stage.storage.cancel(QUEUE, [f.id]);
  await stage.claim(2, { leaseMs: 3 * MINUTE });
  await stage.settle(refused(await stage.claimOne()));
  return idsOf([...wanted, keyed]);
}
