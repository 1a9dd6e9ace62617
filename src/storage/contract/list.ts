import assert from "node:assert/strict";
import { InvalidRequestError } from "../../task/errors.ts";
import type { TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { ClaimedTask, Task, TaskState } from "../../task/task.ts";
import { aTask, completed, heartbeatOf, payloadOf, QUEUE, refused, released, tasks } from "./builders.ts";
import { idsOf, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function listContract(suite: Suite): void {
  suite.chapter("in order", orders);
  suite.chapter("page by page", pages);
  suite.chapter("while tasks come and go", changes);
}

function orders(suite: Suite): void {
  suite.test("lists ready tasks in the order in which they will be claimed", async (stage) => {
    await stage.enqueue(...tasks(5), ...tasks(5, { priority: 9 }), ...tasks(5, { priority: 4 }));
    const [a, b, c] = await stage.claim(3);
    await stage.settle(released(b), released(a));
    await stage.storage.cancel(QUEUE, [c.id]);

    const listed = await stage.listAll({ state: "ready", limit: 4 });

    assert.equal(listed.length, 14);
    assert.deepEqual(idsOf(listed), idsOf(await stage.claimAll()));
  });

  suite.test("lists scheduled tasks by due time, the earliest first", async (stage) => {
    const minutes = [5, 3, 8, 1, 9, 2, 7, 4, 6];
    await stage.enqueue(
      ...minutes.map((minute) => aTask({ delayMs: minute * MINUTE, payload: String(minute) })),
    );

    const listed = await stage.listAll({ state: "scheduled", limit: 2 });

    assert.deepEqual(
      listed.map(({ payload }) => Number(payload)),
      minutes.toSorted(),
    );
  });

  suite.test("lists leased tasks by the end of their lease, without tokens", async (stage) => {
    await stage.enqueue(...tasks(5));
    const held: ClaimedTask[] = [];
    for (const minute of [5, 3, 4, 1, 2]) held.push(await stage.claimOne({ leaseMs: minute * MINUTE }));
    await stage.storage.heartbeat(QUEUE, [heartbeatOf(held[3]!, 9 * MINUTE)]);

    const listed = await stage.listAll({ state: "leased", limit: 2 });

    assert.deepEqual(
      idsOf(listed),
      [4, 1, 2, 0, 3].map((place) => held[place]!.id),
    );
    for (const task of listed) assert.ok(task.state === "leased" && !("token" in task.lease));
  });

  for (const state of ["completed", "dead", "cancelled"] as const)
    suite.test(`lists ${state} tasks by the time of their end, the earliest first`, async (stage) => {
      await stage.enqueue(...tasks(6));
      const held = await stage.claim(6);
      const order = [3, 0, 5, 1, 4, 2].map((place) => held[place]!);
      for (const task of order.slice(0, 3)) {
        await stage.advance(1_000);
        await finish(stage, state, [task.id], [task]);
      }
      await finish(stage, state, idsOf(order.slice(3)), order.slice(3));

      const listed = await stage.listAll({ state, limit: 4 });

      assert.deepEqual(idsOf(listed), idsOf(order));
      assert.deepEqual(listed, await stage.storage.get(QUEUE, idsOf(order)));
    });

  async function finish(
    stage: Stage,
    state: TaskState,
    ids: readonly TaskId[],
    held: readonly ClaimedTask[],
  ): Promise<void> {
    if (state === "cancelled") await stage.storage.cancel(QUEUE, ids);
    else await stage.settle(...held.map((task) => (state === "completed" ? completed(task) : refused(task))));
  }
}

function pages(suite: Suite): void {
  suite.test("gives a cursor exactly while there is more", async (stage) => {
    await stage.enqueue(...tasks(4));

    const whole = await stage.storage.list(QUEUE, { state: "ready", limit: 4 });
    const first = await stage.storage.list(QUEUE, { state: "ready", limit: 3 });
    const second = await stage.storage.list(QUEUE, { state: "ready", limit: 3, cursor: first.cursor ?? "" });

    assert.equal(whole.tasks.length, 4);
    assert.equal("cursor" in whole, false);
    assert.equal(typeof first.cursor, "string");
    assert.deepEqual(idsOf([...first.tasks, ...second.tasks]), idsOf(whole.tasks));
    assert.equal("cursor" in second, false);
  });

  suite.test("makes cursors that go into a URL as they are", async (stage) => {
    await stage.enqueue(...tasks(3), ...tasks(3, { delayMs: MINUTE }));
    await stage.claim(2);

    for (const state of ["leased", "scheduled"] as const) {
      const { cursor = "" } = await stage.storage.list(QUEUE, { state, limit: 1 });
      assert.match(cursor, /^[A-Za-z0-9._~:-]{1,200}$/);
    }
  });

  suite.test("refuses a cursor that it did not make", async (stage) => {
    await stage.enqueue(...tasks(3));

    for (const state of ["scheduled", "ready", "leased", "completed", "dead", "cancelled"] as const)
      for (const cursor of ["x", "", "🦔", "../../etc", "9".repeat(500), "NaN", "-1.5", "null"])
        await assert.rejects(
          async () => stage.storage.list(QUEUE, { state, limit: 1, cursor }),
          InvalidRequestError,
          `${state} with the cursor ${cursor}`,
        );
  });

  suite.test("lists pages of two hundred", async (stage) => {
    const wanted = tasks(LIMITS.listMax * 2 + 1);
    await stage.enqueue(...wanted);

    const page = await stage.storage.list(QUEUE, { state: "ready", limit: LIMITS.listMax });
    const all = await stage.listAll({ state: "ready", limit: LIMITS.listMax });

    assert.equal(page.tasks.length, LIMITS.listMax);
    assert.deepEqual(idsOf(all), idsOf(wanted));
  });

  suite.test("ends a page before the task that would bring it over its bytes", async (stage) => {
    await stage.enqueue(...[40, 60, 61, 500, 2].map((bytes) => aTask({ payload: payloadOf(bytes) })));

    const sizes = [];
    let cursor: string | undefined;
    do {
      const page = await stage.storage.list(QUEUE, {
        state: "ready",
        limit: 10,
        bytesMax: 100,
        ...(cursor !== undefined && { cursor }),
      });
      sizes.push(page.tasks.map(({ payload }) => payload.length));
      cursor = page.cursor;
    } while (cursor !== undefined);

    assert.deepEqual(sizes, [[40, 60], [61], [500], [2]]);
  });

  suite.test("counts results as well as payloads towards the bytes of a page", async (stage) => {
    await stage.enqueue(...tasks(2, { payload: payloadOf(10) }));
    const held = await stage.claim(2);
    await stage.settle(...held.map((task) => completed(task, payloadOf(60))));

    const page = await stage.storage.list(QUEUE, { state: "completed", limit: 10, bytesMax: 139 });
    const whole = await stage.storage.list(QUEUE, { state: "completed", limit: 10, bytesMax: 140 });

    assert.equal(page.tasks.length, 1);
    assert.equal(whole.tasks.length, 2);
  });

  suite.test("ends a page at 16 MiB when it is told no bound", async (stage) => {
    for (const task of tasks(17, { payload: payloadOf(LIMITS.payloadBytesMax) })) await stage.enqueue(task);

    const page = await stage.storage.list(QUEUE, { state: "ready", limit: 100 });

    assert.equal(page.tasks.length, 16);
    assert.equal(typeof page.cursor, "string");
  });

  suite.test("lists nothing of a queue that does not exist", async (stage) => {
    assert.deepEqual(await stage.storage.list(QUEUE, { state: "ready", limit: 10 }), { tasks: [] });
  });
}

function changes(suite: Suite): void {
  /** Lists a state in pages of three, and lets `between` happen after each of them. */
  async function listAround(
    stage: Stage,
    state: TaskState,
    between: (page: readonly Task[]) => Promise<void>,
  ): Promise<readonly TaskId[]> {
    const ids: TaskId[] = [];
    let cursor: string | undefined;
    do {
      const page = await stage.storage.list(QUEUE, {
        state,
        limit: 3,
        ...(cursor !== undefined && { cursor }),
      });
      ids.push(...idsOf(page.tasks));
      cursor = page.cursor;
      await between(page.tasks);
    } while (cursor !== undefined);
    return ids;
  }

  function assertEachOnce(listed: readonly TaskId[], stayed: readonly TaskId[]): void {
    for (const id of stayed)
      assert.equal(listed.filter((other) => other === id).length, 1, `listings of ${id}`);
  }

  suite.test(
    "lists each ready task that stays exactly once, while others leave at the head",
    async (stage) => {
      const wanted = tasks(20);
      await stage.enqueue(...wanted);

      const listed = await listAround(stage, "ready", async () => {
        if ((await stage.counts()).ready > 12) await stage.claim(2);
      });

      assertEachOnce(listed, idsOf(wanted.slice(8)));
    },
  );

  suite.test(
    "lists each ready task that stays exactly once, while others come at both ends",
    async (stage) => {
      const wanted = tasks(20, { priority: 5 });
      await stage.enqueue(...wanted);
      const handedBack = await stage.claim(3);

      let round = 0;
      const listed = await listAround(stage, "ready", async () => {
        const back = handedBack[round];
        if (back !== undefined) await stage.settle(released(back));
        if (round < 5) await stage.enqueue(aTask({ priority: 5 }), aTask({ priority: 9 }), aTask());
        round += 1;
      });

      assertEachOnce(listed, idsOf(wanted.slice(3)));
      assert.equal(new Set(listed).size, listed.length, "no task is listed twice");
    },
  );

  suite.test(
    "lists each ready task that stays exactly once, while the page's own tasks vanish",
    async (stage) => {
      const wanted = tasks(20);
      await stage.enqueue(...wanted);

      const listed = await listAround(stage, "ready", async (page) => {
        await stage.storage.cancel(QUEUE, idsOf(page));
      });

      assert.deepEqual(listed, idsOf(wanted));
    },
  );

  suite.test(
    "lists each scheduled task that stays exactly once, also those due in one millisecond",
    async (stage) => {
      const [{ createdAt }] = await stage.enqueue(aTask());
      await stage.claimOne();
      const wanted = tasks(20, { runAt: createdAt + MINUTE });
      await stage.enqueue(...wanted);

      let round = 0;
      const listed = await listAround(stage, "scheduled", async (page) => {
        await stage.storage.cancel(QUEUE, idsOf(page));
        if (round < 4) await stage.enqueue(aTask({ delayMs: 100 }), aTask({ runAt: createdAt + MINUTE }));
        round += 1;
      });

      assertEachOnce(listed, idsOf(wanted));
    },
  );

  suite.test(
    "lists each leased task that stays exactly once, while others settle and are claimed",
    async (stage) => {
      await stage.enqueue(...tasks(20));
      const held = await stage.claim(20);

      let round = 0;
      const listed = await listAround(stage, "leased", async (page) => {
        await stage.settle(
          ...held.filter((task) => page.some(({ id }) => id === task.id)).map((task) => completed(task)),
        );
        if (round < 3) {
          await stage.enqueue(aTask());
          await stage.claimOne({ leaseMs: 1_000 });
        }
        round += 1;
      });

      assertEachOnce(listed, idsOf(held));
    },
  );

  suite.test(
    "lists each finished task that stays exactly once, while others finish and are deleted",
    async (stage) => {
      await stage.enqueue(...tasks(30));
      const held = await stage.claim(30);
      await stage.settle(...held.slice(0, 20).map((task) => completed(task)));

      let place = 20;
      const listed = await listAround(stage, "completed", async () => {
        if (place >= 30) return;
        await stage.settle(completed(held[place]!));
        await stage.storage.purge(QUEUE, "completed", 1);
        place += 1;
      });

      assertEachOnce(listed, idsOf(held.slice(10, 20)));
    },
  );

  suite.test("ends a listing whose tasks are all gone", async (stage) => {
    await stage.enqueue(...tasks(6));
    const { cursor = "" } = await stage.storage.list(QUEUE, { state: "ready", limit: 3 });
    await stage.storage.purge(QUEUE, "ready", 10);

    assert.deepEqual(await stage.storage.list(QUEUE, { state: "ready", limit: 3, cursor }), { tasks: [] });
  });

  suite.reopenTest("goes on with a listing after close and reopen", async (stage) => {
    const wanted = tasks(9);
    await stage.enqueue(...wanted);
    await stage.settle(...(await stage.claim(9)).map((task) => completed(task)));
    await stage.enqueue(...tasks(9, { delayMs: MINUTE }));

    for (const state of ["completed", "scheduled"] as const) {
      const whole = idsOf(await stage.listAll({ state }));
      const first = await stage.storage.list(QUEUE, { state, limit: 4 });
      await stage.reopen();
      const rest = await stage.listAll({ state, cursor: first.cursor ?? "" });
      assert.deepEqual(idsOf([...first.tasks, ...rest]), whole);
    }
  });
}
