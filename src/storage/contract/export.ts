import assert from "node:assert/strict";
import { InvalidRequestError } from "../../task/errors.ts";
import { LIMITS } from "../../task/limits.ts";
import { TASK_STATES, type Task } from "../../task/task.ts";
import { aTask, payloadOf, QUEUE, released, tasks } from "./builders.ts";
import { everything, exported, populate } from "./moving.ts";
import type { Suite } from "./suite.ts";

export function exportChapter(suite: Suite): void {
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
