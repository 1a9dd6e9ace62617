import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { completed, heartbeatOf, QUEUE, released, tasks } from "../../src/storage/contract/builders.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { OffsetClock } from "../../src/storage/redis/server-clock.ts";
import type { ClaimedTask } from "../../src/task/task.ts";
import { freshPrefix, redisUrl } from "./servers/redis-url.ts";

const HOUR_MS = 3_600_000;

/** The store while the clock of its Redis was an hour ahead, and after somebody has set it right. */
let ahead: RedisStorage;
let after: RedisStorage;

beforeAll(async () => {
  const place = { url: await redisUrl(), prefix: freshPrefix() };
  const clockOffset = new OffsetClock();
  clockOffset.advance(HOUR_MS);
  ahead = await RedisStorage.open({ ...place, clockOffset });
  after = await RedisStorage.open(place);
});

afterAll(async () => {
  await ahead.close();
  await after.close();
});

async function claim(storage: RedisStorage, max: number): Promise<readonly ClaimedTask[]> {
  const { grants } = await storage.claim(QUEUE, [{ max, leaseMs: 60_000 }]);
  return grants[0] as readonly ClaimedTask[];
}

describe("a clock of Redis that is set back by an hour", () => {
  it("makes no fence smaller and gives no token again, in a claim of one task and of many", async () => {
    await ahead.enqueue(QUEUE, tasks(10));
    const before = await claim(ahead, 10);
    await ahead.settle(QUEUE, before.map(released));

    const claimed = [...(await claim(after, 1)), ...(await claim(after, 9))];

    expect(claimed.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    claimed.forEach(({ lease }, at) => {
      expect(lease.fence).toBeGreaterThan((before[at] as ClaimedTask).lease.fence);
      expect(lease.token).not.toBe((before[at] as ClaimedTask).lease.token);
    });
    await after.settle(
      QUEUE,
      claimed.map((task) => completed(task)),
    );
  });

  it("takes no lease from its holder", async () => {
    await ahead.enqueue(QUEUE, tasks(2));
    const [first, second] = (await claim(ahead, 2)) as [ClaimedTask, ClaimedTask];

    expect(await after.reapExpired(QUEUE, 100)).toMatchObject({ reaped: [] });
    const [beaten] = await after.heartbeat(QUEUE, [heartbeatOf(first)]);
    const { outcomes } = await after.settle(QUEUE, [completed(first), completed(second)]);

    expect(beaten?.kind).toBe("extended");
    expect(outcomes.map(({ kind }) => kind)).toEqual(["completed", "completed"]);
  });
});
