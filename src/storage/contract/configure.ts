import assert from "node:assert/strict";
import { DEFAULT_QUEUE_CONFIG } from "../../task/queue.ts";
import { aTask, QUEUE, tasks } from "./builders.ts";
import type { Suite } from "./suite.ts";

export function configureContract(suite: Suite): void {
  suite.test("makes the queue, with every default in force", async (stage) => {
    const snapshot = await stage.storage.configure(QUEUE, {});

    assert.deepEqual(snapshot, {
      queue: QUEUE,
      paused: false,
      config: DEFAULT_QUEUE_CONFIG,
      counts: { scheduled: 0, ready: 0, leased: 0, completed: 0, dead: 0, cancelled: 0 },
      enqueued: 0,
      pruned: 0,
    });
    assert.deepEqual(await stage.storage.snapshot(QUEUE), snapshot);
    assert.deepEqual(await stage.storage.queues(), [QUEUE]);
  });

  suite.test("changes what it is told and leaves the rest, field by field", async (stage) => {
    await stage.configure({
      maxAttempts: 9,
      maxDepth: 100,
      backoff: { type: "linear", baseMs: 7 },
      retention: { completedMax: 5 },
    });

    const { config } = await stage.configure({
      leaseMs: 5_000,
      backoff: { jitter: "none" },
      retention: { bytesMax: 0 },
    });

    assert.deepEqual(config, {
      maxAttempts: 9,
      leaseMs: 5_000,
      maxDepth: 100,
      backoff: { ...DEFAULT_QUEUE_CONFIG.backoff, type: "linear", baseMs: 7, jitter: "none" },
      retention: { ...DEFAULT_QUEUE_CONFIG.retention, completedMax: 5, bytesMax: 0 },
    });
  });

  suite.test("unsets the bound on the depth with null", async (stage) => {
    await stage.configure({ maxDepth: 1 });
    await stage.enqueue(aTask());

    const { config } = await stage.configure({ maxDepth: null });

    assert.equal(config.maxDepth, null);
    await stage.enqueue(...tasks(2));
  });

  suite.test("keeps tasks that are already more than a new bound on the depth", async (stage) => {
    await stage.enqueue(...tasks(5));
    await stage.configure({ maxDepth: 2 });

    const outcomes = await stage.storage.enqueue(QUEUE, [aTask()]);

    assert.deepEqual(outcomes, [{ kind: "queue-full", depth: 5, limit: 2 }]);
    assert.equal((await stage.counts()).ready, 5);
  });

  suite.test("pauses and resumes, each as often as it is told", async (stage) => {
    await stage.enqueue(aTask());

    for (const paused of [true, true, false, false, true]) {
      const snapshot = await stage.storage.configure(QUEUE, { paused });
      assert.equal(snapshot.paused, paused);
      assert.equal(snapshot.counts.ready, 1);
    }
  });

  suite.test("changes configuration and pause in one step, and neither unasked", async (stage) => {
    await stage.storage.configure(QUEUE, { paused: true, config: { maxAttempts: 2 } });

    const other = await stage.configure({ leaseMs: 9_000 });
    const resumed = await stage.storage.configure(QUEUE, { paused: false });

    assert.equal(other.paused, true);
    assert.equal(other.config.maxAttempts, 2);
    assert.equal(resumed.config.leaseMs, 9_000);
  });

  suite.test("does not let a caller change a configuration by changing what it was given", async (stage) => {
    const snapshot = await stage.configure({ maxAttempts: 2 });
    const copy = structuredClone(snapshot);

    await stage.configure({ maxAttempts: 3, retention: { completedMax: 1 } });

    assert.deepEqual(snapshot, copy);
    assert.equal(DEFAULT_QUEUE_CONFIG.maxAttempts, 5);
  });

  suite.reopenTest("keeps configuration and pause across close and reopen", async (stage) => {
    await stage.configure({ maxAttempts: 9 });
    await stage.storage.configure(QUEUE, {
      paused: true,
      config: {
        maxAttempts: 2,
        maxDepth: 7,
        leaseMs: 4_000,
        backoff: { capMs: 1 },
        retention: { deadMs: 0 },
      },
    });
    const before = await stage.storage.snapshot(QUEUE);
    await stage.reopen();

    assert.deepEqual(await stage.storage.snapshot(QUEUE), before);
  });
}
