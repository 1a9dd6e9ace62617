import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { aTask, nacked, tasks } from "./builders.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function nackContract(suite: Suite): void {
  suite.test("schedules the next attempt by the task's backoff", async (stage) => {
    await stage.enqueue(
      aTask({
        backoff: { type: "exponential", baseMs: 10_000, capMs: 30_000, jitter: "none" },
        maxAttempts: 9,
      }),
    );

    for (const waitMs of [10_000, 20_000, 30_000, 30_000]) {
      const task = await stage.claimOne();
      const [outcome] = await stage.settle(nacked(task));
      const stored = await stage.taskIn(task.id, "scheduled");
      assert.ok(outcome?.kind === "scheduled");
      assert.equal(outcome.runAt, stored.runAt);
      stage.assertAbout(stored.runAt, task.lease.claimedAt + waitMs);
      assert.equal("lease" in stored, false);
      await stage.advance(waitMs + 10_000);
      assert.equal(await stage.promoteAll(), 1);
    }
  });

  suite.test("draws the backoff's jitter with the number that it is given", async (stage) => {
    const backoff = { type: "fixed", baseMs: 100_000, jitter: "full" } as const;
    await stage.enqueue(...tasks(3, { backoff }));
    const [a, b, c] = await stage.claim(3);

    const [atOnce, half, late] = await stage.settle(
      nacked(a, { random: 0 }),
      nacked(b, { random: 0.5 }),
      nacked(c, { random: 0.99 }),
    );

    assert.equal(atOnce?.kind, "ready");
    assert.ok(half?.kind === "scheduled" && late?.kind === "scheduled");
    stage.assertAbout(half.runAt, b.lease.claimedAt + 50_000);
    assert.equal(late.runAt - half.runAt, 49_000);
  });

  suite.test("lets the worker set the wait, and takes 0 as at once", async (stage) => {
    await stage.enqueue(...tasks(2, { backoff: { type: "fixed", baseMs: MINUTE, jitter: "none" } }));
    const [a, b] = await stage.claim(2);
    await stage.advance(100);

    const [atOnce, later] = await stage.settle(nacked(a, { delayMs: 0 }), nacked(b, { delayMs: 5 * MINUTE }));

    assert.ok(atOnce?.kind === "ready");
    stage.assertAbout(atOnce.ranMs, 100);
    const ready = await stage.taskIn(a.id, "ready");
    stage.assertAbout(ready.runAt, a.lease.claimedAt + 100);
    assert.ok(later?.kind === "scheduled");
    stage.assertAbout(later.runAt, b.lease.claimedAt + 100 + 5 * MINUTE);
  });

  suite.test("puts a task that is ready again at the tail of its priority", async (stage) => {
    await stage.enqueue(...tasks(3));
    const task = await stage.claimOne();

    await stage.settle(nacked(task, { delayMs: 0 }));

    assert.equal((await stage.claim(3))[2].id, task.id);
  });

  suite.test("keeps the error as a failure that names attempt, moment and worker", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne({ worker: "w 1" });
    await stage.advance(100);

    await stage.settle(nacked(task, { error: "smtp: 421", delayMs: 0 }));

    const stored = await stage.task(task.id);
    assert.equal(stored.lastError, "smtp: 421");
    assert.deepEqual(stored.failures, [
      { attempt: 1, at: stored.failures[0]?.at, worker: "w 1", error: "smtp: 421" },
    ]);
    stage.assertAbout(stored.failures[0]?.at, task.lease.claimedAt + 100);
  });

  suite.test(
    'adds a failure with the error "" for a nack without one, and leaves lastError alone',
    async (stage) => {
      const [{ id }] = await stage.enqueue(aTask());
      await stage.settle(nacked(await stage.claimOne(), { delayMs: 0 }));
      assert.equal("lastError" in (await stage.task(id)), false);
      await stage.settle(nacked(await stage.claimOne(), { error: "told", delayMs: 0 }));
      await stage.settle(nacked(await stage.claimOne(), { delayMs: 0 }));
      await stage.settle(nacked(await stage.claimOne(), { error: "", delayMs: 0 }));

      const stored = await stage.task(id);
      assert.deepEqual(
        stored.failures.map(({ attempt, error }) => [attempt, error]),
        [
          [1, ""],
          [2, "told"],
          [3, ""],
          [4, ""],
        ],
      );
      assert.equal(
        stored.failures.some((failure) => "worker" in failure),
        false,
      );
      assert.equal(stored.lastError, "");
    },
  );

  suite.test("keeps the last ten failures, oldest first", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 100 }));

    for (let attempt = 1; attempt <= 13; attempt += 1)
      await stage.settle(nacked(await stage.claimOne(), { error: `e${attempt}`, delayMs: 0 }));

    const { failures } = await stage.task(id);
    assert.deepEqual(
      failures.map(({ attempt, error }) => `${attempt} ${error}`),
      Array.from({ length: LIMITS.failuresMax }, (_, place) => `${place + 4} e${place + 4}`),
    );
  });

  suite.test(
    "cuts a failure's error to 1 kB at a whole character, and keeps lastError whole",
    async (stage) => {
      const long = `${"a".repeat(1_022)}🦔${"b".repeat(9_000)}`;
      const [{ id }] = await stage.enqueue(aTask());

      await stage.settle(nacked(await stage.claimOne(), { error: long, delayMs: 0 }));

      const stored = await stage.task(id);
      assert.equal(stored.failures[0]?.error, "a".repeat(1_022));
      assert.equal(stored.lastError, long);
    },
  );

  suite.test("keeps an error of 1 kB whole, and a lastError of 10 kB", async (stage) => {
    const kilobyte = "é".repeat(LIMITS.failureErrorBytesMax / 2);
    const tenKilobytes = "é".repeat(LIMITS.errorBytesMax / 2);
    const [{ id }] = await stage.enqueue(aTask());

    await stage.settle(nacked(await stage.claimOne(), { error: kilobyte, delayMs: 0 }));
    await stage.settle(nacked(await stage.claimOne(), { error: tenKilobytes, delayMs: 0 }));

    const stored = await stage.task(id);
    assert.deepEqual(
      stored.failures.map(({ error }) => error),
      [kilobyte, kilobyte],
    );
    assert.equal(stored.lastError, tenKilobytes);
  });

  suite.test("ends a task whose last attempt failed", async (stage) => {
    await stage.enqueue(aTask({ maxAttempts: 2 }));
    await stage.settle(nacked(await stage.claimOne(), { error: "first", delayMs: 0 }));
    const task = await stage.claimOne();
    await stage.advance(100);

    const [outcome] = await stage.settle(nacked(task, { error: "second", delayMs: 0 }));

    assert.ok(outcome?.kind === "dead" && outcome.reason === "attempts");
    stage.assertAbout(outcome.ranMs, 100);
    const stored = await stage.taskIn(task.id, "dead");
    assert.equal(stored.deadReason, "attempts");
    assert.equal(stored.attempt, 2);
    assert.equal(stored.lastError, "second");
    stage.assertAbout(stored.finishedAt, task.lease.claimedAt + 100);
    assert.equal("lease" in stored, false);
    assert.deepEqual(
      stored.failures.map(({ error }) => error),
      ["first", "second"],
    );
  });
}
