import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { expectSound, inject } from "./load/fault.ts";
import { INJECTIONS, Load, TASKS } from "./load/load.ts";
import { openPlace } from "./load/place.ts";
import { type RedisServer, startRedis } from "./servers/redis-server.ts";
import { freshPrefix } from "./servers/redis-url.ts";
import { until } from "./servers/until.ts";
import { type WireFate, WireProxy } from "./wire-proxy.ts";

const LIMIT_MS = 60_000 + TASKS * 5 + INJECTIONS * 10_000;
/** A dead connection is found within this, so that a test need not last. */
const COMMAND_TIMEOUT_MS = 1_000;
/** The watchdog's question to an idle connection, its patience, a new connection, the safety look; and noise. */
const FOUND_MS = 20_000 + 5_000;

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

async function proxied(): Promise<WireProxy> {
  const proxy = await WireProxy.open(redis);
  onTestFinished(() => proxy.close());
  return proxy;
}

async function broken(what: string, breaks: (proxy: WireProxy) => Promise<unknown>): Promise<void> {
  const proxy = await proxied();
  const prefix = freshPrefix();
  const load = await Load.open({ url: redis.url, prefix });
  onTestFinished(() => load.close());
  const far = { url: proxy.url, prefix, commandTimeoutMs: COMMAND_TIMEOUT_MS };
  await load.here({ producers: 1, workers: 4, perSecond: 500 });
  await load.here({ producers: 1, workers: 4, perSecond: 500 }, far);

  await inject(load, async () => {
    await breaks(proxy);
  });

  const verdicts = await load.finish();
  expectSound(what, load, verdicts);
  expect(proxy.connections).toBeGreaterThan(INJECTIONS);
}

/** Until something is on its way and meets it. */
async function once(proxy: WireProxy, fate: WireFate): Promise<void> {
  const { connections } = proxy;
  proxy.fate = fate;
  await until("a connection met its fate", () => proxy.connections > connections);
  proxy.fate = "pass";
}

describe("the sockets of a broker", () => {
  it(
    "cut under load cost the calls on them, and no task",
    () =>
      broken("Sockets cut", async (proxy) => {
        for (let n = 0; n < 3; n += 1) {
          await sleep(100);
          proxy.cutAll();
        }
      }),
    LIMIT_MS,
  );

  it(
    "cut when an answer is on its way leave open what happened, and do it once",
    () => broken("Answers lost", (proxy) => once(proxy, "lose-answer")),
    LIMIT_MS,
  );

  it(
    "half-open under load are given up at the deadline, and the load goes on over new ones",
    () => broken("Half open", (proxy) => once(proxy, "swallow")),
    LIMIT_MS,
  );
});

describe.each(["cut", "half-open"] as const)("a claim that waits while its socket is %s", (how) => {
  it(
    "goes on waiting, and gets the task that comes later",
    async () => {
      const proxy = await proxied();
      const prefix = freshPrefix();
      const near = await openPlace({ url: redis.url, prefix });
      onTestFinished(() => near.close());
      const far = await openPlace({ url: proxy.url, prefix, commandTimeoutMs: COMMAND_TIMEOUT_MS });
      onTestFinished(() => far.close());

      for (let count = 0; count < INJECTIONS; count += 1) {
        const queue = `quiet-${count}`;
        const claims = [1, 2, 3].map(() => far.claim({ queues: [queue], waitMs: 60_000, leaseMs: 60_000 }));
        await sleep(200);
        const { connections } = proxy;
        if (how === "cut") proxy.cutAll();
        else await halfOpen(proxy);
        await near.enqueueMany([1, 2, 3].map((number) => ({ queue, payloadJson: String(number) })));
        const start = performance.now();
        const tasks = (await Promise.all(claims)).flat();

        expect(tasks.map(({ payload }) => payload).sort()).toEqual([1, 2, 3]);
        expect(performance.now() - start).toBeLessThan(FOUND_MS);
        expect(proxy.connections).toBeGreaterThan(connections);
      }
    },
    LIMIT_MS + INJECTIONS * FOUND_MS,
  );
});

/** The connections that are there now are dead and do not know it; new ones are well. */
async function halfOpen(proxy: WireProxy): Promise<void> {
  proxy.fate = "swallow";
  const { connections } = proxy;
  await until("the dead connection is found", () => proxy.connections > connections, FOUND_MS);
  proxy.fate = "pass";
}
