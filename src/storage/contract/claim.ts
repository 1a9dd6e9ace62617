import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { DEFAULT_QUEUE_CONFIG } from "../../task/queue.ts";
import { aTask, completed, payloadOf, QUEUE, tasks } from "./builders.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

export function claimContract(suite: Suite): void {
  suite.test("leases a ready task", async (stage) => {
    const [ready] = await stage.enqueue(aTask({ payload: '"hello"', tags: { a: "b" } }));

    const task = await stage.claimOne({ leaseMs: 60_000, worker: "worker 1" });

    const { lease } = task;
    assert.deepEqual(task, { ...ready, state: "leased", attempt: 1, lease });
    assert.deepEqual(lease, {
      token: lease.token,
      fence: lease.fence,
      claimedAt: lease.claimedAt,
      expiresAt: lease.claimedAt + 60_000,
      ms: 60_000,
      worker: "worker 1",
    });
    assert.match(lease.token, /^[\x21-\x7e]{1,200}$/);
    assert.ok(Number.isSafeInteger(lease.fence) && lease.fence >= 1, `Expected a fence, got ${lease.fence}`);
    stage.assertAbout(lease.claimedAt, ready.createdAt);
    assert.equal((await stage.counts()).leased, 1);
  });

  suite.test("takes the length of the lease from the queue when the ask leaves it out", async (stage) => {
    await stage.enqueue(...tasks(2));

    const first = await stage.claimOne();
    await stage.configure({ leaseMs: 5_000 });
    const second = await stage.claimOne();

    assert.equal(first.lease.ms, DEFAULT_QUEUE_CONFIG.leaseMs);
    assert.equal(second.lease.ms, 5_000);
    assert.equal(second.lease.expiresAt, second.lease.claimedAt + 5_000);
    assert.equal("worker" in second.lease, false);
  });

  suite.test("hands each task to exactly one of fifty concurrent claimers", async (stage) => {
    const wanted = tasks(200);
    await stage.enqueue(...wanted);

    const hands = await Promise.all(
      Array.from({ length: 50 }, async (_, place) => {
        const got = [];
        for (let round = 0; round < 10; round += 1) {
          const reply = await stage.storage.claim(QUEUE, [{ max: 1, worker: `worker ${place}` }]);
          got.push(...(reply.grants[0] ?? []));
        }
        return got;
      }),
    );

    const claimed = hands.flat();
    assert.equal(claimed.length, 200);
    assert.deepEqual(new Set(idsOf(claimed)), new Set(idsOf(wanted)));
    assert.equal(new Set(claimed.map((task) => task.lease.token)).size, 200);
  });

  suite.test("keeps first-in first-out within a priority", async (stage) => {
    const wanted = tasks(300);
    for (const task of wanted.slice(0, 100)) await stage.enqueue(task);
    await stage.enqueue(...wanted.slice(100));

    const first = await stage.claim(7);
    const rest = await stage.claimAll();

    assert.deepEqual(idsOf([...first, ...rest]), idsOf(wanted));
  });

  suite.test("gives the highest priority first, whenever it came", async (stage) => {
    const priorities = [0, 5, 9, 1, 9, 0, 3, 5, 8, 2, 4, 6, 7];
    await stage.enqueue(...priorities.map((priority) => aTask({ priority, payload: String(priority) })));

    const claimed = await stage.claimAll();

    assert.deepEqual(
      claimed.map((task) => task.priority),
      [...priorities].sort((a, b) => b - a),
    );
  });

  suite.test("gives an urgent task that came last before all others", async (stage) => {
    await stage.enqueue(...tasks(20, { priority: 4 }));
    await stage.claim(3);
    const [urgent] = await stage.enqueue(aTask({ priority: 5 }));

    assert.equal((await stage.claimOne()).id, urgent.id);
  });

  suite.test("deals tasks to the asks of one call in order", async (stage) => {
    const wanted = tasks(6);
    await stage.enqueue(...wanted);

    const reply = await stage.storage.claim(QUEUE, [
      { max: 1, worker: "a" },
      { max: 0, worker: "b" },
      { max: 3, worker: "c", leaseMs: 1_000 },
      { max: 5, worker: "d" },
      { max: 1, worker: "e" },
    ]);

    const order = idsOf(wanted);
    assert.deepEqual(reply.grants.map(idsOf), [order.slice(0, 1), [], order.slice(1, 4), order.slice(4), []]);
    assert.deepEqual(
      reply.grants.map((grant) => grant.map((task) => task.lease.worker)),
      [["a"], [], ["c", "c", "c"], ["d", "d"], []],
    );
    assert.equal(reply.grants[2]?.[0]?.lease.ms, 1_000);
    assert.equal(reply.more, false);
  });

  suite.test("says whether ready tasks remain", async (stage) => {
    await stage.enqueue(...tasks(2));

    const none = await stage.storage.claim(QUEUE, [{ max: 0 }]);
    const one = await stage.storage.claim(QUEUE, [{ max: 1 }]);
    const last = await stage.storage.claim(QUEUE, [{ max: 1 }]);
    const empty = await stage.storage.claim(QUEUE, [{ max: 1 }]);

    assert.deepEqual([none.more, one.more, last.more, empty.more], [true, true, false, false]);
    assert.deepEqual(none.grants, [[]]);
    assert.deepEqual(empty.grants, [[]]);
  });

  suite.test("gives nothing for no asks, and nothing from a queue that does not exist", async (stage) => {
    assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 5 }]), { grants: [[]], more: false });
    assert.equal(await stage.storage.snapshot(QUEUE), undefined);

    await stage.enqueue(aTask());
    assert.deepEqual(await stage.storage.claim(QUEUE, []), { grants: [], more: true });
  });

  suite.test("gives no scheduled task, also when its time has come but nobody promoted it", async (stage) => {
    await stage.enqueue(aTask({ delayMs: 60_000 }));
    await stage.advance(61_000);

    assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 5 }]), { grants: [[]], more: false });
  });

  suite.test(
    "gives no single task either from a queue that was paused after others were claimed",
    async (stage) => {
      await stage.enqueue(...tasks(3));
      await stage.claimOne({ leaseMs: 60_000 });
      await stage.claimOne({ leaseMs: 120_000 });
      await stage.storage.configure(QUEUE, { paused: true });

      const paused = await stage.storage.claim(QUEUE, [{ max: 1, leaseMs: 180_000 }]);

      assert.deepEqual(paused, { grants: [[]], more: false });
    },
  );

  suite.test("leaves what did not fit into the asks in its order", async (stage) => {
    const wanted = [9, 9, 9, 4, 4, 4].map((priority) =>
      aTask({ priority, payload: '"a payload of 28 bytes ...."' }),
    );
    await stage.enqueue(...wanted);

    const reply = await stage.storage.claim(QUEUE, [{ max: 6, bytesMax: 30 }]);

    assert.deepEqual(reply.grants.map(idsOf), [idsOf(wanted).slice(0, 1)]);
    assert.deepEqual(idsOf(await stage.claimAll()), idsOf(wanted).slice(1));
  });

  suite.test("gives nothing from a paused queue, which takes tasks all the same", async (stage) => {
    await stage.storage.configure(QUEUE, { paused: true });
    await stage.enqueue(...tasks(2));

    const paused = await stage.storage.claim(QUEUE, [{ max: 5 }, { max: 1 }]);
    await stage.storage.configure(QUEUE, { paused: false });
    const resumed = await stage.storage.claim(QUEUE, [{ max: 5 }]);

    assert.deepEqual(paused, { grants: [[], []], more: false });
    assert.equal(resumed.grants[0]?.length, 2);
  });

  suite.test("gives a thousand tasks in one call", async (stage) => {
    const wanted = tasks(LIMITS.claimMax);
    await stage.enqueue(...wanted, aTask());

    const reply = await stage.storage.claim(QUEUE, [{ max: LIMITS.claimMax }]);

    assert.deepEqual(idsOf(reply.grants[0] ?? []), idsOf(wanted));
    assert.equal(reply.more, true);
    assert.equal(new Set(reply.grants[0]?.map((task) => task.lease.token)).size, LIMITS.claimMax);
  });

  suite.test("serves a thousand asks in one call", async (stage) => {
    const wanted = tasks(LIMITS.batchMax);
    await stage.enqueue(...wanted);

    const reply = await stage.storage.claim(
      QUEUE,
      wanted.map(() => ({ max: 1 })),
    );

    assert.deepEqual(
      reply.grants.map(idsOf),
      idsOf(wanted).map((id) => [id]),
    );
  });

  suite.test("says whether more is ready when it took as many as were asked for", async (stage) => {
    await stage.enqueue(...tasks(5));

    const some = await stage.storage.claim(QUEUE, [{ max: 1 }, { max: 2 }]);
    const last = await stage.storage.claim(QUEUE, [{ max: 1 }, { max: 1 }]);

    assert.equal(some.more, true);
    assert.equal(last.more, false);
  });

  suite.test("stops an ask before the payload that would bring it over its bytes", async (stage) => {
    const [a, b, c, d] = await stage.enqueue(
      aTask({ payload: payloadOf(40) }),
      aTask({ payload: payloadOf(60) }),
      aTask({ payload: payloadOf(61) }),
      aTask({ payload: payloadOf(2) }),
    );

    const reply = await stage.storage.claim(QUEUE, [
      { max: 10, bytesMax: 100 },
      { max: 10, bytesMax: 62 },
      { max: 10, bytesMax: 100 },
    ]);

    assert.deepEqual(reply.grants.map(idsOf), [[a.id, b.id], [c.id], [d.id]]);
    assert.equal(reply.more, false);
    assert.equal((await stage.task(c.id)).attempt, 1);
  });

  suite.test("always gives the first task of an ask, however large it is", async (stage) => {
    const [large, next] = await stage.enqueue(aTask({ payload: payloadOf(500) }), aTask());

    const reply = await stage.storage.claim(QUEUE, [{ max: 10, bytesMax: 1 }]);

    assert.deepEqual(reply.grants.map(idsOf), [[large.id]]);
    assert.equal(reply.more, true);
    assert.equal((await stage.task(next.id)).state, "ready");
  });

  suite.test("counts the bytes of a payload, not its characters", async (stage) => {
    await stage.enqueue(...tasks(2, { payload: '"🦔🦔"' }));

    const narrow = await stage.storage.claim(QUEUE, [{ max: 2, bytesMax: 19 }]);

    assert.equal(narrow.grants[0]?.length, 1);
  });

  suite.test("gives at most 16 MiB of payloads when the ask sets no bound", async (stage) => {
    const wanted = tasks(17, { payload: payloadOf(LIMITS.payloadBytesMax) });
    for (const task of wanted) await stage.enqueue(task);

    const reply = await stage.storage.claim(QUEUE, [{ max: 100 }]);

    assert.equal(reply.grants[0]?.length, LIMITS.bodyBytesMax / LIMITS.payloadBytesMax);
    assert.equal(reply.more, true);
  });

  suite.test("gives at most 16 MiB of payloads to all asks of a call together, in turn", async (stage) => {
    const wanted = tasks(17, { payload: payloadOf(LIMITS.payloadBytesMax) });
    for (const task of wanted) await stage.enqueue(task);

    const reply = await stage.storage.claim(
      QUEUE,
      Array.from({ length: 10 }, () => ({ max: 2 })),
    );

    assert.deepEqual(
      reply.grants.map((grant) => grant.length),
      [2, 2, 2, 2, 2, 2, 2, 2, 0, 0],
    );
    assert.equal(reply.more, true);
  });

  suite.test("leaves a finished task where it is", async (stage) => {
    await stage.enqueue(aTask());
    await stage.settle(completed(await stage.claimOne()));

    assert.deepEqual(await stage.storage.claim(QUEUE, [{ max: 5 }]), { grants: [[]], more: false });
  });
}
