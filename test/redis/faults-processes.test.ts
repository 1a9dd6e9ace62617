import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ServerProcess } from "../command.ts";
import { percentile } from "./history/redelivery.ts";
import { expectSound, inject } from "./load/fault.ts";
import { INJECTIONS, LEASE_MS, Load, TASKS } from "./load/load.ts";
import { freePort } from "./servers/free-port.ts";
import { type RedisServer, startRedis } from "./servers/redis-server.ts";
import { freshPrefix } from "./servers/redis-url.ts";

/** A lease that ran out is taken back within this. */
const REDELIVERY_MS = 100;
/** What a machine with other things to do may add, to the half of them and to the slowest. */
const NOISE_MS = { half: 150, slowest: 1_400 };
const LIMIT_MS = 60_000 + TASKS * 5 + INJECTIONS * 10_000;
const HOUR_MS = 3_600_000;

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

async function loadOn(queues?: readonly string[]): Promise<Load> {
  const load = await Load.open({ url: redis.url, prefix: freshPrefix() }, queues);
  onTestFinished(() => load.close());
  return load;
}

const WORKERS = { producers: 0, workers: 6 };

describe("a worker's process", () => {
  it(
    "killed with tasks in hand costs their leases, and no task",
    async () => {
      const load = await loadOn();
      await load.here();
      let victim = await load.apart({ ...WORKERS, keepsMs: 100 });

      await inject(load, async () => {
        await victim.kill();
        victim = await load.apart({ ...WORKERS, keepsMs: 100 });
      });

      const verdicts = await load.finish();
      expectSound("Workers killed", load, verdicts);
      expect(verdicts.redeliveries.length).toBeGreaterThan(INJECTIONS);
      const late = verdicts.redeliveries.map(({ readyMs }) => readyMs);
      expect(percentile(late, 0.5)).toBeLessThanOrEqual(REDELIVERY_MS + NOISE_MS.half);
      expect(percentile(late, 0.99)).toBeLessThanOrEqual(REDELIVERY_MS + NOISE_MS.slowest);
    },
    LIMIT_MS,
  );

  it(
    "that stood still for longer than its leases moves nothing with its old tokens",
    async () => {
      const load = await loadOn();
      await load.here();
      const victim = await load.apart({ ...WORKERS, keepsMs: 100 });

      await inject(load, async () => {
        victim.send("SIGSTOP");
        await sleep(LEASE_MS + 300);
        victim.send("SIGCONT");
      });

      expectSound("Workers stopped", load, await load.finish());
    },
    LIMIT_MS,
  );

  it(
    "whose clock somebody sets forward and back keeps its leases to the millisecond",
    async () => {
      const load = await loadOn();
      await load.here();
      const victim = await load.apart({ producers: 1, workers: 6, perSecond: 200 });

      await inject(load, async (count) => {
        await victim.setClock([HOUR_MS, -HOUR_MS, 0][count % 3] as number);
      });

      const verdicts = await load.finish();
      expectSound("Clocks set", load, verdicts);
      expect(verdicts.counted.open).toBe(0);
    },
    LIMIT_MS,
  );
});

describe("a server", () => {
  it(
    "killed under load, beside another one on the same Redis, leaves its claims to their leases, and no task",
    async () => {
      const prefix = freshPrefix();
      const flags = ["--prefix", prefix];
      const load = await Load.open({ url: redis.url, prefix });
      onTestFinished(() => load.close());
      const serve = async (port: number) => {
        const server = await ServerProcess.start(redis.url, [...flags, "--port", String(port)]);
        onTestFinished(() => server.stop().then(() => undefined));
        return server;
      };
      const port = await freePort();
      let victim = await serve(port);
      const other = await serve(await freePort());
      for (const { url } of [victim, other])
        await load.here({ producers: 1, workers: 5, perSecond: 500 }, { url });

      await inject(load, async () => {
        await victim.kill();
        victim = await serve(port);
      });

      const verdicts = await load.finish();
      expectSound("Servers killed", load, verdicts);
      expect(verdicts.counted.open).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

describe("ten brokers of five processes", () => {
  it(
    "race for one queue, and each task goes to one of them",
    async () => {
      const load = await loadOn(["alpha"]);
      for (let n = 0; n < 2; n += 1) await load.here({ producers: 1, workers: 2, perSecond: 500 });
      for (let n = 0; n < 4; n += 1) await load.apart({ producers: 0, workers: 3 }, 2);
      for (let n = 0; n < INJECTIONS; n += 1) await load.progress(TASKS / INJECTIONS);

      const verdicts = await load.finish();
      expectSound("Ten brokers", load, verdicts);
      expect(verdicts.counted.open).toBe(0);
    },
    LIMIT_MS,
  );
});
