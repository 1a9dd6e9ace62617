import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  nacked,
  opened,
  openedAtRest,
  payloads,
  RENDERS,
  released,
  settledDown,
} from "../../test/broker/opened.ts";
import { LeaseLostError, PayloadTooLargeError, TaskNotFoundError } from "../task/errors.ts";
import { newTaskId, type QueueName } from "../task/ids.ts";
import type { ClaimedTask } from "../task/task.ts";
import type { Broker } from "./broker.ts";

async function claimedOf(broker: Broker, queue: QueueName, count: number): Promise<readonly ClaimedTask[]> {
  await broker.enqueueMany(
    Array.from({ length: count }, (_, index) => anEnqueue({ queue, payload: `${index}` })),
  );
  return broker.claim(aClaim({ queues: [queue], max: count }));
}

describe("a settlement", () => {
  it("says where the task is then, and when it runs again only when it is scheduled", async () => {
    const { broker, clock } = await openedAtRest();
    const [a, b, c, d, e] = await claimedOf(broker, EMAILS, 5);

    const { results } = await broker.settle([
      { ...completed(a!), result: '{"ok":true}' },
      nacked(b!, 5_000),
      nacked(c!, 0),
      released(d!),
      { outcome: "refuse", id: e!.id, token: e!.lease.token, error: "useless" },
    ]);

    expect(results).toEqual([
      { id: a!.id, state: "completed" },
      { id: b!.id, state: "scheduled", runAt: clock.now() + 5_000 },
      { id: c!.id, state: "ready" },
      { id: d!.id, state: "ready" },
      { id: e!.id, state: "dead" },
    ]);
    expect(await broker.get(a!.id)).toMatchObject({ state: "completed", result: '{"ok":true}' });
    expect(await broker.get(e!.id)).toMatchObject({ deadReason: "refused", lastError: "useless" });
  });

  it("draws the backoff's jitter from the broker's random numbers", async () => {
    const { broker, clock } = await openedAtRest({ random: () => 0.5 });
    const [task] = await claimedOf(broker, EMAILS, 1);

    const result = await broker.settleOne({ outcome: "nack", id: task!.id, token: task!.lease.token });

    expect(result).toEqual({ id: task!.id, state: "scheduled", runAt: clock.now() + 500 });
  });

  it("with a lost lease is refused with the state, and its neighbours are not", async () => {
    const { broker, witness } = await opened();
    const [task, other] = await claimedOf(broker, EMAILS, 2);
    await broker.cancel(task!.id);

    const late = broker.settleOne(completed(task!));
    const fine = broker.settleOne(completed(other!));

    await expect(late).rejects.toBeInstanceOf(LeaseLostError);
    await expect(late).rejects.toMatchObject({ details: { id: task!.id, state: "cancelled" } });
    expect(await fine).toEqual({ id: other!.id, state: "completed" });
    expect(witness.count("settle")).toBe(1);
  });

  it("of a task that nobody knows is not found", async () => {
    const { broker } = await opened();
    const [task] = await claimedOf(broker, EMAILS, 1);
    const id = newTaskId(EMAILS);

    const { results } = await broker.settle([{ ...completed(task!), id }, completed(task!)]);

    expect(results[0]).toBeInstanceOf(TaskNotFoundError);
    expect(results[1]).toEqual({ id: task!.id, state: "completed" });
  });

  it("is refused when its result is too large, and can be tried again", async () => {
    const { broker } = await opened({ payloadBytesMax: 20 });
    const [task] = await claimedOf(broker, EMAILS, 1);

    const tooLarge = broker.settleOne({ ...completed(task!), result: `"${"x".repeat(30)}"` });

    await expect(tooLarge).rejects.toBeInstanceOf(PayloadTooLargeError);
    await expect(tooLarge).rejects.toMatchObject({ details: { field: "result", bound: 20, value: 32 } });
    expect(await broker.settleOne(completed(task!))).toMatchObject({ state: "completed" });
  });
});

describe("a settle with the next claim", () => {
  it("is one storage call when all is in one queue", async () => {
    const { broker, witness } = await opened();
    const [task] = await claimedOf(broker, EMAILS, 1);
    await broker.enqueue(anEnqueue({ payload: '"next"' }));
    witness.calls.length = 0;

    const { results, tasks } = await broker.settle([completed(task!)], aClaim());

    expect(results).toEqual([{ id: task!.id, state: "completed" }]);
    expect(payloads(tasks)).toEqual(['"next"']);
    expect(witness.calls.map(({ verb }) => verb)).toEqual(["settle"]);
  });

  it("deals tasks to many callers who travel together", async () => {
    const { broker, witness } = await opened();
    const held = await claimedOf(broker, EMAILS, 20);
    await broker.enqueueMany(Array.from({ length: 30 }, (_, index) => anEnqueue({ payload: `"n${index}"` })));
    witness.calls.length = 0;

    const answers = await Promise.all(
      held.map((task, index) => broker.settle([completed(task)], aClaim({ max: 1 + (index % 2) }))),
    );

    expect(witness.calls.map(({ verb }) => verb)).toEqual(["settle"]);
    expect(answers.map(({ tasks }) => tasks.length)).toEqual(held.map((_, index) => 1 + (index % 2)));
    expect(payloads(answers.flatMap(({ tasks }) => tasks))).toEqual(
      Array.from({ length: 30 }, (_, index) => `"n${index}"`),
    );
  });

  it("over several queues claims with its first queue, after the others have answered", async () => {
    const { broker, witness } = await opened();
    const [email] = await claimedOf(broker, EMAILS, 1);
    const [render] = await claimedOf(broker, RENDERS, 1);
    witness.calls.length = 0;

    const { results, tasks } = await broker.settle(
      [released(render!), completed(email!)],
      aClaim({ queues: [EMAILS, RENDERS] }),
    );

    expect(results).toEqual([
      { id: render!.id, state: "ready" },
      { id: email!.id, state: "completed" },
    ]);
    expect(tasks.map(({ id }) => id)).toEqual([render!.id]);
    expect(witness.calls.map(({ verb, args }) => [verb, args[0]])).toEqual([
      ["settle", RENDERS],
      ["settle", EMAILS],
      ["claim", RENDERS],
    ]);
  });

  it("claims by itself when nothing of its first queue is settled", async () => {
    const { broker } = await opened();
    const [render] = await claimedOf(broker, RENDERS, 1);
    await broker.enqueue(anEnqueue({ payload: '"next"' }));

    const { results, tasks } = await broker.settle([completed(render!)], aClaim());

    expect(results).toEqual([{ id: render!.id, state: "completed" }]);
    expect(payloads(tasks)).toEqual(['"next"']);
  });

  it("applies the outcomes at once, and lets only the answer wait", async () => {
    const { broker } = await opened();
    const [task] = await claimedOf(broker, EMAILS, 1);
    let isAnswered = false;

    const answer = broker.settle([completed(task!)], aClaim({ waitMs: 60_000 })).finally(() => {
      isAnswered = true;
    });
    await settledDown();

    expect(isAnswered).toBe(false);
    expect((await broker.queue(EMAILS)).counts.completed).toBe(1);
    await broker.enqueue(anEnqueue({ payload: '"next"' }));
    expect(payloads((await answer).tasks)).toEqual(['"next"']);
  });

  it("does not overtake claims that wait", async () => {
    const { broker } = await opened();
    const [task] = await claimedOf(broker, EMAILS, 1);
    const early = broker.claim(aClaim({ waitMs: 60_000, worker: "early" }));
    await settledDown();

    const late = broker.settle([released(task!)], aClaim({ waitMs: 60_000, worker: "late" }));

    expect((await early).map(({ id }) => id)).toEqual([task!.id]);
    broker.drain();
    expect((await late).tasks).toEqual([]);
  });

  it("loses nothing when its caller vanishes", async () => {
    const { broker, witness } = await opened();
    const [task] = await claimedOf(broker, EMAILS, 1);
    await broker.enqueue(anEnqueue({ payload: '"next"' }));
    const caller = new AbortController();
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "settle") caller.abort();
      return reply;
    };

    const { results, tasks } = await broker.settle([completed(task!)], aClaim(), caller.signal);
    await settledDown();

    expect(results).toEqual([{ id: task!.id, state: "completed" }]);
    expect(tasks).toEqual([]);
    expect((await broker.queue(EMAILS)).counts).toMatchObject({ ready: 1, leased: 0, completed: 1 });
    expect((await broker.claim(aClaim()))[0]?.attempt).toBe(1);
  });

  it("settles, and claims nothing, while the broker drains", async () => {
    const { broker } = await opened();
    const [task] = await claimedOf(broker, EMAILS, 1);
    await broker.enqueue(anEnqueue());
    broker.drain();

    const { results, tasks } = await broker.settle([completed(task!)], aClaim({ waitMs: 60_000 }));

    expect(results).toEqual([{ id: task!.id, state: "completed" }]);
    expect(tasks).toEqual([]);
  });
});

describe("a heartbeat", () => {
  it("extends each lease from now, in one call for a queue, and says which are lost", async () => {
    const { broker, clock, witness } = await openedAtRest();
    const [a, b] = await claimedOf(broker, EMAILS, 2);
    const [c] = await claimedOf(broker, RENDERS, 1);
    await broker.cancel(b!.id);
    clock.advance(10_000);
    witness.calls.length = 0;

    const beats = [a, b, c].map((task) => ({ id: task!.id, token: task!.lease.token }));
    const results = await broker.heartbeat([...beats, { ...beats[0]!, leaseMs: 90_000 }]);

    expect(results[0]).toEqual({ id: a!.id, expiresAt: clock.now() + 30_000 });
    expect(results[1]).toMatchObject({ code: "lease_lost", details: { state: "cancelled" } });
    expect(results[2]).toEqual({ id: c!.id, expiresAt: clock.now() + 30_000 });
    expect(results[3]).toEqual({ id: a!.id, expiresAt: clock.now() + 90_000 });
    expect(witness.count("heartbeat")).toBe(2);
  });
});
