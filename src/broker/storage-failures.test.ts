import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
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

  it("is told to all who wait at the queue, and to nobody who waits at another", async () => {
    const { broker, witness } = await opened();
    const emails = Array.from({ length: 50 }, () => broker.claim(aClaim({ waitMs: 60_000 })));
    const renders = broker.claim(aClaim({ queues: [RENDERS], waitMs: 60_000 }));
    await settledDown();
    witness.intervene = failing("claim");

    await broker.enqueue(anEnqueue({ payload: "1" }));

    const ends = (await Promise.allSettled(emails)) as PromiseRejectedResult[];
    for (const { reason } of ends) expect(reason).toBeInstanceOf(StorageUnavailableError);
    witness.intervene = undefined;
    expect(payloads(await broker.claim(aClaim({ waitMs: 60_000 })))).toEqual(["1"]);
    await broker.enqueue(anEnqueue({ queue: RENDERS, payload: "2" }));
    expect(payloads(await renders)).toEqual(["2"]);
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
    expect(lines).toContain("a round of the loop failed");
    witness.intervene = undefined;
    expect(payloads(await broker.claim(aClaim({ waitMs: 60_000 })))).toEqual(["1"]);
    await until(() => broker.readiness().ready);
    expect(lines).toContain("the loop works again");
  });
});
