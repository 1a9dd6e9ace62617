import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dibs } from "../command.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";
import { GENTLE, load } from "./loading.ts";

describe("dibs load on Redis", () => {
  let redis: RedisServer;
  let admin: Redis;
  beforeAll(async () => {
    redis = await startRedis();
    admin = new Redis({ host: redis.host, port: redis.port });
  });
  afterAll(async () => {
    admin.disconnect();
    await redis.stop();
  });

  it("loads a server of its own over keys of its own, and removes them", async () => {
    const { code, report } = await load("claim-latency", redis.url, ...GENTLE);

    expect(code).toBe(0);
    expect(report.target).toMatchObject({ store: "redis", ownServer: true });
    expect(report.target.redisVersion).toMatch(/^(redis|valkey) \d/);
    expect(report.delivery).toMatchObject({ exact: true, controlCaught: true });
    expect(report.operations).toBe(60);
    expect(await admin.dbsize()).toBe(0);
  });

  it("finds the order of mixed priorities right here too", async () => {
    const { report } = await load("mixed-priorities", redis.url, ...GENTLE);

    expect(report.order?.claims).toBeGreaterThanOrEqual(60);
    expect(report.order?.outOfOrder).toBe(0);
  });

  it("asks before it loads a Redis with keys of others, and touches none of them", async () => {
    await admin.set("theirs", "1");

    const refused = await dibs(["load", "claim-latency", redis.url, ...GENTLE]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("holds 1 key of others");
    expect(await admin.keys("*")).toEqual(["theirs"]);

    expect((await load("burst", redis.url, ...GENTLE, "--yes")).code).toBe(0);
    expect(await admin.keys("*")).toEqual(["theirs"]);
    expect(await admin.get("theirs")).toBe("1");
  });

  it("says that there is no Redis", async () => {
    const { code, stderr } = await dibs(["load", "claim-latency", "redis://127.0.0.1:9"]);

    expect(code).toBe(1);
    expect(stderr).toContain("127.0.0.1:9");
  });
});
