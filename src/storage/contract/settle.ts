import assert from "node:assert/strict";
import type { TaskId } from "../../task/ids.ts";
import { newTaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import {
  aQueue,
  aTask,
  completed,
  nacked,
  QUEUE,
  refused,
  released,
  SETTLEMENTS,
  tasks,
  undelivered,
  withToken,
} from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function settleContract(suite: Suite): void {
  suite.chapter("complete", completions);
  suite.chapter("nack", nacks);
  suite.chapter("refuse", refusals);
  suite.chapter("release", releases);
  suite.chapter("with a token that is not the lease's", strangers);
  suite.chapter("many at once, and claims with them", batches);
}

function completions(suite: Suite): void {
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

function nacks(suite: Suite): void {
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

function refusals(suite: Suite): void {
  suite.test("ends a refused task at once, attempts left or not", async (stage) => {
    await stage.enqueue(aTask(), aTask({ maxAttempts: 1 }));
    const [early, last] = await stage.claim(2);
    await stage.advance(100);

    const outcomes = await stage.settle(refused(early, "no such address"), refused(last));

    for (const outcome of outcomes) {
      assert.ok(outcome.kind === "dead" && outcome.reason === "refused");
      stage.assertAbout(outcome.ranMs, 100);
    }
    const [first, second] = [await stage.taskIn(early.id, "dead"), await stage.taskIn(last.id, "dead")];
    assert.equal(first.deadReason, "refused");
    assert.equal(first.lastError, "no such address");
    assert.deepEqual(
      first.failures.map(({ attempt, error }) => [attempt, error]),
      [[1, "no such address"]],
    );
    assert.equal(second.deadReason, "refused", "refused wins over attempts");
    assert.equal("lastError" in second, false);
    assert.equal(second.failures[0]?.error, "");
  });
}

function releases(suite: Suite): void {
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

function strangers(suite: Suite): void {
  suite.test("refuses completion from a worker whose lease was taken over", async (stage) => {
    await stage.enqueue(aTask());
    const first = await stage.claimOne({ leaseMs: 1_000 });

    await stage.advance(1_000);
    await stage.reapAll();
    const second = await stage.claimOne({ leaseMs: MINUTE });
    const outcomes = await stage.settle(completed(first, "1"), completed(second, "2"));

    assert.deepEqual(outcomes[0], { kind: "lease-lost", state: "leased" });
    assert.equal(outcomes[1]?.kind, "completed");
    assert.equal((await stage.taskIn(first.id, "completed")).result, "2");
  });

  suite.test("lets nobody but the holder end a claim", async (stage) => {
    await stage.enqueue(...tasks(2));
    const [task, other] = await stage.claim(2);
    const stored = await stage.task(task.id);

    for (const token of [
      "x",
      "0",
      "🦔",
      other.lease.token,
      `${task.lease.token} `,
      String(task.lease.fence),
    ]) {
      if (token === task.lease.token) continue;
      const outcomes = await stage.settle(...SETTLEMENTS.map((end) => end(withToken(task, token))));
      for (const outcome of outcomes) assert.deepEqual(outcome, { kind: "lease-lost", state: "leased" });
    }
    assert.deepEqual(await stage.task(task.id), stored);
  });

  suite.test("names the state of a task that has moved on", async (stage) => {
    const wanted = tasks(5, { backoff: { type: "fixed", baseMs: MINUTE, jitter: "none" } });
    await stage.enqueue(...wanted);
    const [ready, scheduled, dead, cancelled, done] = await stage.claim(5);
    await stage.settle(nacked(ready, { delayMs: 0 }), nacked(scheduled), refused(dead), completed(done));
    await stage.storage.cancel(QUEUE, [cancelled.id]);

    const held = [ready, scheduled, dead, cancelled];
    const outcomes = await stage.settle(...held.flatMap((task) => SETTLEMENTS.map((end) => end(task))));

    const states = ["ready", "scheduled", "dead", "cancelled"];
    assert.deepEqual(
      outcomes,
      states.flatMap((state) => SETTLEMENTS.map(() => ({ kind: "lease-lost", state }))),
    );
  });

  suite.test("does not know a task that is not there", async (stage) => {
    await stage.enqueue(aTask());
    const task = await stage.claimOne();
    const nobody = { ...task, id: newTaskId(QUEUE) };

    const outcomes = await stage.settle(...SETTLEMENTS.map((end) => end(nobody)), completed(task));

    assert.deepEqual(
      outcomes.slice(0, -1),
      SETTLEMENTS.map(() => ({ kind: "not-found" })),
    );
    assert.equal(outcomes.at(-1)?.kind, "completed");
  });

  suite.test(
    "does not know a task of another queue, nor any in a queue that does not exist",
    async (stage) => {
      await stage.enqueue(aTask());
      const task = await stage.claimOne();
      const foreign = { ...task, id: `letters~${task.id.slice(-16)}` as TaskId };

      const here = await stage.storage.settle(QUEUE, [completed(foreign)]);
      const nowhere = await stage.storage.settle(aQueue("nowhere"), [completed(task)], [{ max: 1 }]);

      assert.deepEqual(here.outcomes, [{ kind: "not-found" }]);
      assert.deepEqual(nowhere.outcomes, [{ kind: "not-found" }]);
      assert.deepEqual(nowhere.claim, { grants: [[]], more: false });
      assert.deepEqual(await stage.storage.queues(), [QUEUE]);
      await stage.taskIn(task.id, "leased");
    },
  );

  suite.exactTest("ends the right to settle at the exact end of the lease, reaped or not", async (stage) => {
    await stage.enqueue(...tasks(2 * SETTLEMENTS.length));
    const early = await stage.claim(SETTLEMENTS.length as number, { leaseMs: 1_000 });
    await stage.advance(1);
    const late = await stage.claim(SETTLEMENTS.length as number, { leaseMs: 1_000 });

    await stage.advance(999);
    const lost = await stage.settle(...SETTLEMENTS.map((end, place) => end(early[place]!)));
    const live = await stage.settle(...SETTLEMENTS.map((end, place) => end(late[place]!)));

    for (const outcome of lost) assert.deepEqual(outcome, { kind: "lease-lost", state: "leased" });
    assert.deepEqual(
      live.map(({ kind }) => kind),
      ["completed", "ready", "dead", "ready", "ready"],
    );
  });
}

function batches(suite: Suite): void {
  suite.test("settles a thousand claims in one call, each by its own outcome", async (stage) => {
    await stage.enqueue(...tasks(LIMITS.batchMax));
    const claimed = await stage.claimAll();
    assert.equal(claimed.length, LIMITS.batchMax);

    const outcomes = await stage.settle(
      ...claimed.map((task, place) => SETTLEMENTS[place % SETTLEMENTS.length]!(task)),
    );

    const kinds = ["completed", "ready", "dead", "ready", "ready"];
    outcomes.forEach((outcome, place) => {
      assert.equal(outcome.kind, kinds[place % kinds.length]);
    });
    const counts = await stage.counts();
    assert.deepEqual([counts.completed, counts.ready, counts.dead, counts.leased], [200, 600, 200, 0]);
  });

  suite.test("answers nothing for nothing", async (stage) => {
    await stage.enqueue(aTask());

    assert.deepEqual(await stage.storage.settle(QUEUE, []), {
      outcomes: [],
      claim: { grants: [], more: true },
    });
  });

  suite.test("takes several endings of one task in order: the first counts", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [a, b, c] = await stage.claim(3);

    const outcomes = await stage.settle(
      completed(a, "1"),
      nacked(b, { delayMs: 0 }),
      completed(a, "2"),
      completed(b),
      refused(c),
      released(c),
      nacked(a),
    );

    assert.deepEqual(
      outcomes.map((outcome) => ("state" in outcome ? `${outcome.kind} ${outcome.state}` : outcome.kind)),
      [
        "completed",
        "ready",
        "completed",
        "lease-lost ready",
        "dead",
        "lease-lost dead",
        "lease-lost completed",
      ],
    );
    assert.equal((await stage.taskIn(a.id, "completed")).result, "1");
  });

  suite.test("serves its asks with what the same call made ready", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [a, b, c] = await stage.claim(3);

    const reply = await stage.storage.settle(
      QUEUE,
      [nacked(a, { delayMs: 0, error: "again" }), released(b), completed(c)],
      [
        { max: 1, worker: "x" },
        { max: 5, worker: "y" },
      ],
    );

    assert.deepEqual(
      reply.outcomes.map(({ kind }) => kind),
      ["ready", "ready", "completed"],
    );
    assert.deepEqual(reply.claim.grants.map(idsOf), [[b.id], [a.id]]);
    assert.equal(reply.claim.more, false);
    const [[releasedOne] = [], [nackedOne] = []] = reply.claim.grants;
    assert.equal(releasedOne?.attempt, 1);
    assert.equal(nackedOne?.attempt, 2);
    assert.equal(nackedOne?.lastError, "again");
    assert.equal(nackedOne?.lease.worker, "y");
    assert.ok(nackedOne.lease.fence > a.lease.fence);
  });

  suite.test("says that ready tasks remain when it made them ready itself", async (stage) => {
    await stage.enqueue(...tasks(2));
    const [a, b] = await stage.claim(2);

    const unasked = await stage.storage.settle(QUEUE, [released(a)]);
    const asked = await stage.storage.settle(QUEUE, [nacked(b, { delayMs: 0 })], [{ max: 1 }]);

    assert.deepEqual(unasked.claim, { grants: [], more: true });
    assert.deepEqual(asked.claim.grants.map(idsOf), [[a.id]]);
    assert.equal(asked.claim.more, true);
  });

  suite.test("serves its asks also when every settlement came too late", async (stage) => {
    await stage.enqueue(...tasks(2));
    const task = await stage.claimOne();
    await stage.storage.cancel(QUEUE, [task.id]);

    const reply = await stage.storage.settle(QUEUE, [completed(task)], [{ max: 1 }]);

    assert.deepEqual(reply.outcomes, [{ kind: "lease-lost", state: "cancelled" }]);
    assert.equal(reply.claim.grants[0]?.length, 1);
  });

  suite.test("settles in a paused queue, and claims nothing there", async (stage) => {
    await stage.enqueue(...tasks(2));
    const task = await stage.claimOne();
    await stage.storage.configure(QUEUE, { paused: true });

    const reply = await stage.storage.settle(QUEUE, [completed(task)], [{ max: 1 }]);

    assert.equal(reply.outcomes[0]?.kind, "completed");
    assert.deepEqual(reply.claim, { grants: [[]], more: false });
  });
}
