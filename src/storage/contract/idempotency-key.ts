import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { aQueue, aTask, completed, QUEUE } from "./builders.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function idempotencyKeyContract(suite: Suite): void {
  const DAY = LIMITS.idempotencyKeyMs;

  suite.test("makes a second enqueue with the same idempotency key return the first task", async (stage) => {
    const [first] = await stage.enqueue(aTask({ idempotencyKey: "k" }));

    const outcomes = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k", priority: 9 })]);

    assert.deepEqual(outcomes, [{ kind: "deduplicated", task: first }]);
    assert.equal((await stage.counts()).ready, 1);
  });

  suite.test("returns the first task as it is now", async (stage) => {
    await stage.enqueue(aTask({ idempotencyKey: "k" }));
    const task = await stage.claimOne();
    await stage.settle(completed(task, '"sent"'));

    const [outcome] = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k" })]);

    assert.deepEqual(outcome, { kind: "deduplicated", task: await stage.taskIn(task.id, "completed") });
  });

  suite.test("makes two tasks with one key in one call one task", async (stage) => {
    const twins = [aTask({ idempotencyKey: "k" }), aTask({ idempotencyKey: "k" })];

    const outcomes = await stage.storage.enqueue(QUEUE, [...twins, aTask()]);

    const task = await stage.task(twins[0]!.id);
    assert.deepEqual(outcomes.slice(0, 2), [
      { kind: "enqueued", task },
      { kind: "deduplicated", task },
    ]);
    assert.equal((await stage.counts()).ready, 2);
  });

  suite.test("refuses the same key with another payload, in one call too", async (stage) => {
    const [first] = await stage.enqueue(aTask({ idempotencyKey: "k", payload: "1" }));
    const other = aTask({ idempotencyKey: "k2", payload: "1" });

    const outcomes = await stage.storage.enqueue(QUEUE, [
      aTask({ idempotencyKey: "k", payload: "2" }),
      other,
      aTask({ idempotencyKey: "k2", payload: "2" }),
    ]);

    assert.deepEqual(outcomes, [
      { kind: "conflict", id: first.id },
      { kind: "enqueued", task: await stage.task(other.id) },
      { kind: "conflict", id: other.id },
    ]);
  });

  suite.test("compares payloads by their hash, not by their text", async (stage) => {
    const [first] = await stage.enqueue(
      aTask({ idempotencyKey: "k", payload: '{"a":1,"b":2}', payloadHash: "00ff" }),
    );

    const outcomes = await stage.storage.enqueue(QUEUE, [
      aTask({ idempotencyKey: "k", payload: '{"b":2,"a":1}', payloadHash: "00ff" }),
    ]);

    assert.deepEqual(outcomes, [{ kind: "deduplicated", task: first }]);
  });

  suite.test("keeps the keys of two queues, and keys that differ in one letter, apart", async (stage) => {
    const other = aQueue("letters");
    await stage.enqueue(aTask({ idempotencyKey: "k" }), aTask({ idempotencyKey: "K" }));
    await stage.enqueue(aTask({ idempotencyKey: "k " }), aTask({ idempotencyKey: "🦔".repeat(100) }));
    await stage.enqueueTo(other, aTask({ idempotencyKey: "k" }, other));

    assert.equal((await stage.counts()).ready, 4);
    assert.equal((await stage.counts(other)).ready, 1);
  });

  suite.test("remembers a key for a day after its task was pruned or deleted", async (stage) => {
    await stage.configure({ retention: { completedMs: 0 } });
    const [pruned, deleted] = await stage.enqueue(
      aTask({ idempotencyKey: "pruned" }),
      aTask({ idempotencyKey: "deleted", delayMs: MINUTE }),
    );
    await stage.settle(completed(await stage.claimOne()));
    await stage.advance(MINUTE);
    assert.equal(await stage.pruneAll(), 1);
    await stage.storage.purge(QUEUE, "scheduled", 1);

    await stage.advance(DAY - 2 * MINUTE);
    await stage.pruneAll();
    const outcomes = await stage.storage.enqueue(QUEUE, [
      aTask({ idempotencyKey: "pruned" }),
      aTask({ idempotencyKey: "deleted" }),
      aTask({ idempotencyKey: "deleted", payload: '"another"' }),
    ]);

    assert.deepEqual(outcomes, [
      { kind: "pruned", id: pruned.id },
      { kind: "pruned", id: deleted.id },
      { kind: "conflict", id: deleted.id },
    ]);
  });

  suite.test("forgets a key a day after its first enqueue, however often it was seen", async (stage) => {
    const [first] = await stage.enqueue(aTask({ idempotencyKey: "k", delayMs: 3 * DAY }));
    await stage.advance(DAY - MINUTE);
    const [seen] = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k" })]);
    assert.equal(seen?.kind, "deduplicated");

    await stage.advance(2 * MINUTE);
    const [second] = await stage.enqueue(aTask({ idempotencyKey: "k", payload: '"another"' }));

    assert.notEqual(second.id, first.id);
    assert.equal((await stage.task(first.id)).idempotencyKey, "k");
  });

  suite.exactTest("remembers a key to the last millisecond of its day", async (stage) => {
    await stage.enqueue(aTask({ idempotencyKey: "k" }));

    await stage.advance(DAY - 1);
    const [last] = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k" })]);
    await stage.advance(1);
    const [first] = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k" })]);

    assert.equal(last?.kind, "deduplicated");
    assert.equal(first?.kind, "enqueued");
  });

  suite.test("keeps the key of a new task when the old one of that name goes", async (stage) => {
    const [old] = await stage.enqueue(aTask({ idempotencyKey: "k", delayMs: 3 * DAY }));
    await stage.advance(DAY + MINUTE);
    const [young] = await stage.enqueue(aTask({ idempotencyKey: "k" }));
    await stage.storage.purge(QUEUE, "scheduled", 10);
    await stage.pruneAll();
    assert.deepEqual(await stage.storage.get(QUEUE, [old.id]), [undefined]);

    const outcomes = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k" })]);

    assert.deepEqual(outcomes, [{ kind: "deduplicated", task: young }]);
  });

  suite.reopenTest("remembers keys, their hashes and their day across close and reopen", async (stage) => {
    const [first] = await stage.enqueue(aTask({ idempotencyKey: "k" }));
    await stage.advance(DAY - MINUTE);
    await stage.reopen();

    const outcomes = await stage.storage.enqueue(QUEUE, [
      aTask({ idempotencyKey: "k" }),
      aTask({ idempotencyKey: "k", payload: '"another"' }),
    ]);
    await stage.advance(2 * MINUTE);
    const [later] = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k" })]);

    assert.deepEqual(outcomes, [
      { kind: "deduplicated", task: first },
      { kind: "conflict", id: first.id },
    ]);
    assert.equal(later?.kind, "enqueued");
  });
}
