import { describe, expect, it } from "vitest";
import { aClaim, anEnqueue, completed, EMAILS, gate, opened, settledDown } from "../../test/broker/opened.ts";
import { EmbeddedStorage } from "../storage/embedded/embedded-storage.ts";
import { StorageUnavailableError } from "../task/errors.ts";
import { Broker } from "./broker.ts";

describe("opening a broker", () => {
  it("fails when the store does not answer", async () => {
    const storage = await EmbeddedStorage.open({});
    await storage.close();

    await expect(Broker.open(storage)).rejects.toBeInstanceOf(StorageUnavailableError);
  });

  it("refuses options that would let nothing through", async () => {
    for (const options of [{ callsInFlight: 0 }, { callsInFlight: 1.5 }, { payloadBytesMax: 0 }]) {
      await expect(opened(options)).rejects.toThrow(/Expected (callsInFlight|payloadBytesMax) to be/);
    }
  });

  it("makes no queue", async () => {
    const { broker } = await opened();

    expect(await broker.queues()).toEqual([]);
  });
});

describe("draining", () => {
  it("is said by readiness, and lets enqueues, settlements and heartbeats go on", async () => {
    const { broker } = await opened();
    await broker.enqueue(anEnqueue());
    const [task] = await broker.claim(aClaim());

    broker.drain();

    expect(broker.readiness()).toEqual({ ready: false, reason: "the broker drains" });
    expect(await broker.enqueue(anEnqueue())).toMatchObject({ task: { state: "ready" } });
    expect(await broker.heartbeat([{ id: task!.id, token: task!.lease.token }])).toHaveLength(1);
    expect(await broker.settleOne(completed(task!))).toMatchObject({ state: "completed" });
  });
});

describe("closing", () => {
  it("answers who waits, lets what is under way end, and keeps leases as they are", async () => {
    const { broker, witness, storage } = await opened();
    await broker.enqueue(anEnqueue());
    const [leased] = await broker.claim(aClaim());
    const waiting = broker.claim(aClaim({ waitMs: 60_000 }));
    const result = broker.result(leased!.id, 60_000);
    await settledDown();
    const held = gate();
    let atClose: unknown;
    witness.intervene = async (verb, call) => {
      if (verb === "enqueue") await held.opened;
      return call();
    };
    const enqueued = broker.enqueue(anEnqueue({ payload: '"last"' })).then(async (answer) => {
      atClose = (await storage.snapshot(EMAILS))?.counts;
      return answer;
    });

    const closed = broker.close();
    expect(await waiting).toEqual([]);
    expect(await result).toMatchObject({ state: "leased" });
    held.open();
    await closed;

    expect(await enqueued).toMatchObject({ task: { payload: '"last"' } });
    expect(atClose).toMatchObject({ ready: 1, leased: 1 });
    await expect(broker.enqueue(anEnqueue())).rejects.toBeInstanceOf(StorageUnavailableError);
    await broker.close();
  });

  it("gives back what was claimed for callers that vanished, before the store is closed", async () => {
    const { broker, witness, storage } = await opened();
    await broker.enqueue(anEnqueue());
    const caller = new AbortController();
    const held = gate();
    let counts: unknown;
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "claim") await held.opened;
      if (verb === "settle") counts = (await storage.snapshot(EMAILS))?.counts;
      return reply;
    };
    const vanished = broker.claim(aClaim(), caller.signal);
    await settledDown();
    caller.abort();

    const closed = broker.close();
    held.open();
    await closed;

    expect(await vanished).toEqual([]);
    expect(counts).toMatchObject({ ready: 1, leased: 0 });
  });
});
