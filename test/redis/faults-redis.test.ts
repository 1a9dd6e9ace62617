import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import { moment } from "./history/moment.ts";
import type { Loss } from "./history/story.ts";
import { AppendOnlyFile } from "./load/append-only-file.ts";
import { expectSound, inject } from "./load/fault.ts";
import { INJECTIONS, LEASE_MS, Load, TASKS } from "./load/load.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "./servers/redis-server.ts";
import { until } from "./servers/until.ts";

const LIMIT_MS = 60_000 + TASKS * 5 + INJECTIONS * 10_000;
/** How old what is not yet synced may be with `appendfsync everysec`, usually. */
const UNSYNCED_MS = 1_000;

async function loaded(options: RedisServerOptions = {}): Promise<{ redis: RedisServer; load: Load }> {
  const redis = await startRedis(options);
  onTestFinished(() => redis.stop());
  const load = await Load.open({ url: redis.url });
  onTestFinished(() => load.close());
  await load.here({ producers: 1, perSecond: 500 });
  await load.here({ producers: 1, perSecond: 500 });
  return { redis, load };
}

/** An administrator's own connection. */
function admin({ host, port }: RedisServer): Redis {
  const client = new Redis({ host, port });
  onTestFinished(() => client.disconnect());
  return client;
}

describe("Redis", () => {
  it(
    "killed with an append-only file synced always has all that it acknowledged",
    async () => {
      const { redis, load } = await loaded({ appendonly: "always" });

      await inject(load, async () => {
        await redis.kill();
        await redis.restart();
      });

      const verdicts = await load.finish();
      expectSound("Redis killed, always", load, verdicts);
      expect([...load.troubles.keys()].join()).toContain("storage_unavailable");
      expect(verdicts.lost).toEqual({ enqueues: 0, endings: 0 });
    },
    LIMIT_MS,
  );

  it(
    "killed with an append-only file synced every second has all that it acknowledged: the system keeps what it wrote",
    async () => {
      const { redis, load } = await loaded({ appendonly: "everysec" });

      await inject(load, async () => {
        await redis.kill();
        await redis.restart();
      });

      const verdicts = await load.finish();
      expectSound("Redis killed, everysec", load, verdicts);
      expect([...load.troubles.keys()].join()).toContain("storage_unavailable");
      expect(verdicts.lost).toEqual({ enqueues: 0, endings: 0 });
    },
    LIMIT_MS,
  );

  it(
    "that loses its power with a file synced every second has all but what is younger than the last sync",
    async () => {
      const { redis, load } = await loaded({ appendonly: "everysec" });
      const file = new AppendOnlyFile(redis.folder);
      onTestFinished(() => file.close());
      const losses: Loss[] = [];

      await inject(load, async () => {
        await sleep(UNSYNCED_MS);
        const end = moment();
        await redis.kill();
        const from = file.cutBack(end - UNSYNCED_MS);
        losses.push({ from, to: moment() });
        await redis.restart();
      });

      const verdicts = await load.finish(losses);
      expectSound("Power cut, everysec", load, verdicts);
      expect(verdicts.lost.enqueues).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  it(
    "that stood still for longer than the leases goes on, and takes them back",
    async () => {
      const { redis, load } = await loaded();

      await inject(load, async () => {
        redis.signal("SIGSTOP");
        await sleep(LEASE_MS + 300);
        redis.signal("SIGCONT");
      });

      expectSound("Redis stopped", load, await load.finish());
    },
    LIMIT_MS,
  );

  it(
    "that forgets its scripts is told them again, and no call notices",
    async () => {
      const { redis, load } = await loaded();
      const client = admin(redis);

      await inject(load, async () => {
        for (let n = 0; n < 10; n += 1) await client.script("FLUSH");
      });

      const verdicts = await load.finish();
      expectSound("Scripts flushed", load, verdicts);
      expect(verdicts.counted.open).toBe(0);
    },
    LIMIT_MS,
  );

  it(
    "that is full refuses new tasks and lets the work drain, and takes tasks again when there is room",
    async () => {
      const { redis, load } = await loaded();
      const client = admin(redis);

      await inject(load, async () => {
        const connection = await load.connect();
        await client.config("SET", "maxmemory", "1mb");
        await refusesForMemory(load);
        await until("the work has drained", async () =>
          (await connection.queues()).every(
            ({ counts }) => counts.ready + counts.scheduled + counts.leased === 0,
          ),
        );
        await client.config("SET", "maxmemory", "0");
      });

      expectSound("Redis full", load, await load.finish());
    },
    LIMIT_MS,
  );
});

async function refusesForMemory(load: Load): Promise<void> {
  const refused = () => [...load.troubles].filter(([text]) => text.includes("maxmemory"));
  const before = refused().reduce((sum, [, count]) => sum + count, 0);
  await until(
    "an enqueue is refused for memory",
    () => refused().reduce((sum, [, count]) => sum + count, 0) > before,
  );
  expect(refused().every(([text]) => text.startsWith("storage_unavailable"))).toBe(true);
}
