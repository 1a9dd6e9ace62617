import assert from "node:assert/strict";
import { InvalidRequestError } from "../../task/errors.ts";
import { type LeaseToken, newTaskId, type TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import { type ClaimedTask, TASK_STATES, type Task } from "../../task/task.ts";
import type { Storage } from "../storage.ts";
import type { ExportPage, ExportRequest, StoredKey, StoredTask } from "../stored-task.ts";
import {
  aTask,
  completed,
  heartbeatOf,
  nacked,
  payloadOf,
  QUEUE,
  refused,
  released,
  SETTLEMENTS,
  tasks,
  withToken,
} from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function moveContract(suite: Suite): void {
  suite.chapter("what is exported", exports);
  suite.chapter("what arrives", arrivals);
  suite.chapter("what goes on in the new store", continuations);
  suite.chapter("again and half", repetitions);
}

/** Every page of an export, as one. */
async function exported(storage: Storage, request: Partial<ExportRequest> = {}): Promise<ExportPage> {
  const keys: StoredKey[] = [];
  const all: StoredTask[] = [];
  let cursor: string | undefined;
  do {
    const page = await storage.exportTasks(QUEUE, {
      limit: LIMITS.stepMax,
      ...request,
      ...(cursor !== undefined && { cursor }),
    });
    keys.push(...page.keys);
    all.push(...page.tasks);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return { keys, tasks: all };
}

/** Moves a queue as `dibs move` does: configuration, total, tasks and keys, page by page. */
async function move(from: Stage, to: Stage, limit = 3): Promise<void> {
  const snapshot = await from.storage.snapshot(QUEUE);
  assert.ok(snapshot);
  await to.storage.configure(QUEUE, { config: snapshot.config, paused: snapshot.paused });
  await to.storage.importTasks(QUEUE, { pruned: snapshot.pruned });
  let cursor: string | undefined;
  do {
    const page = await from.storage.exportTasks(QUEUE, { limit, ...(cursor !== undefined && { cursor }) });
    await to.storage.importTasks(QUEUE, { keys: page.keys, tasks: page.tasks });
    cursor = page.cursor;
  } while (cursor !== undefined);
}

/** A queue with tasks in every state and with every kind of past. Returns those that are leased. */
async function populate(stage: Stage): Promise<readonly ClaimedTask[]> {
  await stage.configure({ maxAttempts: 3, leaseMs: 40_000, retention: { deadMax: 77 } });
  await stage.enqueue(
    ...tasks(9, { priority: 9, tags: { for: "Ärzte 🦔", by: "night" }, maxAttempts: 2 }),
    aTask({ priority: 9, idempotencyKey: "kept", payload: '{"of":"a key"}' }),
    aTask({ priority: 9, idempotencyKey: "gone" }),
  );
  const [done, plain, refusedOne, failedOne, later, soon, handedBack, cancelled, purged, keyed, gone] =
    await stage.claim(11, { worker: "a worker" });
  await stage.settle(
    completed(plain),
    refused(refusedOne, "never"),
    nacked(later, { error: "later", delayMs: 5 * MINUTE }),
    nacked(soon, { error: "at once", delayMs: 0 }),
    nacked(failedOne, { error: "first", delayMs: 0 }),
    nacked(keyed, { delayMs: 0 }),
    completed(purged),
    completed(gone),
  );
  await stage.storage.purge(QUEUE, "completed", 3);
  await stage.settle(completed(done, '{"result":"of 🦔"}'), released(handedBack));
  await stage.storage.cancel(QUEUE, [cancelled.id]);
  // The one handed back, the one that failed at once, and the one that now fails for the last time.
  const [again, , last] = await stage.claim(3);
  assert.equal(last.id, failedOne.id);
  await stage.settle(nacked(last, { error: "second" }), released(again));
  await stage.enqueue(...tasks(4, { backoff: { type: "linear", baseMs: 7_000, jitter: "none" } }));
  await stage.enqueue(...tasks(2, { priority: 9 }));
  await stage.enqueue(...tasks(4, { delayMs: 3 * MINUTE }), ...tasks(3, { delayMs: MINUTE, priority: 2 }));
  const [silent] = await stage.claim(1, { leaseMs: 90_000 });
  return [silent, ...(await stage.claim(2, { worker: "holder", leaseMs: 60_000 }))];
}

async function everything(stage: Stage): Promise<Record<string, readonly Task[]>> {
  const lists: Record<string, readonly Task[]> = {};
  for (const state of TASK_STATES) lists[state] = await stage.listAll({ state });
  return lists;
}

function exports(suite: Suite): void {
  suite.test(
    "exports every task as the port shows it, each state in the order of a listing",
    async (stage) => {
      await populate(stage);

      const page = await exported(stage.storage);

      const listed = await everything(stage);
      for (const state of TASK_STATES) {
        assert.ok((listed[state] as readonly Task[]).length > 0, `some task is ${state}`);
        assert.deepEqual(
          page.tasks.map(({ task }) => task).filter((task) => task.state === state),
          listed[state],
        );
      }
      assert.equal(page.tasks.length, Object.values(listed).flat().length);
    },
  );

  suite.test("exports what the port does not show: fence, token, releases, backoff", async (stage) => {
    const [{ id }, other] = await stage.enqueue(
      aTask({ backoff: { type: "fixed", baseMs: 123, capMs: 456, jitter: "full" } }),
      aTask(),
    );
    const first = await stage.claimOne();
    await stage.settle(released(first));
    const held = await stage.claimOne();

    const page = await exported(stage.storage);

    const one = page.tasks.find(({ task }) => task.id === id);
    assert.deepEqual(one?.backoff, { type: "fixed", baseMs: 123, capMs: 456, jitter: "full" });
    assert.equal(one?.releases, 1);
    assert.equal(one?.fence, held.lease.fence);
    assert.equal(one?.token, held.lease.token);
    const fresh = page.tasks.find(({ task }) => task.id === other.id);
    assert.equal(fresh?.fence, 0);
    assert.equal(fresh?.token, undefined);
  });

  suite.test("exports the keys that a queue remembers, also those whose task is gone", async (stage) => {
    const [kept, gone] = await stage.enqueue(
      aTask({ idempotencyKey: "kept", payload: "1" }),
      aTask({ idempotencyKey: "gone", payload: "2" }),
    );
    await stage.storage.cancel(QUEUE, [gone.id]);
    await stage.storage.purge(QUEUE, "cancelled", 1);

    const { keys, tasks: all } = await exported(stage.storage, { limit: 1 });

    assert.deepEqual(
      keys.map(({ key, id }) => [key, id]),
      [
        ["kept", kept.id],
        ["gone", gone.id],
      ],
    );
    for (const { expiresAt } of keys)
      assert.equal(expiresAt - kept.createdAt, LIMITS.idempotencyKeyMs, "a key is kept for 24 hours");
    assert.equal(all[0]?.payloadHash, keys[0]?.payloadHash);
    assert.match(keys[1]?.payloadHash ?? "", /^[0-9a-f]{64}$/);
  });

  suite.test("exports in pages of the size asked for, the same in all sizes", async (stage) => {
    await populate(stage);

    const whole = await exported(stage.storage);

    for (const limit of [1, 2, 7]) {
      let cursor: string | undefined;
      do {
        const page = await stage.storage.exportTasks(QUEUE, { limit, ...(cursor && { cursor }) });
        assert.ok(page.keys.length + page.tasks.length <= limit);
        cursor = page.cursor;
      } while (cursor !== undefined);
      assert.deepEqual(await exported(stage.storage, { limit }), whole);
    }
  });

  suite.test("ends a page before the task that would bring it over its bytes", async (stage) => {
    await stage.enqueue(...[40, 60, 61, 500, 2].map((bytes) => aTask({ payload: payloadOf(bytes) })));

    const sizes: number[][] = [];
    let cursor: string | undefined;
    do {
      const request = { limit: 10, bytesMax: 100, ...(cursor !== undefined && { cursor }) };
      const page = await stage.storage.exportTasks(QUEUE, request);
      if (page.tasks.length > 0) sizes.push(page.tasks.map(({ task }) => task.payload.length));
      cursor = page.cursor;
    } while (cursor !== undefined);

    assert.deepEqual(sizes, [[40, 60], [61], [500], [2]]);
  });

  suite.test("exports nothing of a queue that does not exist", async (stage) => {
    assert.deepEqual(await exported(stage.storage), { keys: [], tasks: [] });
    assert.deepEqual(await stage.storage.queues(), []);
  });

  suite.test("refuses a cursor that it did not make", async (stage) => {
    await stage.enqueue(...tasks(3));

    for (const cursor of [
      "x",
      "",
      "🦔",
      "ready/x",
      "ready/",
      "keys/-1",
      "keys/x",
      "keys/",
      "nothing/",
      "ready/1/2",
    ])
      await assert.rejects(
        async () => stage.storage.exportTasks(QUEUE, { limit: 1, cursor }),
        InvalidRequestError,
        `the cursor ${cursor}`,
      );
  });
}

function arrivals(suite: Suite): void {
  suite.pairTest("shows every task in the new store as it was, in the same order", async (from, to) => {
    await populate(from);

    await move(from, to);

    assert.deepEqual(await everything(to), await everything(from));
    const whole = await exported(from.storage);
    assert.deepEqual((await exported(to.storage)).tasks, whole.tasks);
  });

  suite.pairTest("keeps counts, totals, configuration and the pause", async (from, to) => {
    await populate(from);
    await from.storage.configure(QUEUE, { paused: true });

    await move(from, to);

    assert.deepEqual(await to.storage.snapshot(QUEUE), await from.storage.snapshot(QUEUE));
  });

  suite.pairTest("moves a queue without tasks", async (from, to) => {
    await from.configure({ maxAttempts: 7 });

    await move(from, to);

    assert.deepEqual(await to.storage.queues(), [QUEUE]);
    assert.equal((await to.storage.snapshot(QUEUE))?.config.maxAttempts, 7);
  });

  suite.test("makes the queue, also for an empty batch", async (stage) => {
    assert.deepEqual(await stage.storage.importTasks(QUEUE, {}), { imported: 0 });
    assert.deepEqual(await stage.storage.queues(), [QUEUE]);
  });

  suite.pairTest("takes tasks in whatever the queue's depth is bounded to", async (from, to) => {
    await from.enqueue(...tasks(5));
    await from.configure({ maxDepth: 2 });

    await move(from, to);

    assert.equal((await to.counts()).ready, 5);
    assert.equal((await to.storage.enqueue(QUEUE, [aTask()]))[0]?.kind, "queue-full");
  });

  suite.pairTest("moves the largest payload and result", async (from, to) => {
    await from.enqueue(
      aTask({ payload: payloadOf(LIMITS.payloadBytesMax) }),
      aTask({ payload: '"\\u0000 \\" 🦔"' }),
    );
    await from.settle(completed(await from.claimOne(), payloadOf(LIMITS.payloadBytesMax)));

    await move(from, to);

    assert.deepEqual(await everything(to), await everything(from));
  });

  suite.reopenPairTest("keeps what arrived over close and reopen", async (from, to) => {
    const held = await populate(from);
    await move(from, to);
    const before = await exported(to.storage);
    const counts = await to.storage.snapshot(QUEUE);

    await to.reopen();

    assert.deepEqual(await to.storage.snapshot(QUEUE), counts);
    assert.deepEqual(await exported(to.storage), before);
    assert.deepEqual(await everything(to), await everything(from));
    for (const task of await to.claimAll()) {
      const past = before.tasks.find((stored) => stored.task.id === task.id);
      assert.ok(past && task.lease.fence > past.fence, `the fence of ${task.id} grows`);
    }
    assert.equal((await to.settle(...held.map((task) => completed(task))))[2]?.kind, "completed");
  });
}

function continuations(suite: Suite): void {
  suite.pairTest("claims what was moved in the same order, and what is new behind it", async (from, to) => {
    await populate(from);
    await move(from, to);
    const urgent = await to.enqueueTo(QUEUE, aTask({ priority: 9 }), aTask());

    const order = idsOf(await to.claimAll());

    const left = idsOf(await from.claimAll());
    const newcomers: readonly TaskId[] = idsOf(urgent);
    assert.deepEqual(
      order.filter((id) => !newcomers.includes(id)),
      left,
    );
    assert.equal(order.at(-1), urgent[1].id);
    assert.ok(order.indexOf(urgent[0].id) > 0, "behind those of its priority");
  });

  suite.pairTest("gives a release in the new store its place at the head", async (from, to) => {
    await from.enqueue(...tasks(4));
    await move(from, to);
    const [a, b] = await to.claim(2);

    await to.settle(released(a), released(b));

    assert.deepEqual(idsOf(await to.claim(2)), [a.id, b.id]);
  });

  suite.pairTest("gives the next claim a greater fence than any before", async (from, to) => {
    await from.enqueue(...tasks(3));
    let greatest = 0;
    for (let round = 0; round < 5; round += 1) {
      const held = await from.claim(3);
      greatest = Math.max(greatest, ...held.map(({ lease }) => lease.fence));
      await from.settle(...held.map((task) => released(task)));
    }

    await move(from, to);

    for (const { lease } of await to.claim(3)) assert.ok(lease.fence > greatest, "a fence grows (I2)");
  });

  suite.pairTest("gives greater fences also after a fence far beyond its own", async (from, to) => {
    await from.enqueue(...tasks(2));
    await from.claim(1);
    const [first, second] = (await exported(from.storage)).tasks as [StoredTask, StoredTask];
    const far = 4_102_444_800_000_000; // microseconds, in the year 2100

    await to.storage.importTasks(QUEUE, {
      tasks: [
        { ...first, fence: far },
        { ...second, fence: far },
      ],
    });

    const [claimed] = await to.claim(1);
    assert.ok(claimed.lease.fence > far);
    await to.settle(released(claimed));
    assert.ok((await to.claimOne()).lease.fence > claimed.lease.fence);
  });

  suite.pairTest("lets a holder go on in the new store: heartbeat, then complete", async (from, to) => {
    await from.enqueue(...tasks(2));
    const [a, b] = await from.claim(2, { worker: "w" });
    await move(from, to);

    const [beat] = await to.storage.heartbeat(QUEUE, [heartbeatOf(a)]);
    const outcomes = await to.settle(completed(a, '"done"'), nacked(b, { delayMs: 0, error: "no" }));

    assert.equal(beat?.kind, "extended");
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["completed", "ready"],
    );
    assert.equal((await to.taskIn(a.id, "completed")).result, '"done"');
    assert.equal((await to.taskIn(b.id, "ready")).failures[0]?.worker, "w");
  });

  suite.pairTest("refuses in the new store what was refused in the old one", async (from, to) => {
    const [{ id }] = await from.enqueue(aTask());
    const stale = await from.claimOne();
    await from.settle(released(stale));
    await from.claimOne();

    await move(from, to);

    const before = await to.task(id);
    for (const settle of SETTLEMENTS) {
      for (const task of [stale, withToken(stale, "0.0"), withToken(stale, `${stale.lease.fence}`)])
        assert.deepEqual(await to.settle(settle(task)), [{ kind: "lease-lost", state: "leased" }]);
    }
    assert.deepEqual(await to.task(id), before);
  });

  suite.pairTest("gives the same answer to a holder that completes again", async (from, to) => {
    await from.enqueue(aTask());
    const held = await from.claimOne();
    await from.settle(completed(held, "1"));

    await move(from, to);

    assert.deepEqual(await to.settle(completed(held, "1")), [
      { kind: "completed", ranMs: 0, repeated: true },
    ]);
  });

  suite.pairTest("tells leases of one fence and one end apart", async (from, to) => {
    await from.enqueue(...tasks(3));
    await from.claim(3);
    const twins = (await exported(from.storage)).tasks.map((stored, place): StoredTask => {
      assert.equal(stored.task.state, "leased");
      const lease = { ...(stored.task as Extract<Task, { state: "leased" }>).lease, fence: 5 };
      return { ...stored, task: { ...stored.task, state: "leased", lease }, fence: 5, token: token(place) };
    });
    function token(place: number): LeaseToken {
      return `5.${place + 1}` as LeaseToken;
    }

    await to.storage.importTasks(QUEUE, { tasks: twins });
    const settled = await to.storage.settle(QUEUE, [
      { outcome: "complete", id: twins[1]!.task.id, token: token(1) },
    ]);

    assert.equal(settled.outcomes[0]?.kind, "completed");
    assert.deepEqual(
      idsOf(await to.listAll({ state: "leased", limit: 1 })).toSorted(),
      [twins[0]!.task.id, twins[2]!.task.id].toSorted(),
    );
    await to.advance(LIMITS.leaseMsMax);
    assert.equal(await to.reapAll(), 2);
  });

  suite.pairTest(
    "reaps a moved lease and promotes a moved schedule when their time comes",
    async (from, to) => {
      const [later, sooner] = await from.enqueue(aTask({ delayMs: 2 * MINUTE }), aTask({ delayMs: MINUTE }));
      const [{ id }] = await from.enqueue(aTask());
      await from.claimOne({ leaseMs: MINUTE });
      await move(from, to);

      const [due] = await to.storage.nextDueAt(10);
      to.assertAbout(due?.at, later.createdAt + MINUTE);
      await to.advance(3 * MINUTE);

      assert.equal(await to.reapAll(), 1);
      assert.equal(await to.promoteAll(), 2);
      assert.deepEqual(idsOf(await to.claimAll()), [id, sooner.id, later.id]);
    },
  );

  suite.pairTest(
    "finds a moved task by its key, and remembers the key of one that is gone",
    async (from, to) => {
      const [kept, gone] = await from.enqueue(
        aTask({ idempotencyKey: "kept" }),
        aTask({ idempotencyKey: "gone" }),
      );
      await from.storage.cancel(QUEUE, [gone.id]);
      await from.storage.purge(QUEUE, "cancelled", 1);
      await move(from, to);

      const [again, vanished, other] = await to.storage.enqueue(QUEUE, [
        aTask({ idempotencyKey: "kept" }),
        aTask({ idempotencyKey: "gone" }),
        aTask({ idempotencyKey: "kept", payload: "2" }),
      ]);

      assert.equal(again?.kind, "deduplicated");
      assert.equal(again?.kind === "deduplicated" && again.task.id, kept.id);
      assert.deepEqual(vanished, { kind: "pruned", id: gone.id });
      assert.deepEqual(other, { kind: "conflict", id: kept.id });
    },
  );

  suite.pairTest("forgets a moved key 24 hours after its first enqueue", async (from, to) => {
    await from.enqueue(aTask({ idempotencyKey: "kept" }));
    await from.enqueue(aTask({ idempotencyKey: "gone" }));
    const [, gone] = await from.claim(2);
    await from.settle(completed(gone));
    await from.storage.purge(QUEUE, "completed", 1);
    await move(from, to);

    await to.advance(LIMITS.idempotencyKeyMs - MINUTE);
    const before = await to.storage.enqueue(QUEUE, [aTask({ idempotencyKey: "gone" })]);
    await to.advance(2 * MINUTE);
    await to.pruneAll();
    const after = await to.storage.enqueue(QUEUE, [
      aTask({ idempotencyKey: "kept" }),
      aTask({ idempotencyKey: "gone" }),
    ]);

    assert.equal(before[0]?.kind, "pruned");
    assert.deepEqual(
      after.map(({ kind }) => kind),
      ["enqueued", "enqueued"],
    );
  });

  suite.pairTest("goes on counting attempts and releases", async (from, to) => {
    await from.configure({ maxAttempts: 2 });
    await from.enqueue(aTask());
    for (let round = 0; round < LIMITS.releasesMax - 1; round += 1)
      await from.settle(released(await from.claimOne()));
    await move(from, to);

    await to.settle(released(await to.claimOne()));
    await to.settle(released(await to.claimOne()));
    const last = await to.claimOne();

    assert.equal(last.attempt, 2, "the hundred and first release counted");
    assert.equal((await to.settle(nacked(last)))[0]?.kind, "dead");
  });

  suite.pairTest("waits after a failure as the moved task's own backoff says", async (from, to) => {
    await from.enqueue(aTask({ backoff: { type: "fixed", baseMs: 90_000, jitter: "none" } }));
    await move(from, to);

    const held = await to.claimOne();
    const [outcome] = await to.settle(nacked(held, { error: "no" }));

    assert.equal(outcome?.kind, "scheduled");
    to.assertAbout(outcome?.kind === "scheduled" ? outcome.runAt : 0, held.lease.claimedAt + 90_000);
  });

  suite.pairTest("prunes moved tasks by retention, the oldest first", async (from, to) => {
    await from.configure({ retention: { completedMax: 2 } });
    await from.enqueue(...tasks(5));
    const held = await from.claim(5);
    for (const task of held) await from.settle(completed(task));
    await from.advance(MINUTE);
    await move(from, to);
    await to.advance(MINUTE);

    assert.equal(await to.pruneAll(), 3);
    assert.deepEqual(idsOf(await to.listAll({ state: "completed" })), idsOf(held.slice(3)));
  });

  suite.pairTest("requeues a moved dead task with its history", async (from, to) => {
    await from.enqueue(aTask());
    const held = await from.claimOne();
    await from.settle(refused(held, "never"));
    await move(from, to);

    const [moved] = await to.storage.requeue(QUEUE, [held.id]);

    assert.equal(moved?.kind, "moved");
    const again = await to.claimOne();
    assert.equal(again.lastError, "never");
    assert.equal(again.attempt, 1);
    assert.ok(again.lease.fence > held.lease.fence);
  });
}

function repetitions(suite: Suite): void {
  suite.pairTest("changes nothing when all of it comes again", async (from, to) => {
    await populate(from);
    await move(from, to);
    const before = await exported(to.storage);
    const counts = await to.storage.snapshot(QUEUE);

    await move(from, to, 5);

    assert.deepEqual(await exported(to.storage), before);
    assert.deepEqual(await to.storage.snapshot(QUEUE), counts);
  });

  suite.pairTest("ends in the same order when it begins again half-way", async (from, to) => {
    await populate(from);
    const half = await from.storage.exportTasks(QUEUE, { limit: 4 });
    await to.storage.importTasks(QUEUE, { tasks: half.tasks.slice(0, 2) });

    await move(from, to);

    assert.deepEqual(await everything(to), await everything(from));
  });

  suite.test("takes a task that comes twice in one call once", async (stage) => {
    const task: Task = {
      id: newTaskId(QUEUE),
      queue: QUEUE,
      priority: 3,
      payload: "1",
      attempt: 0,
      maxAttempts: 5,
      createdAt: 1_000,
      runAt: 1_000,
      failures: [],
      state: "ready",
    };
    const stored: StoredTask = {
      task,
      backoff: { type: "fixed", baseMs: 1, capMs: 1, jitter: "none" },
      releases: 0,
      fence: 0,
    };

    assert.deepEqual(await stage.storage.importTasks(QUEUE, { tasks: [stored, stored] }), { imported: 1 });
    assert.deepEqual(await stage.listAll({ state: "ready" }), [task]);
  });

  suite.pairTest("leaves a task alone that has gone on in the new store", async (from, to) => {
    const [{ id }] = await from.enqueue(aTask());
    await move(from, to);
    await to.settle(completed(await to.claimOne(), "1"));

    await move(from, to);

    assert.equal((await to.taskIn(id, "completed")).result, "1");
    assert.equal((await to.counts()).ready, 0);
  });

  suite.pairTest("sets the total of removed tasks, and adds nothing when told again", async (from, to) => {
    await from.enqueue(...tasks(4));
    await from.storage.purge(QUEUE, "ready", 3);
    await move(from, to);
    await move(from, to);

    const snapshot = await to.storage.snapshot(QUEUE);
    assert.equal(snapshot?.pruned, 3);
    assert.equal(snapshot?.enqueued, 4);
  });
}
