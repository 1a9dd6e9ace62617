import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { startRedis } from "../../../test/redis/servers/redis-server.ts";
import { newTaskId, type QueueName } from "../../task/ids.ts";
import type { ClaimedTask, NewTask } from "../../task/task.ts";
import type { PruneReply, ReapReply, Settlement } from "../storage.ts";
import { RedisStorage } from "./redis-storage.ts";
import { OffsetClock } from "./server-clock.ts";

const QUEUE = "emails" as QueueName;
const PRIORITIES = 10;

const server = await startRedis();
const admin = new Redis(server.url);
let clockOffset: OffsetClock;
let storage: RedisStorage;

beforeEach(async () => {
  await storage?.close();
  clockOffset = new OffsetClock();
  storage = await RedisStorage.open({ url: server.url, prefix: `test-${randomUUID()}`, clockOffset });
  await storage.configure(QUEUE, {});
});

afterAll(async () => {
  await storage.close();
  admin.disconnect();
  await server.stop();
});

describe("one call of the storage is one script, whose calls of Redis do not grow with the batch", () => {
  it.each([1, 32, 1_000])("enqueue of %i", async (count) => {
    await storage.enqueue(QUEUE, tasks(1));
    expect(await callsOf(() => storage.enqueue(QUEUE, tasks(count)))).toBe(count === 1 ? 5 : 6);
  });

  it.each([10, 1_000])("enqueue of %i in ten priorities, with keys", async (count) => {
    const keyed = tasks(count, (i) => ({
      priority: i % PRIORITIES,
      idempotencyKey: `key-${i}`,
      payloadHash: "ab".repeat(32),
    }));
    expect(await callsOf(() => storage.enqueue(QUEUE, keyed))).toBe(8 + PRIORITIES);
  });

  it.each([1, 32, 1_000])("enqueue of %i that are there already", async (count) => {
    const sent = tasks(count);
    await storage.enqueue(QUEUE, sent);
    // One alone is tried the short way first.
    expect(await callsOf(() => storage.enqueue(QUEUE, sent))).toBe(count === 1 ? 7 : 5);
  });

  it.each([1, 32, 1_000])("claim of %i", async (count) => {
    await warmLease();
    await storage.enqueue(QUEUE, tasks(count));
    expect(await callsOf(() => storage.claim(QUEUE, [{ max: count }]))).toBe(7);
  });

  it.each([10, 1_000])("claim of %i in ten priorities, by as many asks", async (count) => {
    await warmLease();
    await storage.enqueue(
      QUEUE,
      tasks(count, (i) => ({ priority: i % PRIORITIES })),
    );
    const asks = Array.from({ length: count }, (_, i) => ({ max: 1, worker: `w${i}` }));
    expect(await callsOf(() => storage.claim(QUEUE, asks))).toBe(6 + PRIORITIES);
  });

  it.each([1, 32, 1_000])("claim of nothing by %i", async (count) => {
    const asks = Array.from({ length: count }, () => ({ max: 1 }));
    expect(await callsOf(() => storage.claim(QUEUE, asks))).toBe(2);
  });

  it.each([1, 32, 1_000])("settle of %i, with the next claim", async (count) => {
    await warmLease();
    const held = await claimed(count);
    await storage.enqueue(QUEUE, tasks(count));
    const endings = held.map((task): Settlement => ({ outcome: "complete", result: "{}", ...keyOf(task) }));
    expect(await callsOf(() => storage.settle(QUEUE, endings, [{ max: count }]))).toBe(12);
  });

  it.each([10, 1_000])("settle of %i with every outcome, in ten priorities", async (count) => {
    await warmLease();
    const held = await claimed(count, (i) => ({ priority: i % PRIORITIES }));
    const endings = held.map(
      (task, i): Settlement =>
        [
          { outcome: "complete" as const, result: "{}", ...keyOf(task) },
          { outcome: "nack" as const, error: "no", random: 0.5, delayMs: 60_000, ...keyOf(task) },
          { outcome: "nack" as const, error: "no", random: 0.5, delayMs: 0, ...keyOf(task) },
          { outcome: "refuse" as const, error: "no", ...keyOf(task) },
          { outcome: "release" as const, ...keyOf(task) },
        ][Math.floor(i / PRIORITIES) % 5] as Settlement,
    );
    // Of ten, one for each priority, all end the same way.
    const lists = count === 10 ? 0 : 3 * PRIORITIES;
    expect(await callsOf(() => storage.settle(QUEUE, endings))).toBeLessThanOrEqual(12 + lists);
  });

  it.each([1, 32, 1_000])("heartbeat of %i", async (count) => {
    const held = await claimed(count);
    expect(await callsOf(() => storage.heartbeat(QUEUE, held.map(keyOf)))).toBe(4);
  });

  it.each([1, 32, 1_000])("read of %i", async (count) => {
    const sent = tasks(count);
    await storage.enqueue(QUEUE, sent);
    const ids = sent.map((task) => task.id);
    expect(await callsOf(() => storage.get(QUEUE, ids))).toBe(2);
  });

  it.each([1, 500])("cancel and requeue of %i", async (count) => {
    const sent = tasks(count);
    await storage.enqueue(QUEUE, sent);
    const ids = sent.map((task) => task.id);
    expect(await callsOf(() => storage.cancel(QUEUE, ids))).toBe(6);
    expect(await callsOf(() => storage.requeue(QUEUE, ids))).toBe(8);
  });

  it("takes expired leases back, and purges, at most 250 tasks a script", async () => {
    await claimed(500);
    clockOffset.advance(3_600_000);
    let reaped: ReapReply | undefined;
    let purged: PruneReply | undefined;

    // Twice as many calls as one script makes.
    await callsOf(async () => {
      reaped = await storage.reapExpired(QUEUE, 500);
    }, 2);
    await callsOf(async () => {
      purged = await storage.purge(QUEUE, "ready", 500);
    }, 2);

    expect([reaped?.reaped.length, reaped?.more]).toEqual([500, false]);
    expect(purged).toEqual({ pruned: 500, more: false });
  });

  it("looks for what is due in one command", async () => {
    expect(await callsOf(() => storage.nextDueAt(500), 0)).toBe(1);
  });
});

function tasks(count: number, more: (i: number) => Partial<NewTask> = () => ({})): NewTask[] {
  return Array.from({ length: count }, (_, i) => ({ id: newTaskId(QUEUE), payload: "{}", ...more(i) }));
}

function keyOf({ id, lease }: ClaimedTask) {
  return { id, token: lease.token };
}

async function claimed(count: number, more?: (i: number) => Partial<NewTask>): Promise<ClaimedTask[]> {
  await storage.enqueue(QUEUE, tasks(count, more));
  const { grants } = await storage.claim(QUEUE, [{ max: count }]);
  return [...(grants[0] ?? [])];
}

/** Leaves a lease that ends before all others, so that no other claim changes when the queue is next due. */
async function warmLease(): Promise<void> {
  await storage.enqueue(QUEUE, tasks(1));
  await storage.claim(QUEUE, [{ max: 1, leaseMs: 1_000 }]);
}

/** Commands that Redis executed for `call`, the script itself, of which there must be `scripts`, left out. */
async function callsOf(call: () => Promise<unknown>, scripts = 1): Promise<number> {
  await admin.call("CONFIG", "RESETSTAT");
  await call();
  const stats = await admin.info("commandstats");
  let calls = 0;
  for (const [, name, times] of stats.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)) {
    if (name === "evalsha") expect(Number(times)).toBe(scripts);
    else if (name !== "config|resetstat" && name !== "info") calls += Number(times);
  }
  return calls;
}
