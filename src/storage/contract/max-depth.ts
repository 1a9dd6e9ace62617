import assert from "node:assert/strict";
import { aTask, completed, QUEUE, tasks } from "./builders.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function maxDepthContract(suite: Suite): void {
  suite.test("accepts as many as fit and turns the rest away", async (stage) => {
    await stage.configure({ maxDepth: 3 });

    const outcomes = await stage.storage.enqueue(QUEUE, tasks(5));

    assert.deepEqual(
      outcomes.map((outcome) => outcome.kind),
      ["enqueued", "enqueued", "enqueued", "queue-full", "queue-full"],
    );
    assert.deepEqual(outcomes[4], { kind: "queue-full", depth: 3, limit: 3 });
    assert.equal((await stage.storage.snapshot(QUEUE))?.enqueued, 3);
  });

  suite.test("counts scheduled, ready and leased tasks, and no finished ones", async (stage) => {
    await stage.configure({ maxDepth: 3 });
    await stage.enqueue(aTask({ delayMs: MINUTE }), aTask(), aTask());
    const task = await stage.claimOne();

    const [full] = await stage.storage.enqueue(QUEUE, [aTask()]);
    await stage.settle(completed(task));
    const [free] = await stage.storage.enqueue(QUEUE, [aTask({ delayMs: MINUTE })]);
    const [fullAgain] = await stage.storage.enqueue(QUEUE, [aTask({ delayMs: MINUTE })]);

    assert.equal(full?.kind, "queue-full");
    assert.equal(free?.kind, "enqueued");
    assert.equal(fullAgain?.kind, "queue-full");
  });

  suite.test("does not hold up a task that is found by its key", async (stage) => {
    const [first] = await stage.enqueue(aTask({ idempotencyKey: "k" }));
    await stage.configure({ maxDepth: 1 });

    const outcomes = await stage.storage.enqueue(QUEUE, [
      aTask({ idempotencyKey: "k" }),
      aTask({ idempotencyKey: "k", payload: '"another"' }),
    ]);

    assert.deepEqual(outcomes, [
      { kind: "deduplicated", task: first },
      { kind: "conflict", id: first.id },
    ]);
  });

  suite.test("does not remember the key of a task that it turned away", async (stage) => {
    await stage.configure({ maxDepth: 1 });
    await stage.enqueue(aTask());
    const [full] = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k", payload: "1" })]);
    await stage.configure({ maxDepth: null });

    const [outcome] = await stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k", payload: "2" })]);

    assert.equal(full?.kind, "queue-full");
    assert.equal(outcome?.kind, "enqueued");
  });
}
