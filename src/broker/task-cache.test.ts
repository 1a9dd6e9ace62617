import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  gate,
  nacked,
  type Opened,
  openedAtRest,
  RENDERS,
  settledDown,
} from "../../test/broker/opened.ts";
import { TaskNotFoundError } from "../task/errors.ts";
import { newTaskId, queueOf, type TaskId } from "../task/ids.ts";
import type { ClaimedTask, Task } from "../task/task.ts";
import { TaskCache, type TaskCacheOptions } from "./task-cache.ts";

/** A cache over a store in which every task is ready with a payload of its own, and a clock that stands still. */
function aCache(options: Partial<TaskCacheOptions> = {}) {
  const fetched: TaskId[] = [];
  const time = { now: 0 };
  const store = {
    payload: "{}",
    fetch: async (id: TaskId): Promise<Task | undefined> => aTask(id, store.payload),
  };
  const fetch = (id: TaskId) => {
    fetched.push(id);
    return store.fetch(id);
  };
  return {
    cache: new TaskCache(fetch, { mode: "on", ttlMs: 1_000, ...options }, () => time.now),
    fetched,
    time,
    store,
  };
}

function aTask(id: TaskId, payload: string): Task {
  const fields = { priority: 0, attempt: 0, maxAttempts: 5, createdAt: 0, runAt: 0, failures: [] };
  return { id, queue: queueOf(id), state: "ready", payload, ...fields };
}

describe("a task that is kept", () => {
  it("is answered without asking the store, until it is too old", async () => {
    const { cache, fetched, time, store } = aCache();
    const id = newTaskId(EMAILS);
    await cache.read(id);
    store.payload = "[]";

    time.now = 999;
    expect(await cache.read(id)).toMatchObject({ payload: "{}" });
    time.now = 1_000;
    expect(await cache.read(id)).toMatchObject({ payload: "[]" });

    expect(fetched.length).toBe(2);
    expect([cache.hits, cache.misses, cache.invalidations]).toEqual([1, 2, 0]);
  });

  it("is as old as the beginning of its reading", async () => {
    const { cache, fetched, time, store } = aCache();
    const slow = gate();
    const id = newTaskId(EMAILS);
    store.fetch = async () => {
      await slow.opened;
      return aTask(id, "{}");
    };

    const reading = cache.read(id);
    time.now = 900;
    slow.open();
    await reading;
    time.now = 1_000;
    await cache.read(id);

    expect(fetched.length).toBe(2);
  });

  it("is read once for all who ask at the same time, unless that takes too long", async () => {
    const { cache, fetched, time, store } = aCache();
    const slow = gate();
    const id = newTaskId(EMAILS);
    store.fetch = async () => {
      await slow.opened;
      return aTask(id, "{}");
    };

    const readings = [cache.read(id), cache.read(id)];
    time.now = 1_000;
    readings.push(cache.read(id));
    slow.open();

    expect((await Promise.all(readings)).map((task) => task?.id)).toEqual([id, id, id]);
    expect(fetched.length).toBe(2);
    expect([cache.hits, cache.misses]).toEqual([1, 2]);
  });

  it("is read anew for whoever decides on it, and is not older for anybody after that", async () => {
    const { cache, fetched, store } = aCache();
    const id = newTaskId(EMAILS);
    await cache.read(id);
    store.payload = "[]";

    expect(await cache.readAnew(id)).toMatchObject({ payload: "[]" });
    expect(await cache.read(id)).toMatchObject({ payload: "[]" });

    expect(fetched.length).toBe(2);
    expect([cache.hits, cache.misses]).toEqual([1, 1]);
  });

  it("is not shown again to anybody after somebody was told that it is gone, or saw it younger", async () => {
    const { cache, store } = aCache();
    const gone = newTaskId(EMAILS);
    const moved = newTaskId(EMAILS);
    for (const id of [gone, moved]) await cache.read(id);
    const slow = gate();
    store.fetch = async (id) => (id === gone ? undefined : aTask(id, "[]"));

    await cache.readAnew(gone);
    const first = cache.readAnew(moved);
    store.fetch = async (id) => {
      await slow.opened;
      return aTask(id, "[]");
    };
    const second = cache.readAnew(moved);
    await first;
    const after = [cache.read(gone), cache.read(moved)];
    slow.open();

    expect((await Promise.all([...after, second])).map((task) => task?.payload)).toEqual(["[]", "[]", "[]"]);
  });

  it("is not kept when it was written while it was read", async () => {
    const { cache, store } = aCache();
    const slow = gate();
    const id = newTaskId(EMAILS);
    store.fetch = async () => {
      await slow.opened;
      return aTask(id, "{}");
    };
    const reading = cache.read(id);

    cache.wrote([id]);
    store.fetch = async () => aTask(id, "[]");
    const after = cache.read(id);
    slow.open();
    await reading;

    expect(await after).toMatchObject({ payload: "[]" });
    expect(await cache.read(id)).toMatchObject({ payload: "[]" });
  });

  it("is not kept when tasks of its queue were written while it was read, nobody knows which", async () => {
    const { cache, fetched } = aCache();
    const id = newTaskId(EMAILS);
    const other = newTaskId(RENDERS);
    const readings = [cache.read(id), cache.read(other)];

    cache.wroteSome(EMAILS, ["dead"], 1);
    await Promise.all(readings);
    await cache.read(id);
    await cache.read(other);

    expect(fetched).toEqual([id, other, id]);
  });

  it("is forgotten when some tasks in its state were written, and stays when they were others", async () => {
    const { cache, fetched } = aCache();
    const id = newTaskId(EMAILS);
    await cache.read(id);

    cache.wroteSome(EMAILS, ["scheduled", "dead"], 1);
    cache.wroteSome(RENDERS, ["ready"], 1);
    await cache.read(id);
    expect(fetched.length).toBe(1);
    cache.wroteSome(EMAILS, ["ready"], 1);
    await cache.read(id);

    expect(fetched.length).toBe(2);
    expect(cache.invalidations).toBe(1);
  });

  it("leaves nothing behind when it could not be read", async () => {
    const { cache, fetched, store } = aCache();
    const id = newTaskId(EMAILS);
    const { fetch } = store;
    store.fetch = async () => {
      throw new Error("away");
    };
    await expect(Promise.all([cache.read(id), cache.read(id)])).rejects.toThrow("away");

    store.fetch = async () => undefined;
    expect(await cache.read(id)).toBeUndefined();
    store.fetch = fetch;

    expect(await cache.read(id)).toMatchObject({ id });
    expect(fetched.length).toBe(3);
    expect(cache.size).toBe(1);
  });
});

describe("the room of the cache", () => {
  it("is ten thousand tasks; the oldest go first", async () => {
    const { cache, fetched } = aCache();
    const ids = Array.from({ length: 10_001 }, () => newTaskId(EMAILS));
    for (const id of ids) await cache.read(id);
    expect(cache.size).toBe(10_000);

    await cache.read(ids[1] as TaskId);
    expect(fetched.length).toBe(10_001);
    await cache.read(ids[0] as TaskId);

    expect(fetched.length).toBe(10_002);
  });

  it("is 32 MiB", async () => {
    const { cache, store } = aCache();
    store.payload = "x".repeat(512 * 1_024);

    for (let n = 0; n < 100; n += 1) await cache.read(newTaskId(EMAILS));

    expect(cache.size).toBe(63);
  });

  it("is not given to a task that would drive out many others", async () => {
    const { cache, store } = aCache();
    await cache.read(newTaskId(EMAILS));
    store.payload = "x".repeat(2 * 1_024 * 1_024);

    await cache.read(newTaskId(EMAILS));

    expect(cache.size).toBe(1);
  });

  it("is given back as tasks grow too old, and when the cache goes off", async () => {
    const { cache, time } = aCache({ mode: "auto" });
    for (let n = 0; n < 100; n += 1) await cache.read(newTaskId(EMAILS));
    time.now = 1_000;
    for (let n = 0; n < 100; n += 1) await cache.read(newTaskId(EMAILS));
    expect(cache.size).toBe(100);

    time.now = 2_000;
    await cache.read(newTaskId(EMAILS));
    expect(cache.size).toBe(1);
    cache.wrote(Array.from({ length: 100 }, () => newTaskId(EMAILS)));
    time.now = 3_000;
    await cache.read(newTaskId(EMAILS));

    expect(cache.isOn).toBe(false);
    expect(cache.size).toBe(0);
  });
});

describe("a broker with a cache", () => {
  const cached = () => openedAtRest({ cache: { mode: "on", ttlMs: 60_000 } });
  const gets = ({ witness }: Opened) => witness.count("get");

  it("reads a task once, and again after each write of it", async () => {
    const opened = await cached();
    const { broker } = opened;
    const { task } = await broker.enqueue(anEnqueue());
    const states: string[] = [];
    const look = async () => {
      states.push((await broker.get(task.id)).state);
      states.push((await broker.result(task.id, 0)).state);
    };

    await look();
    const [claimed] = await broker.claim(aClaim());
    await look();
    await broker.settleOne(nacked(claimed!, 60_000));
    await look();
    await broker.cancel(task.id);
    await look();
    await broker.requeue(task.id);
    await look();
    await broker.claim(aClaim());
    await look();
    await broker.forceRelease(task.id);
    await look();

    expect(states.filter((_, place) => place % 2 === 0)).toEqual(
      states.filter((_, place) => place % 2 === 1),
    );
    expect(new Set(states)).toEqual(new Set(["ready", "leased", "scheduled", "cancelled"]));
    expect(gets(opened)).toBe(7);
  });

  it("sees the end of a lease move with a heartbeat", async () => {
    const { broker, clock } = await cached();
    const { task } = await broker.enqueue(anEnqueue());
    const [claimed] = await broker.claim(aClaim({ leaseMs: 30_000 }));
    await broker.get(task.id);
    clock.advance(10_000);

    const [beat] = await broker.heartbeat([{ id: task.id, token: claimed!.lease.token }]);

    expect(beat).toMatchObject({ expiresAt: clock.now() + 30_000 });
    expect(await broker.get(task.id)).toMatchObject({ lease: { expiresAt: clock.now() + 30_000 } });
  });

  it("sees what comes due, expires, and is removed", async () => {
    const { broker, clock } = await cached();
    const { task } = await broker.enqueue(anEnqueue({ delayMs: 1_000 }));
    const look = async () =>
      await broker.get(task.id).then(
        ({ state }) => state,
        (error: unknown) => error,
      );
    const seen = [await look()];

    clock.advance(1_000);
    await broker.runDue();
    seen.push(await look());
    await broker.claim(aClaim({ leaseMs: 30_000 }));
    seen.push(await look());
    clock.advance(30_000);
    await broker.runDue();
    seen.push(await look());
    await broker.cancel(task.id);
    seen.push(await look());
    clock.advance(24 * 3_600_000);
    await broker.prune();

    expect(seen).toEqual(["scheduled", "ready", "leased", "ready", "cancelled"]);
    expect(await look()).toBeInstanceOf(TaskNotFoundError);
  });

  it("sees what an operator does to a whole queue", async () => {
    const { broker } = await cached();
    const { task } = await broker.enqueue(anEnqueue({ maxAttempts: 1 }));
    const [claimed] = await broker.claim(aClaim());
    await broker.settleOne(nacked(claimed!));
    expect(await broker.get(task.id)).toMatchObject({ state: "dead" });

    await broker.requeueDead(EMAILS, 10);
    expect(await broker.get(task.id)).toMatchObject({ state: "ready" });
    await broker.purge(EMAILS, "ready");

    await expect(broker.get(task.id)).rejects.toBeInstanceOf(TaskNotFoundError);
  });

  it("asks the store for whoever waits for a result", async () => {
    const opened = await cached();
    const { broker } = opened;
    const { task } = await broker.enqueue(anEnqueue());
    await broker.get(task.id);
    const waiting = broker.result(task.id, 60_000);
    await settledDown();

    const [claimed] = await broker.claim(aClaim());
    await broker.settleOne({ ...completed(claimed!), result: "42" });

    expect(await waiting).toMatchObject({ state: "completed", result: "42" });
    expect(gets(opened)).toBe(3);
    expect(await broker.get(task.id)).toMatchObject({ state: "completed" });
  });

  it("takes the news of an end that another process brought", async () => {
    const { broker, storage } = await cached();
    const { task } = await broker.enqueue(anEnqueue());
    await broker.get(task.id);

    // Past the broker, as another process would.
    await storage.cancel(EMAILS, [task.id]);

    expect(await broker.get(task.id)).toMatchObject({ state: "cancelled" });
  });

  it("forgets a task that a failed write may have written", async () => {
    const { broker, witness } = await cached();
    const { task } = await broker.enqueue(anEnqueue());
    const [claimed] = await broker.claim(aClaim());
    await broker.get(task.id);
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "settle") throw new Error("the answer was lost");
      return reply;
    };

    await expect(broker.settleOne(nacked(claimed!))).rejects.toThrow("the answer was lost");

    expect(await broker.get(task.id)).toMatchObject({ state: "ready" });
  });

  it("sees a task promoted whose nack is not yet answered", async () => {
    const { broker, clock, claimed, answerLater } = await leasedAndSeen();
    const answered = answerLater("settle");
    const nack = broker.settleOne(nacked(claimed, 1_000));
    await settledDown();

    clock.advance(1_000);
    await broker.runDue();

    expect(await broker.get(claimed.id)).toMatchObject({ state: "ready" });
    answered.open();
    await nack;
  });

  it("sees a task removed whose nack is not yet answered", async () => {
    const { broker, claimed, answerLater } = await leasedAndSeen();
    const answered = answerLater("settle");
    const nack = broker.settleOne(nacked(claimed, 1_000));
    await settledDown();

    await broker.purge(EMAILS, "scheduled");

    await expect(broker.get(claimed.id)).rejects.toBeInstanceOf(TaskNotFoundError);
    answered.open();
    await nack;
  });

  /** A task that a claim holds and the cache keeps, and a way to execute a verb whose answer comes later. */
  async function leasedAndSeen() {
    const { broker, clock, witness } = await cached();
    await broker.enqueue(anEnqueue());
    const claimed = (await broker.claim(aClaim()))[0] as ClaimedTask;
    await broker.get(claimed.id);
    const answerLater = (late: string) => {
      const held = gate();
      witness.intervene = async (verb, call) => {
        const reply = await call();
        if (verb === late) await held.opened;
        return reply;
      };
      return held;
    };
    return { broker, clock, claimed, answerLater };
  }

  it("shows in its metrics what the cache did", async () => {
    const { broker } = await cached();
    const { task } = await broker.enqueue(anEnqueue());
    for (let n = 0; n < 5; n += 1) await broker.get(task.id);
    await broker.cancel(task.id);
    await broker.get(task.id);

    const text = await broker.metrics.render();

    const shown = [...text.matchAll(/^dibs_cache_(\w+) (.+)$/gm)].map(([, name, value]) => [name, value]);
    expect(Object.fromEntries(shown)).toEqual({
      hits_total: "4",
      misses_total: "2",
      invalidations_total: "1",
      enabled: "1",
      entries: "1",
      reads_per_write: "3",
    });
  });

  it("has none unless told", async () => {
    const opened = await openedAtRest();
    const { task } = await opened.broker.enqueue(anEnqueue());
    for (let n = 0; n < 100; n += 1) await opened.broker.get(task.id);

    expect(gets(opened)).toBe(100);
    expect(await opened.broker.metrics.render()).toContain("dibs_cache_enabled 0");
  });
});
