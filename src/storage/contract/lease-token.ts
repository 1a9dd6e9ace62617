import assert from "node:assert/strict";
import { newTaskId, type TaskId } from "../../task/ids.ts";
import {
  aQueue,
  aTask,
  completed,
  nacked,
  QUEUE,
  refused,
  SETTLEMENTS,
  tasks,
  withToken,
} from "./builders.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function leaseTokenContract(suite: Suite): void {
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
