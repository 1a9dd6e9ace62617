import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import type { ClaimedTask } from "../../task/task.ts";
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
  undelivered,
} from "./builders.ts";
import { assertConserved } from "./conservation.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

/** One test or more for each invariant of ARCHITECTURE.md that an engine keeps, named with its number. */
export function invariantsContract(suite: Suite): void {
  conservationAndFences(suite);
  holdersAndTime(suite);
  attemptsAndOrder(suite);
  durabilityKeysAndBounds(suite);
}

function conservationAndFences(suite: Suite): void {
  suite.test("I1: keeps each task in exactly one state, whatever arrow it takes", async (stage) => {
    await stage.configure({ retention: { completedMs: 0 } });
    await stage.enqueue(...tasks(20), ...tasks(5, { delayMs: MINUTE }));
    const steps: readonly (() => Promise<unknown>)[] = [
      async () => stage.settle(completed(await stage.claimOne())),
      async () => stage.settle(nacked(await stage.claimOne(), { delayMs: MINUTE })),
      async () => stage.settle(nacked(await stage.claimOne(), { delayMs: 0 })),
      async () => stage.settle(refused(await stage.claimOne())),
      async () => stage.settle(released(await stage.claimOne())),
      async () => stage.storage.cancel(QUEUE, [(await stage.claimOne()).id]),
      async () => stage.storage.cancel(QUEUE, idsOf((await stage.listAll({ state: "ready" })).slice(3, 4))),
      async () =>
        stage.storage.cancel(QUEUE, idsOf((await stage.listAll({ state: "scheduled" })).slice(1, 2))),
      async () => stage.storage.requeue(QUEUE, idsOf(await stage.listAll({ state: "cancelled" }))),
      async () =>
        stage.storage.requeue(QUEUE, idsOf((await stage.listAll({ state: "scheduled" })).slice(0, 1))),
      async () => stage.storage.requeueDead(QUEUE, 1),
      async () => stage.claim(3, { leaseMs: MINUTE }),
      async () =>
        stage.storage.forceRelease(QUEUE, idsOf((await stage.listAll({ state: "leased" })).slice(0, 1))),
      async () => stage.advance(2 * MINUTE),
      async () => stage.promoteAll(),
      async () => stage.reapAll(),
      async () => stage.pruneAll(),
      async () => stage.storage.purge(QUEUE, "ready", 2),
    ];

    for (const step of steps) {
      await step();
      await assertConserved(stage.storage);
    }

    const snapshot = await stage.storage.snapshot(QUEUE);
    assert.deepEqual([snapshot?.enqueued, snapshot?.pruned], [25, 3]);
  });

  suite.test("I2: gives a task to one holder at a time, and each holder a higher fence", async (stage) => {
    await stage.enqueue(aTask({ maxAttempts: 100 }));
    const ends = [
      (task: ClaimedTask) => stage.settle(nacked(task, { delayMs: 0 })),
      (task: ClaimedTask) => stage.settle(released(task)),
      (task: ClaimedTask) => stage.settle(undelivered(task)),
      (task: ClaimedTask) => stage.storage.forceRelease(QUEUE, [task.id]),
      async () => {
        await stage.advance(2 * MINUTE);
        await stage.reapAll();
      },
      async (task: ClaimedTask) => {
        await stage.storage.cancel(QUEUE, [task.id]);
        await stage.storage.requeue(QUEUE, [task.id]);
      },
    ];

    let fence = 0;
    const tokens = new Set<string>();
    for (const end of [...ends, ...ends, ...ends]) {
      const task = await stage.claimOne({ leaseMs: MINUTE });
      assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 5 }]), { grants: [[]], more: false });
      assert.ok(task.lease.fence > fence, `Expected a fence above ${fence}, got ${task.lease.fence}`);
      fence = task.lease.fence;
      tokens.add(task.lease.token);
      await end(task);
    }
    assert.equal(tokens.size, 3 * ends.length);
  });

  suite.reopenTest("I2: grows fences on across close and reopen", async (stage) => {
    await stage.enqueue(...tasks(3));

    let fence = 0;
    for (let opening = 0; opening < 5; opening += 1) {
      const claimed = await stage.claim(3);
      for (const task of claimed) assert.ok(task.lease.fence > fence, "a fence came back");
      fence = Math.max(...claimed.map((task) => task.lease.fence));
      await stage.reopen();
      const outcomes = await stage.settle(...claimed.map((task) => released(task)));
      for (const outcome of outcomes) assert.equal(outcome.kind, "ready");
      await stage.reopen();
    }
  });
}

function holdersAndTime(suite: Suite): void {
  suite.test("I3: lets a stale token change nothing, in any verb", async (stage) => {
    await stage.enqueue(...tasks(1, { maxAttempts: 2 }));
    const stale = await stage.claimOne({ leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);
    await stage.reapAll();

    const held = await stage.claimOne({ leaseMs: 60 * MINUTE });
    for (const state of ["leased", "dead"] as const) {
      const before = await stage.taskIn(stale.id, state);
      const outcomes = await stage.settle(...SETTLEMENTS.map((end) => end(stale)));
      const [beat] = await stage.storage.heartbeat(QUEUE, [heartbeatOf(stale, 9 * MINUTE)]);
      for (const outcome of [...outcomes, beat]) assert.deepEqual(outcome, { kind: "lease-lost", state });
      assert.deepEqual(await stage.task(stale.id), before);
      if (state === "leased") await stage.settle(nacked(held));
    }
  });

  suite.test(
    "I3: takes the right to a task from its holder at the end of the lease, reaped or not",
    async (stage) => {
      await stage.enqueue(...tasks(SETTLEMENTS.length));
      const claimed = await stage.claim(SETTLEMENTS.length as number, { leaseMs: MINUTE });
      await stage.advance(2 * MINUTE);

      const outcomes = await stage.settle(...claimed.map((task, place) => SETTLEMENTS[place]!(task)));
      const beats = await stage.storage.heartbeat(
        QUEUE,
        claimed.map((task) => heartbeatOf(task)),
      );

      for (const outcome of [...outcomes, ...beats])
        assert.deepEqual(outcome, { kind: "lease-lost", state: "leased" });
      assert.equal(await stage.reapAll(), SETTLEMENTS.length);
    },
  );

  suite.test("I4: never hands a task out before its time, however it was scheduled", async (stage) => {
    await stage.enqueue(aTask(), aTask({ backoff: { type: "fixed", baseMs: 10 * MINUTE, jitter: "none" } }));
    const [byWorker, byBackoff] = await stage.claim(2);
    await stage.settle(nacked(byWorker, { delayMs: 10 * MINUTE }), nacked(byBackoff));
    await stage.enqueue(aTask({ delayMs: 10 * MINUTE }), aTask({ runAt: byWorker.createdAt + 10 * MINUTE }));

    for (let minute = 0; minute < 9; minute += 1) {
      await stage.promoteAll();
      assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 9 }]), { grants: [[]], more: false });
      await stage.advance(MINUTE);
    }
    await stage.advance(2 * MINUTE);
    await stage.promoteAll();

    const claimed = await stage.claimAll();
    assert.equal(claimed.length, 4);
    for (const task of claimed) assert.ok(task.lease.claimedAt >= task.runAt, "claimed before its time");
  });
}

function attemptsAndOrder(suite: Suite): void {
  suite.test("I5: claims a task maxAttempts times plus its releases, then it is dead once", async (stage) => {
    const [{ id }] = await stage.enqueue(aTask({ maxAttempts: 3 }));
    const attempts: number[] = [];
    const claim = async () => {
      const task = await stage.claimOne({ leaseMs: MINUTE });
      attempts.push(task.attempt);
      return task;
    };

    await stage.settle(released(await claim()));
    await stage.settle(nacked(await claim(), { delayMs: 0 }));
    await stage.settle(undelivered(await claim()));
    await stage.storage.forceRelease(QUEUE, [(await claim()).id]);
    await claim();
    await stage.advance(2 * MINUTE);
    await stage.reapAll();
    await stage.settle(released(await claim()));
    await stage.settle(nacked(await claim(), { delayMs: 0 }));

    assert.deepEqual(attempts, [1, 1, 2, 2, 2, 3, 3]);
    assert.equal((await stage.taskIn(id, "dead")).attempt, 3);
    assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 1 }]), { grants: [[]], more: false });
    assert.equal((await stage.counts()).dead, 1);
  });

  suite.test(
    "I6: orders by priority, then by the moment of becoming ready; only a release enters at the head",
    async (stage) => {
      const [promoted] = await stage.enqueue(aTask({ delayMs: MINUTE }));
      const [nackedOne, releasedOne, expired, dead] = await heldTasks(stage, 4);
      await stage.enqueue(aTask({ priority: 1, payload: '"urgent"' }));
      const [waiting] = await stage.enqueue(aTask());
      await stage.settle(refused(dead));
      await stage.settle(nacked(nackedOne, { delayMs: 0 }));
      await stage.advance(2 * MINUTE);
      await stage.promoteAll();
      const [late] = await stage.enqueue(aTask());
      await stage.storage.requeue(QUEUE, [dead.id]);
      await stage.settle(released(releasedOne));
      await stage.advance(120 * MINUTE);
      await stage.reapAll();

      const [urgent, ...rest] = await stage.claimAll();

      assert.equal(urgent?.payload, '"urgent"');
      assert.deepEqual(idsOf(rest), idsOf([releasedOne, waiting, nackedOne, promoted, late, dead, expired]));
    },
  );

  suite.reopenTest("I6: keeps the order of ready tasks across close and reopen", async (stage) => {
    await stage.enqueue(...tasks(30), ...tasks(30, { priority: 6 }));
    const claimed = await stage.claim(40);
    await stage.settle(...claimed.slice(20, 30).map((task) => nacked(task, { delayMs: 0 })));
    await stage.settle(...claimed.slice(30).toReversed().map(released));
    await stage.settle(...claimed.slice(0, 10).toReversed().map(released));
    const before = idsOf(await stage.listAll({ state: "ready" }));
    await stage.reopen();

    assert.deepEqual(idsOf(await stage.listAll({ state: "ready" })), before);
    const [tail] = await stage.enqueue(aTask());
    await stage.settle(released(claimed[10]!));

    const after = idsOf(await stage.claimAll());
    assert.deepEqual(after, [claimed[10]!.id, ...before, tail.id]);
  });
}

async function heldTasks(stage: Stage, count: 4) {
  await stage.enqueue(...tasks(count));
  return stage.claim(count, { leaseMs: 60 * MINUTE });
}

function durabilityKeysAndBounds(suite: Suite): void {
  suite.reopenTest("I7: keeps every acknowledged enqueue, completion and nack", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [done, failed] = await stage.claim(2);
    await stage.settle(completed(done, "1"), nacked(failed, { error: "told", delayMs: MINUTE }));
    await stage.reopen();

    assert.equal((await stage.taskIn(done.id, "completed")).result, "1");
    assert.equal((await stage.taskIn(failed.id, "scheduled")).lastError, "told");
    assert.equal((await stage.counts()).ready, 1);
  });

  suite.test("I8: makes concurrent enqueues with one key one task", async (stage) => {
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, () =>
        stage.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "k" }), aTask()]),
      ),
    );

    const keyed = outcomes.map(([outcome]) => outcome);
    assert.equal(keyed.filter((outcome) => outcome?.kind === "enqueued").length, 1);
    assert.equal(keyed.filter((outcome) => outcome?.kind === "deduplicated").length, 49);
    assert.equal(new Set(keyed.map((outcome) => outcome && "task" in outcome && outcome.task.id)).size, 1);
    assert.equal((await stage.counts()).ready, 51);
  });

  suite.test("I9: does no more in one step than its limit says", async (stage) => {
    await stage.configure({ retention: { completedMs: 0, deadMs: 0 } });
    const many = LIMITS.stepMax + 3;
    const counted = async (step: () => Promise<number>, left: () => Promise<number>) => {
      const before = await left();
      const done = await step();
      assert.equal(done, 7);
      assert.equal(await left(), before - 7);
    };
    const count = (state: "scheduled" | "ready" | "leased" | "completed" | "dead") => async () =>
      (await stage.counts())[state];

    await stage.enqueue(...tasks(many, { delayMs: MINUTE, maxAttempts: 1 }));
    await stage.advance(2 * MINUTE);
    await counted(
      async () => (await stage.storage.promoteDue(QUEUE, 7)).latenessMs.length,
      count("scheduled"),
    );
    await counted(async () => (await stage.storage.purge(QUEUE, "scheduled", 7)).pruned, count("scheduled"));
    await stage.promoteAll();
    const claimed = await stage.claim((many - 7) as number, { leaseMs: MINUTE });
    await stage.settle(...claimed.slice(0, 100).map((task) => completed(task)));
    await stage.settle(...claimed.slice(100, 200).map((task) => refused(task)));
    await stage.advance(2 * MINUTE);
    await counted(async () => (await stage.storage.reapExpired(QUEUE, 7)).reaped.length, count("leased"));
    await counted(async () => (await stage.storage.requeueDead(QUEUE, 7)).requeued, count("dead"));
    await counted(async () => (await stage.storage.prune(QUEUE, 7)).pruned, count("completed"));
  });
}
