import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  opened,
  RENDERS,
  settledDown,
} from "../../test/broker/opened.ts";
import { QueueNotFoundError, TaskNotFoundError, WrongStateError } from "../task/errors.ts";
import { newTaskId, type QueueName } from "../task/ids.ts";

const NOBODY = "nobody" as QueueName;

describe("a queue", () => {
  it("is seen with its counts, its waiting claims and its latency over the last minute", async () => {
    const { broker } = await opened();
    await broker.enqueueMany([anEnqueue(), anEnqueue(), anEnqueue({ delayMs: 60_000 })]);
    await broker.claim(aClaim());
    void broker.claim(aClaim({ queues: [RENDERS], waitMs: 60_000 }));
    await broker.configure(RENDERS, {});

    const [emails, renders] = await broker.queues();

    expect(emails).toMatchObject({
      queue: EMAILS,
      paused: false,
      counts: { scheduled: 1, ready: 1, leased: 1 },
      waiting: 0,
      config: { leaseMs: 30_000 },
    });
    expect(emails?.latency.claim.p50).toBeGreaterThan(0);
    expect(emails?.latency.claim.p999).toBeGreaterThanOrEqual(emails?.latency.claim.p50 ?? 0);
    expect(renders).toMatchObject({
      queue: RENDERS,
      waiting: 1,
      latency: { claim: { p50: 0, p99: 0, p999: 0 } },
    });
    expect(await broker.queue(EMAILS)).toMatchObject({ queue: EMAILS });
  });

  it("does not come to be by being looked at, paused, listed or emptied", async () => {
    const { broker } = await opened();

    const calls = [
      () => broker.queue(NOBODY),
      () => broker.pause(NOBODY),
      () => broker.resume(NOBODY),
      () => broker.list(NOBODY, { state: "ready", limit: 10 }),
      () => broker.requeueDead(NOBODY, 10),
      () => broker.purge(NOBODY, "ready"),
    ];
    for (const call of calls) await expect(call()).rejects.toBeInstanceOf(QueueNotFoundError);
    await broker.claim(aClaim({ queues: [NOBODY] }));

    expect(await broker.queues()).toEqual([]);
  });

  it("is paused and resumed; enqueues go on, claims give nothing", async () => {
    const { broker } = await opened();
    await broker.enqueue(anEnqueue());

    expect((await broker.pause(EMAILS)).paused).toBe(true);
    await broker.enqueue(anEnqueue());
    expect(await broker.claim(aClaim({ max: 5 }))).toEqual([]);
    expect((await broker.resume(EMAILS)).paused).toBe(false);

    expect((await broker.claim(aClaim({ max: 5 }))).length).toBe(2);
  });

  it("gives back thousands of dead letters, and removes thousands of tasks, in bounded steps", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany(Array.from({ length: 1_300 }, () => anEnqueue()));
    const claimed = [
      ...(await broker.claim(aClaim({ max: 1_000 }))),
      ...(await broker.claim(aClaim({ max: 1_000 }))),
    ];
    await broker.settle(claimed.map(({ id, lease }) => ({ outcome: "refuse", id, token: lease.token })));

    expect(await broker.requeueDead(EMAILS, 1_200)).toBe(1_200);
    expect((await broker.queue(EMAILS)).counts).toMatchObject({ dead: 100, ready: 1_200 });
    expect(await broker.purge(EMAILS, "ready")).toBe(1_200);

    expect((await broker.queue(EMAILS)).counts).toMatchObject({ dead: 100, ready: 0 });
    const steps = witness.calls.filter(({ verb }) => verb === "requeueDead" || verb === "purge");
    expect(steps.map(({ args }) => args.at(-1))).toEqual([500, 500, 200, 500, 500, 200]);
  });

  it("is listed in pages", async () => {
    const { broker } = await opened();
    await broker.enqueueMany(["1", "2", "3"].map((payload) => anEnqueue({ payload })));

    const first = await broker.list(EMAILS, { state: "ready", limit: 2 });
    const second = await broker.list(EMAILS, { state: "ready", limit: 2, cursor: first.cursor! });

    expect([...first.tasks, ...second.tasks].map(({ payload }) => payload)).toEqual(["1", "2", "3"]);
    expect(second.cursor).toBeUndefined();
    await expect(broker.list(EMAILS, { state: "ready", limit: 2, cursor: "§" })).rejects.toMatchObject({
      code: "invalid_request",
    });
  });
});

describe("a single task", () => {
  it("is cancelled, requeued and taken from its holder, each only where it applies", async () => {
    const { broker } = await opened();
    const { task } = await broker.enqueue(anEnqueue());

    await expect(broker.forceRelease(task.id)).rejects.toMatchObject({ details: { state: "ready" } });
    await expect(broker.requeue(task.id)).rejects.toBeInstanceOf(WrongStateError);
    const [claimed] = await broker.claim(aClaim());
    expect(await broker.forceRelease(task.id)).toEqual({ id: task.id, state: "ready" });
    await expect(broker.settleOne(completed(claimed!))).rejects.toMatchObject({ code: "lease_lost" });
    expect(await broker.cancel(task.id)).toMatchObject({ state: "cancelled" });
    await expect(broker.cancel(task.id)).rejects.toMatchObject({ details: { state: "cancelled" } });
    expect(await broker.requeue(task.id)).toMatchObject({ state: "ready", attempt: 0 });
    await settledDown();

    for (const call of ["get", "cancel", "requeue", "forceRelease"] as const) {
      await expect(broker[call](newTaskId(EMAILS))).rejects.toBeInstanceOf(TaskNotFoundError);
    }
  });
});
