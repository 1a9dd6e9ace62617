import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { aTask, completed, nacked, released, tasks, undelivered } from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

export function releaseContract(suite: Suite): void {
  suite.test("counts an attempt at claim, and gives it back on release", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask());
    const task = await stage.claimOne();
    assert.equal((await stage.task(id)).attempt, 1);
    await stage.advance(100);

    const [outcome] = await stage.settle(released(task));

    assert.ok(outcome?.kind === "ready");
    stage.assertAbout(outcome.ranMs, 100);
    const stored = await stage.taskIn(id, "ready");
    assert.equal(stored.attempt, 0);
    assert.deepEqual(stored.failures, []);
    assert.equal("lease" in stored, false);
    assert.equal((await stage.claimOne()).attempt, 1);
  });

  suite.test("puts a released task back at the head of its priority", async (stage) => {
    await stage.enqueue(aTask({ priority: 9 }), ...tasks(2));
    const [urgent, ordinary] = await stage.claim(2);
    const [laterUrgent] = await stage.enqueue(aTask({ priority: 9 }));

    await stage.settle(released(ordinary), released(urgent));

    assert.deepEqual(idsOf(await stage.claim(3)), [urgent.id, laterUrgent.id, ordinary.id]);
  });

  suite.test("gives several releases of one call out again in the order given", async (stage) => {
    const wanted = tasks(5);
    await stage.enqueue(...wanted);
    const [a, b, c] = await stage.claim(3);

    await stage.settle(released(b), undelivered(c), released(a));

    const [, , , d, e] = idsOf(wanted);
    assert.deepEqual(idsOf(await stage.claimAll()), [b.id, c.id, a.id, d, e]);
  });

  suite.test("keeps the order of several releases when a task comes twice in the call", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [a, b, c] = await stage.claim(3);

    const outcomes = await stage.settle(released(a), completed(a), released(b), released(a), released(c));

    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["ready", "lease-lost", "ready", "lease-lost", "ready"],
    );
    assert.deepEqual(idsOf(await stage.claim(3)), idsOf([a, b, c]));
  });

  suite.test("gives what was released last before what was released earlier", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [a, b, c] = await stage.claim(3);

    await stage.settle(released(a));
    await stage.settle(released(c), released(b));

    assert.deepEqual(idsOf(await stage.claimAll()), [c.id, b.id, a.id]);
  });

  suite.test("keeps releases and other endings of one call in their places", async (stage) => {
    await stage.enqueue(...tasks(6));
    const [a, b, c, d] = await stage.claim(4);

    await stage.settle(
      nacked(a, { delayMs: 0 }),
      released(b),
      completed(c),
      released(d),
      nacked(d, { delayMs: 0 }),
    );

    const order = idsOf(await stage.claimAll());
    assert.deepEqual([order[0], order[1], order[4]], [b.id, d.id, a.id]);
    assert.equal(order.length, 5);
  });

  suite.test("counts the attempt of release 101, which ends a task on its last attempt", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 2 }));
    await releaseTimes(stage, LIMITS.releasesMax);
    assert.equal((await stage.task(id)).attempt, 0);

    const [counted] = await stage.settle(released(await stage.claimOne()));
    const stored = await stage.taskIn(id, "ready");
    const [last] = await stage.settle(released(await stage.claimOne()));

    assert.equal(counted?.kind, "ready");
    assert.equal(stored.attempt, 1);
    assert.ok(last?.kind === "dead" && last.reason === "attempts");
    const dead = await stage.taskIn(id, "dead");
    assert.equal(dead.deadReason, "attempts");
    assert.equal(dead.attempt, 2);
  });

  suite.test("puts release 101 at the head all the same", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask());
    await releaseTimes(stage, LIMITS.releasesMax);
    await stage.enqueue(aTask());

    await stage.settle(released(await stage.claimOne()));

    assert.equal((await stage.claimOne()).id, id);
  });

  suite.test("never counts what its claimer did not receive", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 1 }));

    for (let time = 0; time < LIMITS.releasesMax + 5; time += 1)
      await stage.settle(undelivered(await stage.claimOne()));
    await releaseTimes(stage, LIMITS.releasesMax);
    const [after] = await stage.settle(undelivered(await stage.claimOne()));
    assert.equal(after?.kind, "ready");
    assert.equal((await stage.task(id)).attempt, 0);

    const [outcome] = await stage.settle(released(await stage.claimOne()));
    assert.equal(outcome?.kind, "dead");
  });

  suite.reopenTest("remembers the releases of a task across close and reopen", async (stage) => {
    await stage.enqueue(aTask({ maxAttempts: 1 }));
    await releaseTimes(stage, LIMITS.releasesMax);
    await stage.reopen();

    const [outcome] = await stage.settle(released(await stage.claimOne()));

    assert.equal(outcome?.kind, "dead");
  });
}

async function releaseTimes(stage: Stage, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) await stage.settle(released(await stage.claimOne()));
}
