import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  gate,
  opened,
  RENDERS,
  settledDown,
} from "../../test/broker/opened.ts";
import type { ClaimAsk } from "../storage/storage.ts";
import { LIMITS } from "../task/limits.ts";
import type { ClaimedTask, NewTask } from "../task/task.ts";

describe("merging", () => {
  it("sends fifty enqueues, claims and settlements of one moment as one call each", async () => {
    const { broker, witness } = await opened();

    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        await broker.enqueue(anEnqueue({ payload: String(index) }));
        const [task] = await broker.claim(aClaim());
        await broker.settleOne(completed(task!));
      }),
    );

    expect(witness.count("enqueue")).toBe(1);
    expect(witness.count("claim")).toBe(1);
    expect(witness.count("settle")).toBe(1);
    expect((await broker.queue(EMAILS)).counts).toMatchObject({ completed: 50, ready: 0, leased: 0 });
  });

  it("lets a solitary call leave without waiting for company", async () => {
    const { broker, witness } = await opened();
    let answered = false;

    void broker.claim(aClaim()).then(() => {
      answered = true;
    });
    for (let hop = 0; hop < 20 && !answered; hop += 1) await Promise.resolve();
    await settledDown();

    expect(answered).toBe(true);
    expect(witness.count("claim")).toBe(1);
  });

  it("gathers what arrives while a call is under way, and sends it next, in order", async () => {
    const { broker, witness } = await opened();
    const first = gate();
    witness.intervene = async (verb, call) => {
      if (verb === "enqueue" && witness.count("enqueue") === 1) await first.opened;
      return call();
    };

    const answers = [broker.enqueue(anEnqueue({ payload: '"first"' }))];
    await settledDown();
    for (let index = 0; index < 30; index += 1)
      answers.push(broker.enqueue(anEnqueue({ payload: `${index}` })));
    await settledDown();
    expect(witness.count("enqueue")).toBe(1);
    first.open();
    await Promise.all(answers);

    const sent = witness.calls
      .filter(({ verb }) => verb === "enqueue")
      .map(({ args }) => args[1] as NewTask[]);
    expect(sent.map((tasks) => tasks.length)).toEqual([1, 30]);
    expect(sent[1]?.map((task) => task.payload)).toEqual(
      Array.from({ length: 30 }, (_, index) => `${index}`),
    );
  });

  it("keeps two calls under way when it may", async () => {
    const { broker, witness } = await opened({ callsInFlight: 2 });
    const held = gate();
    witness.intervene = async (verb, call) => {
      if (verb === "enqueue") await held.opened;
      return call();
    };

    const answers = [broker.enqueue(anEnqueue())];
    await settledDown();
    answers.push(broker.enqueue(anEnqueue()));
    await settledDown();
    answers.push(broker.enqueue(anEnqueue()), broker.enqueue(anEnqueue()));
    await settledDown();
    expect(witness.count("enqueue")).toBe(2);
    held.open();
    await Promise.all(answers);

    expect(witness.count("enqueue")).toBe(3);
  });

  it.each([
    { callers: 250, callsInFlight: 1, sizes: [250] },
    { callers: 250, callsInFlight: 2, sizes: [125, 125] },
    { callers: 50, callsInFlight: 2, sizes: [25, 25] },
    { callers: 17, callsInFlight: 2, sizes: [16, 1] },
    { callers: 16, callsInFlight: 2, sizes: [16] },
  ])(
    "shares $callers callers between the $callsInFlight calls that may be under way: $sizes",
    async ({ callers, callsInFlight, sizes }) => {
      const { broker, witness } = await opened({ callsInFlight });
      const held = gate();
      witness.intervene = async (verb, call) => {
        if (verb === "claim") await held.opened;
        return call();
      };

      const answers = Array.from({ length: callers }, () => broker.claim(aClaim()));
      await settledDown();
      held.open();
      await Promise.all(answers);

      const asks = witness.calls.flatMap(({ verb, args }) =>
        verb === "claim" ? [args[1] as ClaimAsk[]] : [],
      );
      expect(asks.map(({ length }) => length)).toEqual(sizes);
    },
  );

  it("shares what waits with what is under way", async () => {
    const { broker, witness } = await opened({ callsInFlight: 2 });
    const held = gate();
    witness.intervene = async (verb, call) => {
      if (verb === "claim" && witness.count("claim") === 1) await held.opened;
      return call();
    };

    const answers = Array.from({ length: 50 }, () => broker.claim(aClaim()));
    await settledDown();
    answers.push(...Array.from({ length: 25 }, () => broker.claim(aClaim())));
    await settledDown();
    held.open();
    await Promise.all(answers);

    const asks = witness.calls.flatMap(({ verb, args }) => (verb === "claim" ? [args[1] as ClaimAsk[]] : []));
    expect(asks.map(({ length }) => length)).toEqual([25, 25, 25]);
  });

  it("never sends more than a thousand tasks or 16 MiB in one call", async () => {
    const { broker, witness } = await opened();
    const large = `"${"x".repeat(900_000)}"`;

    await broker.enqueueMany(Array.from({ length: 2_345 }, () => anEnqueue()));
    await Promise.all(Array.from({ length: 40 }, () => broker.enqueue(anEnqueue({ payload: large }))));
    await Promise.all(Array.from({ length: 5 }, () => broker.claim(aClaim({ max: 400 }))));

    const sizes = witness.calls.flatMap(({ verb, args }) =>
      verb === "enqueue" ? [args[1] as NewTask[]] : [],
    );
    expect(sizes.slice(0, 3).map((tasks) => tasks.length)).toEqual([1_000, 1_000, 345]);
    for (const tasks of sizes) {
      expect(tasks.length).toBeLessThanOrEqual(LIMITS.batchMax);
      expect(tasks.reduce((sum, task) => sum + task.payload.length, 0)).toBeLessThanOrEqual(
        LIMITS.bodyBytesMax,
      );
    }
    const asked = witness.calls.flatMap(({ verb, args }) =>
      verb === "claim" ? [args[1] as { max: number }[]] : [],
    );
    for (const asks of asked) expect(asks.reduce((sum, ask) => sum + ask.max, 0)).toBeLessThanOrEqual(1_000);
  });

  it("brings at most 16 MiB in one claim of many, and serves who was left empty before who came later", async () => {
    const { broker, witness } = await opened();
    const large = `"${"x".repeat(1024 * 1024 - 2)}"`;
    const order: string[] = [];
    for (let index = 0; index < 40; index += 1) {
      order.push((await broker.enqueue(anEnqueue({ payload: large }))).task.id);
    }
    witness.calls.length = 0;
    const later: Promise<readonly ClaimedTask[]>[] = [];
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "claim" && later.length === 0) later.push(broker.claim(aClaim()), broker.claim(aClaim()));
      return reply;
    };

    const first = await Promise.all(Array.from({ length: 38 }, () => broker.claim(aClaim())));
    const tasks = [...first, ...(await Promise.all(later))].flat();

    expect(tasks.map(({ id }) => id)).toEqual(order);
    expect(witness.count("claim")).toBe(3);
  });

  it("keeps queues apart", async () => {
    const { broker, witness } = await opened();

    await Promise.all([
      broker.enqueue(anEnqueue({ queue: EMAILS })),
      broker.enqueue(anEnqueue({ queue: RENDERS })),
      broker.enqueue(anEnqueue({ queue: EMAILS })),
    ]);

    const sent = witness.calls.filter(({ verb }) => verb === "enqueue");
    expect(sent.map(({ args }) => [args[0], (args[1] as NewTask[]).length])).toEqual([
      [EMAILS, 2],
      [RENDERS, 1],
    ]);
  });

  it("lets the event loop turn while callers loop over an engine that answers at once", async () => {
    const { broker } = await opened();
    let isOver = false;
    let turns = 0;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };

    setImmediate(count);
    const endsAt = performance.now() + 100;
    while (performance.now() < endsAt) await broker.claim(aClaim());
    isOver = true;

    expect(turns).toBeGreaterThan(1);
  });
});
