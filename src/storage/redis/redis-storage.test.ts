import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { startRedis } from "../../../test/redis/servers/redis-server.ts";
import { until } from "../../../test/redis/servers/until.ts";
import { newTaskId, type QueueName } from "../../task/ids.ts";
import type { ClaimedTask, NewTask } from "../../task/task.ts";
import type { StorageEvent } from "../storage.ts";
import { RedisStorage } from "./redis-storage.ts";

const QUEUE = "emails" as QueueName;
const MINUTE = 60_000;

const server = await startRedis();
afterAll(() => server.stop());

describe("what comes due earlier than anything before", () => {
  it("is told to every other process when it is scheduled", async () => {
    const prefix = `test-${randomUUID()}`;
    const [here, there] = [await opened(prefix), await opened(prefix)];
    const heard = eventsOf(there);

    const [outcome] = await here.enqueue(QUEUE, [aTask({ delayMs: MINUTE })]);

    const at = outcome?.kind === "enqueued" ? outcome.task.runAt : 0;
    await until("the other process hears of it", () => heard.length > 0);
    expect(heard).toEqual([{ kind: "due", queue: QUEUE, at }]);
  });

  it("is told when it is the end of a lease too short for the others to see in time by themselves", async () => {
    const prefix = `test-${randomUUID()}`;
    const [here, there] = [await opened(prefix), await opened(prefix)];
    await here.enqueue(QUEUE, [aTask(), aTask()]);
    const heard = eventsOf(there);

    await here.claim(QUEUE, [{ max: 1, leaseMs: MINUTE }]);
    const { grants } = await here.claim(QUEUE, [{ max: 1, leaseMs: 1_000 }]);

    await until("the other process hears of it", () => heard.length > 0);
    expect(heard).toEqual([{ kind: "due", queue: QUEUE, at: grants[0]?.[0]?.lease.expiresAt }]);
  });
});

describe("a completion that asks in vain, for somebody who waits", () => {
  it("is told of the next task that another process brings", async () => {
    const prefix = `test-${randomUUID()}`;
    const [here, there] = [await opened(prefix), await opened(prefix)];
    await here.enqueue(QUEUE, [aTask()]);
    const { grants } = await here.claim(QUEUE, [{ max: 1 }]);
    const held = grants[0]?.[0] as ClaimedTask;
    here.setWaiting(QUEUE, true);
    const heard: StorageEvent[] = [];
    here.subscribe((event) => heard.push(event));

    const { claim } = await here.settle(
      QUEUE,
      [{ outcome: "complete", id: held.id, token: held.lease.token }],
      [{ max: 1 }],
    );
    await there.enqueue(QUEUE, [aTask()]);

    expect(claim.grants).toEqual([[]]);
    await until("it hears of the task", () => heard.some(({ kind }) => kind === "ready"));
  });
});

describe("two connections", () => {
  it("each take one of two claims that are under way, and the first what comes alone", async () => {
    const storage = await opened(`test-${randomUUID()}`);
    await storage.enqueue(QUEUE, [aTask(), aTask(), aTask(), aTask()]);
    const sources = await scriptsSeen(4, async () => {
      await Promise.all([storage.claim(QUEUE, [{ max: 1 }]), storage.claim(QUEUE, [{ max: 1 }])]);
      await storage.claim(QUEUE, [{ max: 1 }]);
      await storage.claim(QUEUE, [{ max: 1 }]);
    });

    // Two connections are read in any order.
    expect(new Set(sources.slice(0, 2)).size).toBe(2);
    expect(new Set(sources.slice(2)).size).toBe(1);
  });

  it("do not let a claim overtake the enqueue that it was told of, also while another is under way", async () => {
    const storage = await opened(`test-${randomUUID()}`);
    await storage.configure(QUEUE, {});
    storage.setWaiting(QUEUE, true);
    let found: unknown;
    const sources = await scriptsSeen(3, async () => {
      const [, , reply] = await Promise.all([
        storage.claim(QUEUE, [{ max: 1 }]),
        storage.enqueue(QUEUE, [aTask()]),
        storage.claim(QUEUE, [{ max: 1 }]),
      ]);
      found = reply.grants[0]?.length;
    });

    expect(new Set(sources).size).toBe(1);
    expect(found).toBe(1);
  });
});

describe("the list of queues", () => {
  it("has a name before the queue is made, so that a death in between hides no queue", async () => {
    const prefix = `test-${randomUUID()}`;
    const storage = await opened(prefix);
    const watching = await new Redis(server.url).monitor();
    onTestFinished(() => watching.disconnect());
    const seen: string[] = [];
    watching.on("monitor", (_time: string, [name, key]: string[], source: string) => {
      if (source !== "lua" && name !== undefined)
        seen.push(`${name.toLowerCase()} ${name === "SADD" ? key : ""}`);
    });

    await storage.enqueue(QUEUE, [aTask()]);

    await until("both commands are seen", () => seen.length >= 2);
    expect(seen).toEqual([`sadd ${prefix}:queues`, "evalsha "]);
  });
});

async function opened(prefix: string): Promise<RedisStorage> {
  const storage = await RedisStorage.open({ url: server.url, prefix });
  onTestFinished(() => storage.close());
  return storage;
}

/** From which connections the scripts came that `calls` sent, in the order in which Redis executed them. */
async function scriptsSeen(count: number, calls: () => Promise<void>): Promise<string[]> {
  const watching = await new Redis(server.url).monitor();
  onTestFinished(() => watching.disconnect());
  const sources: string[] = [];
  watching.on("monitor", (_time: string, [name]: string[], source: string) => {
    if (source !== "lua" && name?.toLowerCase() === "evalsha") sources.push(source);
  });
  await calls();
  await until(`${count} scripts are seen`, () => sources.length >= count);
  return sources;
}

/** What a process is told of due times from now on. */
function eventsOf(storage: RedisStorage): StorageEvent[] {
  const heard: StorageEvent[] = [];
  storage.subscribe((event) => {
    if (event.kind === "due") heard.push(event);
  });
  return heard;
}

function aTask(wish: Partial<NewTask> = {}): NewTask {
  return { id: newTaskId(QUEUE), payload: "{}", ...wish };
}
