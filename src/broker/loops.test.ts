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
  settledDown,
  until,
} from "../../test/broker/opened.ts";
import type { QueueName } from "../task/ids.ts";
import { Broker } from "./broker.ts";

describe("promoting", () => {
  it("hands out delayed tasks by themselves, in the order of their times, never before", async () => {
    const { broker } = await opened();
    const startedAt = Date.now();
    const delays = [45, 15, 30, 0];
    await broker.enqueueMany(delays.map((delayMs) => anEnqueue({ payload: `${delayMs}`, delayMs })));

    const seen: [payload: string, atMs: number][] = [];
    for (const _ of delays) {
      const [task] = await broker.claim(aClaim({ waitMs: 60_000 }));
      seen.push([task!.payload, Date.now() - startedAt]);
    }

    expect(seen.map(([payload]) => payload)).toEqual(["0", "15", "30", "45"]);
    // A millisecond for the rounding of two clocks.
    for (const [payload, atMs] of seen) expect(atMs).toBeGreaterThanOrEqual(Number(payload) - 1);
  });

  it("brings back a nacked task after its delay, and a task whose lease ended, by themselves", async () => {
    const { broker } = await opened();
    await broker.enqueueMany([anEnqueue({ payload: "1" }), anEnqueue({ payload: "2" })]);
    const [one] = await broker.claim(aClaim());
    await broker.claim(aClaim({ leaseMs: 1_000 }));

    await broker.settleOne(nacked(one!, 20));

    expect(await broker.claim(aClaim({ waitMs: 60_000 }))).toMatchObject([{ payload: "1", attempt: 2 }]);
    expect(await broker.claim(aClaim({ waitMs: 60_000 }))).toMatchObject([{ payload: "2", attempt: 2 }]);
  });

  it("takes over what another broker on the store accepted and did not live to promote", async () => {
    const { broker, storage } = await opened();
    const other = await Broker.open(storage);
    await other.enqueue(anEnqueue({ payload: "1", delayMs: 30 }));
    other.drain();
    // It is not closed, because that would close the store: what it knows is all that is lost.
    const waiting = broker.claim(aClaim({ waitMs: 60_000 }));

    expect(payloads(await waiting)).toEqual(["1"]);
  });

  it("promotes and reaps everything that is due by a clock that was moved, in bounded steps", async () => {
    const { broker, clock, witness } = await openedAtRest();
    const queues = ["a", "b"] as QueueName[];
    for (const queue of queues) {
      await broker.enqueueMany(Array.from({ length: 1_200 }, () => anEnqueue({ queue, delayMs: 5_000 })));
      await broker.enqueueMany(Array.from({ length: 600 }, () => anEnqueue({ queue })));
      await broker.claim(aClaim({ queues: [queue], max: 600, leaseMs: 5_000 }));
    }
    await settledDown();

    clock.advance(4_999);
    await broker.runDue();
    for (const { counts } of await broker.queues())
      expect(counts).toMatchObject({ scheduled: 1_200, leased: 600 });
    witness.calls.length = 0;
    clock.advance(1);
    await broker.runDue();

    for (const { counts } of await broker.queues()) {
      expect(counts).toMatchObject({ scheduled: 0, leased: 0, ready: 1_800 });
    }
    const steps = witness.calls.filter(({ verb }) => verb === "promoteDue" || verb === "reapExpired");
    for (const { args } of steps) expect(args[1]).toBe(500);
    expect(steps.length).toBeGreaterThanOrEqual(10);
  });

  it("lets the dead go to the dead letters when their last lease ended", async () => {
    const { broker, clock } = await openedAtRest();
    const { task } = await broker.enqueue(anEnqueue({ maxAttempts: 1 }));
    await broker.claim(aClaim({ leaseMs: 1_000 }));

    clock.advance(1_000);
    await broker.runDue();

    expect(await broker.get(task.id)).toMatchObject({ state: "dead", deadReason: "attempts" });
  });
});

describe("pruning", () => {
  it("keeps what retention says and removes the rest by itself, as fast as tasks finish", async () => {
    const { broker, clock } = await openedAtRest();
    await broker.configure(EMAILS, { retention: { completedMax: 100 } });
    const finish = async (count: number): Promise<void> => {
      await broker.enqueueMany(Array.from({ length: count }, () => anEnqueue()));
      await broker.settle((await broker.claim(aClaim({ max: count }))).map(completed));
    };

    for (let round = 0; round < 5; round += 1) {
      await finish(1_000);
      // What finished is kept for ten seconds at least.
      clock.advance(10_000);
    }
    await finish(500);

    await until(async () => (await broker.queue(EMAILS)).counts.completed === 500);
    expect((await broker.queue(EMAILS)).pruned).toBe(5_000);
  });

  it("removes all at once when asked to, in bounded steps", async () => {
    const { broker, clock, witness } = await openedAtRest();
    await broker.enqueueMany(Array.from({ length: 1_000 }, () => anEnqueue()));
    await broker.settle((await broker.claim(aClaim({ max: 1_000 }))).map(completed));
    await settledDown();
    clock.advance(3_600_000);
    witness.calls.length = 0;

    expect(await broker.prune()).toBe(1_000);

    expect((await broker.queue(EMAILS)).counts.completed).toBe(0);
    for (const { verb, args } of witness.calls) if (verb === "prune") expect(args[1]).toBe(500);
  });

  it("sees to records that are there already when the retention of their queue changes", async () => {
    const { broker, clock } = await openedAtRest();
    await broker.enqueueMany(Array.from({ length: 50 }, () => anEnqueue()));
    await broker.settle((await broker.claim(aClaim({ max: 50 }))).map(completed));
    clock.advance(60_000);

    await broker.configure(EMAILS, { retention: { completedMs: 30_000 } });

    await until(async () => (await broker.queue(EMAILS)).counts.completed === 0);
    expect((await broker.queue(EMAILS)).pruned).toBe(50);
  });
});
