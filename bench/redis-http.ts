import { httpClaimOn } from "./http-claim.ts";
import type { HttpStore } from "./http-load.ts";
import { httpOpenLoopOn } from "./http-open-loop.ts";
import { BenchRedis } from "./redis.ts";
import { TARGETS } from "./targets.ts";

const REDIS: HttpStore = {
  name: "Redis",
  title: "one Redis without persistence",
  depth: 10_000,
  claimsPerSecondMax: 30_000,
  async start() {
    const redis = await BenchRedis.start();
    return { redisUrl: redis.url, stop: () => redis.stop() };
  },
};

/** The questions of http-claim and http-open-loop, asked of a server whose tasks are in Redis. */
export const redisHttpClaim = httpClaimOn("redis-http-claim", REDIS, { p50: TARGETS.redisHttpClaimP50 });
export const redisHttpOpenLoop = httpOpenLoopOn("redis-http-open-loop", REDIS);
