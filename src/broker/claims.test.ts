import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  gate,
  opened,
  payloads,
  RENDERS,
  settledDown,
} from "../../test/broker/opened.ts";
import type { ClaimAsk, ClaimReply } from "../storage/storage.ts";
import { ShuttingDownError } from "../task/errors.ts";
import type { QueueName } from "../task/ids.ts";

const SMS = "sms" as QueueName;
const MEBIBYTE = 1024 * 1024;

/** A JSON text of so many bytes. */
function aText(bytes: number): string {
  return `"${"x".repeat(bytes - 2)}"`;
}

describe("a claim", () => {
  it("gives the tasks under a lease, in order, and nothing twice", async () => {
    const { broker } = await opened();
    await broker.enqueueMany(["1", "2", "3"].map((payload) => anEnqueue({ payload })));

    const first = await broker.claim(aClaim({ max: 2, leaseMs: 5_000, worker: "w1" }));
    const second = await broker.claim(aClaim({ max: 2 }));
    const third = await broker.claim(aClaim());

    expect(payloads(first)).toEqual(["1", "2"]);
    expect(first[0]?.lease).toMatchObject({ ms: 5_000, worker: "w1" });
    expect(payloads(second)).toEqual(["3"]);
    expect(third).toEqual([]);
  });

  it("keeps each caller's own lease length and worker when claims travel together", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany([anEnqueue(), anEnqueue(), anEnqueue()]);

    const [one, two] = await Promise.all([
      broker.claim(aClaim({ leaseMs: 5_000, worker: "a" })),
      broker.claim(aClaim({ max: 2, leaseMs: 7_000, worker: "b" })),
    ]);

    expect(witness.count("claim")).toBe(1);
    expect(one.map(({ lease }) => [lease.ms, lease.worker])).toEqual([[5_000, "a"]]);
    expect(two.map(({ lease }) => [lease.ms, lease.worker])).toEqual([
      [7_000, "b"],
      [7_000, "b"],
    ]);
  });

  it("asks again for a caller left empty while more is ready", async () => {
    const { broker, witness } = await opened();
    await broker.enqueue(anEnqueue({ payload: "1" }));
    // What an engine answers that looks at a bounded number of cancelled tasks at a time.
    witness.intervene = async (verb, call) =>
      verb === "claim" && witness.count("claim") < 4
        ? ({ grants: [[]], more: true } satisfies ClaimReply)
        : call();

    const tasks = await broker.claim(aClaim());

    expect(payloads(tasks)).toEqual(["1"]);
    expect(witness.count("claim")).toBe(4);
  });

  it("is refused while the broker drains", async () => {
    const { broker } = await opened();
    await broker.enqueue(anEnqueue());

    broker.drain();

    await expect(broker.claim(aClaim())).rejects.toBeInstanceOf(ShuttingDownError);
  });
});

describe("a claim over several queues", () => {
  it("takes from the queues in the order given until max are there", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany([
      anEnqueue({ queue: RENDERS, payload: "1" }),
      anEnqueue({ queue: EMAILS, payload: "2" }),
      anEnqueue({ queue: EMAILS, payload: "3" }),
      anEnqueue({ queue: SMS, payload: "4" }),
    ]);

    const tasks = await broker.claim(aClaim({ queues: [EMAILS, RENDERS, SMS], max: 3 }));

    expect(payloads(tasks)).toEqual(["2", "3", "1"]);
    expect((await broker.queue(SMS)).counts).toMatchObject({ ready: 1, leased: 0 });
    expect(witness.calls.filter(({ verb }) => verb === "claim").map(({ args }) => args[0])).toEqual([
      EMAILS,
      RENDERS,
    ]);
  });

  it("never leases more than it answers, however the queues are filled", async () => {
    const { broker } = await opened();
    const queues = [EMAILS, RENDERS, SMS];
    for (const [index, queue] of queues.entries()) {
      await broker.enqueueMany(Array.from({ length: 40 + index }, () => anEnqueue({ queue })));
    }

    const claims = Array.from({ length: 30 }, (_, index) =>
      broker.claim(aClaim({ queues: queues.slice(index % 3), max: 1 + (index % 7) })),
    );
    const answered = await Promise.all(claims);

    const leased = await Promise.all(queues.map(async (queue) => (await broker.queue(queue)).counts.leased));
    expect(leased.reduce((sum, count) => sum + count)).toBe(answered.flat().length);
    expect(new Set(answered.flat().map((task) => task.id)).size).toBe(answered.flat().length);
    for (const [index, tasks] of answered.entries())
      expect(tasks.length).toBeLessThanOrEqual(1 + (index % 7));
  });

  it("gives each task its own queue's lease", async () => {
    const { broker } = await opened();
    await broker.configure(EMAILS, { leaseMs: 5_000 });
    await broker.configure(RENDERS, { leaseMs: 60_000 });
    await broker.enqueueMany([anEnqueue({ queue: EMAILS }), anEnqueue({ queue: RENDERS })]);

    const tasks = await broker.claim(aClaim({ queues: [EMAILS, RENDERS], max: 2 }));

    expect(tasks.map(({ lease }) => lease.ms)).toEqual([5_000, 60_000]);
  });

  it("asks a queue that is named twice once", async () => {
    const { broker, witness } = await opened();

    await broker.claim(aClaim({ queues: [EMAILS, EMAILS, RENDERS, EMAILS] }));

    expect(witness.count("claim")).toBe(2);
  });

  it("stays within 16 MiB, and puts what would not fit back uncounted", async () => {
    const { broker } = await opened();
    await broker.enqueueMany(Array.from({ length: 15 }, () => anEnqueue({ payload: aText(MEBIBYTE) })));
    await broker.enqueue(anEnqueue({ payload: aText(MEBIBYTE / 2) }));
    await broker.enqueue(anEnqueue({ queue: RENDERS, payload: aText(MEBIBYTE / 2 + 1) }));

    const tasks = await broker.claim(aClaim({ queues: [EMAILS, RENDERS], max: 100 }));
    await settledDown();

    expect(tasks.length).toBe(16);
    expect((await broker.queue(RENDERS)).counts).toMatchObject({ ready: 1, leased: 0 });
    const [back] = await broker.claim(aClaim({ queues: [RENDERS] }));
    expect(back?.attempt).toBe(1);
  });

  it("fills up with small tasks of the next queue when a byte is left", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany(Array.from({ length: 3 }, () => anEnqueue({ payload: aText(1_000) })));
    await broker.enqueue(anEnqueue({ queue: RENDERS, payload: "1" }));

    const tasks = await broker.claim(aClaim({ queues: [EMAILS, RENDERS], max: 100 }));

    expect(tasks.length).toBe(4);
    const asks = witness.calls.flatMap(({ verb, args }) => (verb === "claim" ? (args[1] as ClaimAsk[]) : []));
    expect(asks.map(({ max, bytesMax }) => [max, bytesMax])).toEqual([
      [100, undefined],
      [97, 16 * MEBIBYTE - 3_000],
    ]);
  });
});

describe("a caller that vanishes", () => {
  it("loses nothing while its claim travels: the task is ready again, its attempt given back", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany([anEnqueue({ payload: "1" }), anEnqueue({ payload: "2" })]);
    const held = gate();
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "claim") await held.opened;
      return reply;
    };
    const caller = new AbortController();

    const vanished = broker.claim(aClaim({ max: 1 }), caller.signal);
    await settledDown();
    expect((await broker.queue(EMAILS)).counts.leased).toBe(1);
    caller.abort();
    held.open();

    expect(await vanished).toEqual([]);
    await settledDown();
    expect((await broker.queue(EMAILS)).counts).toMatchObject({ ready: 2, leased: 0 });
    const next = await broker.claim(aClaim({ max: 2 }));
    expect(next.map(({ payload, attempt }) => [payload, attempt])).toEqual([
      ["1", 1],
      ["2", 1],
    ]);
  });

  it("loses nothing while the second of its queues is asked", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany([anEnqueue({ queue: EMAILS }), anEnqueue({ queue: RENDERS })]);
    const held = gate();
    witness.intervene = async (verb, call) => {
      if (verb === "claim" && witness.count("claim") === 2) await held.opened;
      return call();
    };
    const caller = new AbortController();

    const vanished = broker.claim(aClaim({ queues: [EMAILS, RENDERS], max: 2 }), caller.signal);
    await settledDown();
    caller.abort();
    held.open();

    expect(await vanished).toEqual([]);
    await settledDown();
    for (const queue of [EMAILS, RENDERS]) {
      expect((await broker.queue(queue)).counts).toMatchObject({ ready: 1, leased: 0 });
    }
  });

  it("does not count towards the hundred releases", async () => {
    const { broker } = await opened();
    await broker.enqueue(anEnqueue({ maxAttempts: 1 }));

    for (let time = 0; time < 105; time += 1) {
      const caller = new AbortController();
      const vanished = broker.claim(aClaim({ waitMs: 1_000 }), caller.signal);
      caller.abort();
      expect(await vanished).toEqual([]);
      await settledDown();
    }

    const [task] = await broker.claim(aClaim());
    expect(task?.attempt).toBe(1);
  });

  it("is not asked for at all when it vanished before", async () => {
    const { broker, witness } = await opened();

    expect(await broker.claim(aClaim(), AbortSignal.abort())).toEqual([]);
    expect(witness.count("claim")).toBe(0);
  });

  it("gets a claim given back that was answered and could not be written", async () => {
    const { broker } = await opened();
    await broker.enqueueMany([anEnqueue({ payload: "1" }), anEnqueue({ payload: "2" })]);
    const tasks = await broker.claim(aClaim({ max: 2 }));

    await broker.giveBack(tasks);

    const again = await broker.claim(aClaim({ max: 2 }));
    expect(again.map(({ payload, attempt }) => [payload, attempt])).toEqual([
      ["1", 1],
      ["2", 1],
    ]);
    expect(await broker.settleOne(completed(again[0]!))).toMatchObject({ state: "completed" });
  });
});
