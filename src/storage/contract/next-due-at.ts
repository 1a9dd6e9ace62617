import assert from "node:assert/strict";
import { aQueue, aTask, completed, heartbeatOf, QUEUE, tasks } from "./builders.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function nextDueAtContract(suite: Suite): void {
  suite.test("names nobody while nothing is scheduled or leased", async (stage) => {
    assert.deepEqual(await stage.storage.nextDueAt(10), []);
    await stage.enqueue(aTask());
    await stage.configure({});
    assert.deepEqual(await stage.storage.nextDueAt(10), []);
  });

  suite.test("names the moment of the earliest scheduled task", async (stage) => {
    const scheduled = await stage.enqueue(...[5, 3, 8].map((minute) => aTask({ delayMs: minute * MINUTE })));

    assert.deepEqual(await stage.storage.nextDueAt(10), [{ queue: QUEUE, at: scheduled[1]!.runAt }]);
  });

  suite.test(
    "names an earlier moment as soon as there is one, by schedule, lease or heartbeat",
    async (stage) => {
      const named = async () => (await stage.storage.nextDueAt(10))[0]?.at;
      await stage.enqueue(aTask({ delayMs: 60 * MINUTE }), ...tasks(2));

      const [earlier] = await stage.enqueue(aTask({ delayMs: 30 * MINUTE }));
      assert.equal(await named(), earlier.runAt);
      const one = await stage.claimOne({ leaseMs: 20 * MINUTE });
      assert.equal(await named(), one.lease.expiresAt);
      const two = await stage.claimOne({ leaseMs: 10 * MINUTE });
      assert.equal(await named(), two.lease.expiresAt);
      await stage.storage.heartbeat(QUEUE, [heartbeatOf(one, 5 * MINUTE)]);
      const { lease } = await stage.taskIn(one.id, "leased");
      assert.equal(await named(), lease.expiresAt);
    },
  );

  suite.test("names the end of the earliest lease", async (stage) => {
    await stage.enqueue(...tasks(2), aTask({ delayMs: 60 * MINUTE }));
    const [a, b] = await stage.claim(2, { leaseMs: 5 * MINUTE });
    await stage.storage.heartbeat(QUEUE, [heartbeatOf(a, 9 * MINUTE), heartbeatOf(b, 7 * MINUTE)]);
    await stage.reapAll();

    const [due] = await stage.storage.nextDueAt(10);

    const { lease } = await stage.taskIn(b.id, "leased");
    assert.deepEqual(due, { queue: QUEUE, at: lease.expiresAt });
  });

  suite.test("forgets what left the schedule or ended its lease, once somebody looked", async (stage) => {
    const [soon, later] = await stage.enqueue(aTask({ delayMs: MINUTE }), aTask({ delayMs: 9 * MINUTE }));
    await stage.enqueue(aTask());
    const held = await stage.claimOne({ leaseMs: 2 * MINUTE });
    await stage.storage.cancel(QUEUE, [soon.id]);
    await stage.settle(completed(held));
    await stage.promoteAll();

    assert.deepEqual(await stage.storage.nextDueAt(10), [{ queue: QUEUE, at: later.runAt }]);
    await stage.storage.requeue(QUEUE, [later.id]);
    await stage.reapAll();
    assert.deepEqual(await stage.storage.nextDueAt(10), []);
  });

  suite.test("names what is overdue until somebody promotes or reaps it", async (stage) => {
    const [{ runAt }] = await stage.enqueue(aTask({ delayMs: MINUTE }));
    await stage.advance(5 * MINUTE);
    assert.deepEqual(await stage.storage.nextDueAt(10), [{ queue: QUEUE, at: runAt }]);

    await stage.promoteAll();
    const { lease } = await stage.claimOne({ leaseMs: MINUTE });
    await stage.advance(2 * MINUTE);
    assert.deepEqual(await stage.storage.nextDueAt(10), [{ queue: QUEUE, at: lease.expiresAt }]);
    await stage.reapAll();
    assert.deepEqual(await stage.storage.nextDueAt(10), []);
  });

  suite.test("names at most so many queues as it is told, soonest first, paused ones too", async (stage) => {
    const names = ["e", "c", "h", "a", "i", "b"].map(aQueue);
    for (const [place, queue] of names.entries()) {
      await stage.enqueueTo(queue, aTask({ delayMs: ((place * 5) % 6) * MINUTE + MINUTE }, queue));
    }
    await stage.storage.configure(aQueue("b"), { paused: true });

    const all = await stage.storage.nextDueAt(100);
    const three = await stage.storage.nextDueAt(3);

    assert.deepEqual(
      all.map(({ queue }) => queue),
      ["e", "b", "i", "a", "h", "c"],
    );
    assert.deepEqual(three, all.slice(0, 3));
  });

  suite.reopenTest("names the same after close and reopen", async (stage) => {
    await stage.enqueue(aTask(), aTask({ delayMs: 2 * MINUTE }));
    await stage.claimOne({ leaseMs: MINUTE });
    const before = await stage.storage.nextDueAt(10);
    await stage.reopen();

    assert.deepEqual(await stage.storage.nextDueAt(10), before);
  });
}
