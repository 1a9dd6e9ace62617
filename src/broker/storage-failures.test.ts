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
  until,
} from "../../test/broker/opened.ts";
import type { Storage } from "../storage/storage.ts";
import { StorageUnavailableError } from "../task/errors.ts";
import type { LogFields } from "./logger.ts";

/** An engine that answers nothing but errors to these verbs. */
function failing(...verbs: (keyof Storage)[]) {
  return async (verb: keyof Storage, call: () => Promise<unknown>): Promise<unknown> => {
    if (verbs.includes(verb)) throw new Error("the disk is on fire");
    return call();
  };
}

describe("a storage call that throws", () => {
  it("fails all that travelled in it with storage_unavailable and the cause, and nothing after it", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany([anEnqueue(), anEnqueue()]);
    const [held] = await broker.claim(aClaim());
    witness.intervene = failing("enqueue", "claim", "settle", "heartbeat", "get");

    const failed = await Promise.allSettled([
      broker.enqueue(anEnqueue()),
      broker.enqueue(anEnqueue()),
      broker.enqueueMany([anEnqueue(), anEnqueue({ queue: RENDERS })]),
      broker.claim(aClaim()),
      broker.claim(aClaim({ waitMs: 60_000 })),
      broker.claim(aClaim({ queues: [EMAILS, RENDERS], waitMs: 60_000 })),
      broker.settleOne(completed(held!)),
      broker.settle([completed(held!)], aClaim({ waitMs: 60_000 })),
      broker.heartbeat([{ id: held!.id, token: held!.lease.token }]),
      broker.get(held!.id),
    ]);

    for (const { status, reason } of failed as PromiseRejectedResult[]) {
      expect(status).toBe("rejected");
      expect(reason).toBeInstanceOf(StorageUnavailableError);
      expect(reason).toMatchObject({
        code: "storage_unavailable",
        cause: { message: "the disk is on fire" },
      });
    }
    witness.intervene = undefined;
    expect((await broker.queue(EMAILS)).waiting).toBe(0);
    expect((await broker.claim(aClaim({ max: 5 }))).length).toBe(1);
    expect(await broker.settleOne(completed(held!))).toMatchObject({ state: "completed" });
  });

  it("fails like that also when it throws before it returns a promise", async () => {
    const { broker, witness } = await opened();
    witness.intervene = () => {
      throw new Error("not even a promise");
    };

    await expect(broker.enqueue(anEnqueue())).rejects.toBeInstanceOf(StorageUnavailableError);
    witness.intervene = undefined;

    expect(await broker.enqueue(anEnqueue())).toMatchObject({ deduplicated: false });
  });

  it("fails only its own queue's part of what was asked for several queues", async () => {
    const { broker, witness } = await opened();
    await broker.enqueueMany([anEnqueue({ queue: EMAILS }), anEnqueue({ queue: RENDERS })]);
    const held = await broker.claim(aClaim({ queues: [EMAILS, RENDERS], max: 2 }));
    await broker.enqueue(anEnqueue({ payload: '"next"' }));
    let settles = 0;
    witness.intervene = async (verb, call) => {
      if (verb === "settle") settles += 1;
      if (settles === 1) throw new Error("the disk is on fire");
      return call();
    };

    const { results, tasks } = await broker.settle(
      held.map(completed),
      aClaim({ queues: [RENDERS, EMAILS] }),
    );

    expect(results[0]).toBeInstanceOf(StorageUnavailableError);
    expect(results[1]).toEqual({ id: held[1]!.id, state: "completed" });
    expect(payloads(tasks)).toEqual(['"next"']);
  });

  it("lets a claim answer what it already holds of another queue", async () => {
    const { broker, witness } = await opened();
    await broker.enqueue(anEnqueue({ payload: "1" }));
    witness.intervene = async (verb, call) => {
      if (verb === "claim" && witness.count("claim") === 2) throw new Error("the disk is on fire");
      return call();
    };

    expect(payloads(await broker.claim(aClaim({ queues: [EMAILS, RENDERS], max: 5 })))).toEqual(["1"]);
  });

  it("while a vanished caller's task is given back is logged, and the lease ends by itself", async () => {
    const lines: string[] = [];
    const log = (_fields: LogFields, message: string) => void lines.push(message);
    const { broker, witness } = await opened({ logger: { info: log, warn: log, error: log } });
    await broker.enqueue(anEnqueue());
    const caller = new AbortController();
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "claim") caller.abort();
      if (verb === "settle") throw new Error("the disk is on fire");
      return reply;
    };

    expect(await broker.claim(aClaim(), caller.signal)).toEqual([]);
    await until(() => lines.length > 0);

    expect(lines).toEqual([expect.stringContaining("could not be given back")]);
  });
});

describe("a claim that waits while the storage is away", () => {
  it("outlives it, and is served in its turn when the storage is back", async () => {
    const { broker, witness } = await opened();
    const served: number[] = [];
    const waiting = Array.from({ length: 50 }, (_, index) =>
      broker.claim(aClaim({ waitMs: 60_000 })).then(() => served.push(index)),
    );
    await settledDown();
    witness.intervene = failing("claim");

    await broker.enqueueMany(Array.from({ length: 50 }, () => anEnqueue()));
    await settledDown();
    expect((await broker.queue(EMAILS)).waiting).toBe(50);
    witness.intervene = undefined;

    await Promise.all(waiting);
    expect(served).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  it("looks again at once when the storage says so, and else each second", async () => {
    const { broker, witness } = await opened();
    const first = broker.claim(aClaim({ waitMs: 60_000 }));
    const second = broker.claim(aClaim({ waitMs: 60_000 }));
    await settledDown();
    witness.intervene = failing("claim");
    witness.calls.length = 0;
    await broker.enqueue(anEnqueue({ payload: "1" }));
    await settledDown();
    expect(witness.count("claim")).toBe(1);

    witness.intervene = async (verb, call) => {
      if (verb === "claim" && witness.count("claim") === 3) throw new Error("again");
      return call();
    };
    await broker.enqueue(anEnqueue({ payload: "2" }));

    expect(payloads([...(await first), ...(await second)])).toEqual(["1", "2"]);
  });

  it("costs no storm of calls when it waits at several queues", async () => {
    const { broker, witness } = await opened();
    const waiting = Array.from({ length: 20 }, () =>
      broker.claim(aClaim({ queues: [EMAILS, RENDERS], waitMs: 60_000 })),
    );
    await settledDown();
    witness.intervene = failing("claim");
    witness.calls.length = 0;

    await broker.enqueueMany([anEnqueue(), anEnqueue({ queue: RENDERS }), anEnqueue()]);
    for (let turn = 0; turn < 20; turn += 1) await settledDown();

    expect(witness.count("claim")).toBeLessThanOrEqual(4);
    broker.drain();
    await Promise.allSettled(waiting);
  });

  it("hears at the end of its time that the storage cannot answer, and not that nothing was there", async () => {
    const { broker, witness, storage } = await opened();
    const trouble = { reason: "the disk is on fire", isFinal: false };
    const told = broker.claim(aClaim({ waitMs: 40 }));
    const asked = broker.claim(aClaim({ waitMs: 60 }));
    await settledDown();
    witness.intervene = failing("claim");
    storage.trouble = () => trouble;

    const [first, second] = await Promise.allSettled([told, asked]);

    expect(first).toMatchObject({ status: "rejected", reason: { code: "storage_unavailable" } });
    expect(second).toMatchObject({ status: "rejected", reason: { code: "storage_unavailable" } });
    await expect(broker.queue(EMAILS)).rejects.toMatchObject({ code: "queue_not_found" });
  });

  it("is answered with nothing at the end of its time when an engine in trouble still answers", async () => {
    const { broker, storage } = await opened();
    storage.trouble = () => ({ reason: "the disk is full", isFinal: false });

    expect(await broker.claim(aClaim({ waitMs: 20 }))).toEqual([]);
  });

  it("hears at once when only opening the storage again can help", async () => {
    const { broker, witness, storage } = await opened();
    const waiting = Array.from({ length: 50 }, () => broker.claim(aClaim({ waitMs: 60_000 })));
    await settledDown();
    witness.intervene = failing("claim");
    storage.trouble = () => ({ reason: "the disk is gone", isFinal: true });

    await broker.enqueue(anEnqueue());

    for (const end of await Promise.allSettled(waiting)) {
      expect(end).toMatchObject({ status: "rejected", reason: { code: "storage_unavailable" } });
    }
  });
});

describe("a wait for a result while the storage is away", () => {
  it("outlives it, and is answered when the storage is back", async () => {
    const { broker, witness } = await opened();
    const { task } = await broker.enqueue(anEnqueue({ delayMs: 60_000 }));
    const waiting = broker.result(task.id, 60_000);
    await settledDown();
    witness.intervene = failing("get");

    await broker.cancel(task.id);
    await settledDown();
    witness.intervene = undefined;

    expect(await waiting).toMatchObject({ state: "cancelled" });
  });

  it("hears of it when it begins then, or when its time is over", async () => {
    const { broker, witness } = await opened();
    const { task } = await broker.enqueue(anEnqueue());
    const waiting = broker.result(task.id, 30);
    await settledDown();
    witness.intervene = failing("get");

    await expect(broker.result(task.id, 60_000)).rejects.toMatchObject({ code: "storage_unavailable" });
    await expect(waiting).rejects.toMatchObject({ code: "storage_unavailable" });
  });

  it("is healed by a look when nobody was told of the end", async () => {
    const { broker, witness, storage } = await opened();
    const { task } = await broker.enqueue(anEnqueue());
    const { task: other } = await broker.enqueue(anEnqueue());
    const waiting = [broker.result(task.id, 60_000), broker.result(other.id, 60_000)];
    await settledDown();
    witness.calls.length = 0;

    witness.isDeaf = true;
    await storage.cancel(EMAILS, [task.id, other.id]);

    for (const result of await Promise.all(waiting)) expect(result.state).toBe("cancelled");
    const looks = witness.calls.filter(
      ({ verb, args }) => verb === "get" && (args[1] as unknown[]).length === 2,
    );
    expect(looks.length).toBe(1);
  });
});

describe("too many calls that wait for the storage", () => {
  it("are refused at once, and those that wait go on", async () => {
    const { broker, witness } = await opened();
    const held = gate();
    witness.intervene = async (_verb, call) => {
      await held.opened;
      return call();
    };
    const enqueues = [broker.enqueue(anEnqueue())];
    await settledDown();
    for (let index = 0; index < 100_000; index += 1) enqueues.push(broker.enqueue(anEnqueue()));

    await expect(broker.claim(aClaim())).rejects.toMatchObject({
      code: "storage_unavailable",
      message: expect.stringContaining("100000 calls"),
    });
    held.open();

    await Promise.all(enqueues);
    expect((await broker.queue(EMAILS)).counts.ready).toBe(100_001);
    expect((await broker.claim(aClaim())).length).toBe(1);
  });
});

describe("a loop whose round throws", () => {
  it("says so in the log and in readiness, and goes on when the storage works again", async () => {
    const lines: string[] = [];
    const log = (_fields: LogFields, message: string) => void lines.push(message);
    const { broker, witness } = await opened({ logger: { info: log, warn: log, error: log } });
    expect(broker.readiness()).toEqual({ ready: true });
    witness.intervene = failing("promoteDue", "nextDueAt");

    await broker.enqueue(anEnqueue({ payload: "1", delayMs: 10 }));
    await until(() => !broker.readiness().ready);

    expect(broker.readiness().reason).toMatch(/due loop fails: .*the disk is on fire/);
    expect(lines).toEqual([expect.stringMatching(/^a round of the loop failed/)]);
    witness.intervene = undefined;
    expect(payloads(await broker.claim(aClaim({ waitMs: 60_000 })))).toEqual(["1"]);
    await until(() => broker.readiness().ready);
    expect(lines).toContain("the loop works again");
  });
});
