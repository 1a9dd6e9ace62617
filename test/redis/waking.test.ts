import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as passed } from "node:timers/promises";
import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import { Broker } from "../../src/broker/broker.ts";
import type { EnqueueResult } from "../../src/broker/requests.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { newTaskId, type QueueName } from "../../src/task/ids.ts";
import type { ClaimedTask } from "../../src/task/task.ts";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  nacked,
  payloads,
  RENDERS,
  released,
} from "../broker/opened.ts";
import { DeafProxy } from "./deaf-proxy.ts";
import { type RedisServer, startRedis } from "./servers/redis-server.ts";
import { freshPrefix, redisUrl } from "./servers/redis-url.ts";
import { until } from "./servers/until.ts";

const LONG = 600_000;
/** How often an engine looks at a queue at which somebody waits, whatever it heard. */
const SAFETY_MS = 5_000;
/** What a machine under load may add to anything. */
const SLACK_MS = 2_000;
/** How long the idle system is watched: `DIBS_IDLE_MS`. */
const IDLE_MS = Number(process.env["DIBS_IDLE_MS"] ?? 20_000);

async function brokerAt(url: string, prefix: string): Promise<Broker> {
  const broker = await Broker.open(await RedisStorage.open({ url, prefix }));
  onTestFinished(() => broker.close());
  return broker;
}

/** Two brokers, each with its own engine, on one namespace: as two processes. */
async function twoBrokers(url?: string): Promise<[here: Broker, there: Broker]> {
  const at = url ?? (await redisUrl());
  const prefix = freshPrefix();
  return [await brokerAt(at, prefix), await brokerAt(at, prefix)];
}

interface Parked {
  readonly task: Promise<ClaimedTask>;
}

/** A claim of queues that have no tasks now. Resolves when it rests. */
async function parked(broker: Broker, queues = [EMAILS]): Promise<Parked> {
  const claim = broker.claim(aClaim({ queues, waitMs: LONG }));
  // Of two claims of a queue the second has its answer after the first one has.
  for (const queue of queues) expect(await broker.claim(aClaim({ queues: [queue] }))).toEqual([]);
  return { task: claim.then(([task]) => task as ClaimedTask) };
}

function tasksOf(waiting: readonly Parked[]): Promise<ClaimedTask[]> {
  return Promise.all(waiting.map(({ task }) => task));
}

/** A server that nobody else uses. */
async function ownRedis(appendonly?: "always"): Promise<RedisServer> {
  const server = await startRedis(appendonly === undefined ? {} : { appendonly });
  onTestFinished(() => server.stop());
  return server;
}

/** A broker in a process of its own; killed at the latest when the test is over. */
async function loneBroker(url: string, prefix: string, does: object): Promise<LoneBroker> {
  const program = new URL("./lone-broker.mjs", import.meta.url).pathname;
  const child = spawn(process.execPath, [program, url, prefix, JSON.stringify(does)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  onTestFinished(kill);
  const line = String(await once(createInterface({ input: child.stdout }), "line"));
  return { child, kill, claimed: JSON.parse(line.replace("ready ", "")) };
}

interface LoneBroker {
  readonly child: ChildProcess;
  readonly claimed: readonly ClaimedTask[];
  kill(): Promise<void>;
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** A connection to look at the server with, past the engine. */
function onlooker(url: string): Redis {
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** A number of INFO that follows `name`. */
async function numberOf(redis: Redis, section: string, name: string): Promise<number> {
  return Number(new RegExp(`${name}(\\d+)`).exec(await redis.info(section))?.[1] ?? 0);
}

/** The moment of the engine at which a task was handed out, against the one at which it came due. */
function lateMs({ lease, runAt }: ClaimedTask, dueAt: number = runAt): number {
  return lease.claimedAt - dueAt;
}

describe("a claim that is parked", () => {
  it.each<[string, (there: Broker, held: ClaimedTask) => Promise<unknown>]>([
    ["an enqueue", (there) => there.enqueue(anEnqueue())],
    ["a release", (there, held) => there.settleOne(released(held))],
    ["a nack", (there, held) => there.settleOne(nacked(held))],
    ["a forced release", (there, held) => there.forceRelease(held.id)],
    ["a requeue", (there, held) => there.cancel(held.id).then(() => there.requeue(held.id))],
    [
      "a resume",
      async (there, held) => {
        await there.pause(EMAILS);
        await there.settleOne(released(held));
        await there.resume(EMAILS);
      },
    ],
  ])("is woken by %s in another process, without waiting for a look", async (_name, makeReady) => {
    const [here, there] = await twoBrokers();
    const ms = await elapsed(async () => {
      for (let round = 0; round < 10; round += 1) {
        await there.enqueue(anEnqueue({ maxAttempts: 100 }));
        const [held] = await there.claim(aClaim());
        const { task } = await parked(here);
        await makeReady(there, held as ClaimedTask);
        await here.settleOne(completed(await task));
      }
    });

    // Ten looks would take half a minute.
    expect(ms).toBeLessThan(SAFETY_MS + SLACK_MS);
  });

  it("is the only one that is woken for a task when several processes wait", async () => {
    const { url } = await ownRedis();
    const prefix = freshPrefix();
    const waiting: Parked[] = [];
    for (let count = 0; count < 4; count += 1) waiting.push(await parked(await brokerAt(url, prefix)));
    const there = await brokerAt(url, prefix);
    const redis = onlooker(url);
    const published = () => numberOf(redis, "commandstats", "cmdstat_publish:calls=");
    const before = await published();

    const ms = await elapsed(async () => {
      await there.enqueue(anEnqueue({ payload: "1" }));
      expect((await Promise.race(waiting.map(({ task }) => task))).payload).toBe("1");
      expect((await published()) - before).toBe(1);
      for (const payload of ["2", "3", "4"]) await there.enqueue(anEnqueue({ payload }));
      expect(payloads(await tasksOf(waiting)).sort()).toEqual(["1", "2", "3", "4"]);
    });

    expect(ms).toBeLessThan(SAFETY_MS);
  });

  it.each(["another process", "its own"])(
    "passes a wake-up by %s on when it has no more use for it",
    async (where) => {
      const url = await redisUrl();
      const prefix = freshPrefix();
      const first = await brokerAt(url, prefix);
      const second = await brokerAt(url, prefix);
      const there = where === "its own" ? first : await brokerAt(url, prefix);
      const ms = await elapsed(async () => {
        for (let round = 0; round < 10; round += 1) {
          // The first to be woken at both queues, and it takes from one.
          const wide = await parked(first, [EMAILS, RENDERS]);
          const narrow = [await parked(second, [EMAILS]), await parked(second, [RENDERS])];

          await there.enqueueMany([EMAILS, RENDERS, EMAILS, RENDERS].map((queue) => anEnqueue({ queue })));

          const tasks = await tasksOf([wide, ...narrow]);
          tasks.push(...(await there.claim(aClaim({ queues: [EMAILS, RENDERS] }))));
          await there.settle(tasks.map(completed));
          expect(tasks.length).toBe(4);
        }
      });

      expect(ms).toBeLessThan(SAFETY_MS + SLACK_MS);
    },
  );

  it("has its task within the safety look when every message is lost", async () => {
    const server = await ownRedis();
    const proxy = await DeafProxy.open(server.port);
    onTestFinished(() => proxy.close());
    const prefix = freshPrefix();
    const deaf = [await brokerAt(proxy.url, prefix), await brokerAt(proxy.url, prefix)];
    const there = await brokerAt(server.url, prefix);
    const queues = ["a", "b", "c", "d", "e", "f"] as QueueName[];
    const late: number[] = [];
    const work = async (broker: Broker, queue: QueueName): Promise<void> => {
      for (let count = 0; count < 2; count += 1) {
        const tasks = await broker.claim(aClaim({ queues: [queue], waitMs: LONG }));
        late.push(...tasks.map((task) => lateMs(task)));
        await broker.settle(tasks.map(completed));
      }
    };
    const workers = queues.flatMap((queue) => deaf.map((broker) => work(broker, queue)));
    await passed(100);

    for (let count = 0; count < 4 * queues.length; count += 1) {
      await there.enqueue(anEnqueue({ queue: queues[count % queues.length] as QueueName }));
      await passed(150);
    }
    await Promise.all(workers);

    expect(late.length).toBe(24);
    expect(proxy.swallowed).toBeGreaterThan(0);
    expect(Math.max(...late)).toBeLessThan(SAFETY_MS + SLACK_MS);
  });

  it("has its task within the safety look when the process that was woken for it is killed", async () => {
    const url = await redisUrl();
    const prefix = freshPrefix();
    const queues = ["a", "b", "c", "d", "e"] as QueueName[];
    const lone = await loneBroker(url, prefix, { park: queues });
    const here = await brokerAt(url, prefix);
    const there = await brokerAt(url, prefix);
    const waiting: Parked[] = [];
    for (const queue of queues) waiting.push(await parked(here, [queue]));

    // It stands still: it is woken and does nothing about it.
    lone.child.kill("SIGSTOP");
    await there.enqueueMany(queues.map((queue) => anEnqueue({ queue })));
    await lone.kill();

    for (const task of await tasksOf(waiting)) expect(lateMs(task)).toBeLessThan(SAFETY_MS + SLACK_MS);
  });

  it("outlives a Redis that is killed and comes back, and is woken then as before", async () => {
    const server = await ownRedis("always");
    const [here, there] = await twoBrokers(server.url);
    const waiting: Parked[] = [];
    for (let count = 0; count < 20; count += 1) waiting.push(await parked(here));

    await server.kill();
    await until("Redis is known to be away", () => !here.readiness().ready);
    await expect(there.enqueue(anEnqueue())).rejects.toMatchObject({ code: "storage_unavailable" });
    await expect(here.claim(aClaim())).rejects.toMatchObject({ code: "storage_unavailable" });
    await server.restart();
    await until("all is well again", () => here.readiness().ready && there.readiness().ready);
    const ms = await elapsed(async () => {
      for (let count = 0; count < 20; count += 1) await there.enqueue(anEnqueue({ payload: `${count}` }));
      expect(new Set(payloads(await tasksOf(waiting))).size).toBe(20);
    });

    expect(ms).toBeLessThan(SAFETY_MS);
  });
});

const PROMOTED = "promoted" as QueueName;

describe("what comes due", () => {
  it("wakes a claim in another process in its moment", async () => {
    const [here, there] = await twoBrokers();
    const waiting = Array.from({ length: 20 }, () => here.claim(aClaim({ waitMs: LONG })));

    // Later ones first, so that most come due earlier than anything known.
    for (let count = 20; count > 0; count -= 1) await there.enqueue(anEnqueue({ delayMs: 100 * count }));

    const late = (await Promise.all(waiting)).flat().map((task) => lateMs(task));
    expect(late.length).toBe(20);
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...late)).toBeLessThan(500);
  });

  it("is told to who waits in another process by the one that promotes it", async () => {
    const options = { url: await redisUrl(), prefix: freshPrefix(), onWarning: () => {} };
    const [here, there] = [await RedisStorage.open(options), await RedisStorage.open(options)];
    try {
      const events: string[] = [];
      here.subscribe(({ kind }) => events.push(kind));
      here.setWaiting(PROMOTED, true);
      await here.claim(PROMOTED, [{ max: 1 }]);
      await there.enqueue(PROMOTED, [{ id: newTaskId(PROMOTED), payload: "1", delayMs: 50 }]);

      await expect.poll(async () => (await there.promoteDue(PROMOTED, 500)).latenessMs.length).toBe(1);

      await expect.poll(() => events).toContain("ready");
    } finally {
      await here.close();
      await there.close();
    }
  });

  it("is taken over from a process that was killed: its schedule, and the leases that it held", async () => {
    const url = await redisUrl();
    const prefix = freshPrefix();
    const here = await brokerAt(url, prefix);
    const lone = await loneBroker(url, prefix, {
      enqueue: [
        anEnqueue({ payload: '"leased"' }),
        anEnqueue({ payload: '"leased"' }),
        anEnqueue({ payload: '"scheduled"', delayMs: 700 }),
        anEnqueue({ payload: '"scheduled"', delayMs: 1_500 }),
      ],
      claim: aClaim({ max: 2, leaseMs: 2_000 }),
    });
    await lone.kill();
    const leaseEnd = new Map(lone.claimed.map(({ id, lease }) => [id, lease.expiresAt]));
    expect(leaseEnd.size).toBe(2);

    const tasks = await Promise.all(Array.from({ length: 4 }, () => here.claim(aClaim({ waitMs: LONG }))));

    const late = tasks.flat().map((task) => lateMs(task, leaseEnd.get(task.id)));
    expect(late.length).toBe(4);
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...late)).toBeLessThan(500);
  });
});

describe("a wait for a result", () => {
  it("is answered at once when another process ends the task", async () => {
    const [here, there] = await twoBrokers();
    const ms = await elapsed(async () => {
      for (let round = 0; round < 20; round += 1) {
        const { task } = await here.enqueue(anEnqueue());
        const waiting = here.result(task.id, LONG);
        const [claimed] = await there.claim(aClaim());
        await there.settleOne({ ...completed(claimed as ClaimedTask), result: `${round}` });
        expect(await waiting).toMatchObject({ state: "completed", result: `${round}` });
      }
    });

    expect(ms).toBeLessThan(SAFETY_MS);
  });

  it("is answered at once when another process ends the task together with others", async () => {
    const [here, there] = await twoBrokers();
    const ms = await elapsed(async () => {
      for (let round = 0; round < 5; round += 1) {
        const [first] = await here.enqueueMany([anEnqueue(), anEnqueue()]);
        const waiting = here.result((first as EnqueueResult).task.id, LONG);
        await there.settle((await there.claim(aClaim({ max: 2 }))).map(completed));
        expect(await waiting).toMatchObject({ state: "completed" });
      }
    });

    expect(ms).toBeLessThan(SAFETY_MS);
  });

  it("is answered within a look when every message is lost", async () => {
    const server = await ownRedis();
    const proxy = await DeafProxy.open(server.port);
    onTestFinished(() => proxy.close());
    const prefix = freshPrefix();
    const deaf = await brokerAt(proxy.url, prefix);
    const there = await brokerAt(server.url, prefix);
    const tasks = await deaf.enqueueMany(Array.from({ length: 50 }, () => anEnqueue()));
    const waiting = tasks.map((answer) => deaf.result((answer as EnqueueResult).task.id, LONG));
    await passed(100);

    await there.settle((await there.claim(aClaim({ max: 50 }))).map(completed));
    const ms = await elapsed(() => Promise.all(waiting));

    expect(proxy.swallowed).toBeGreaterThan(0);
    expect(ms).toBeLessThan(SAFETY_MS + SLACK_MS);
  });
});

describe("a thousand parked claims", () => {
  it(
    "cost about one command a second while nothing happens",
    async () => {
      const { url } = await ownRedis();
      const broker = await brokerAt(url, freshPrefix());
      await broker.enqueue(anEnqueue());
      await broker.settle((await broker.claim(aClaim({ leaseMs: 1_000 }))).map(completed));
      const waiting = Array.from({ length: 1_000 }, () => broker.claim(aClaim({ waitMs: LONG })));
      // Until the end of that lease has come and gone, too.
      await passed(2_500);
      const redis = onlooker(url);
      const count = () => numberOf(redis, "stats", "total_commands_processed:");

      const before = await count();
      await passed(IDLE_MS);
      const commands = (await count()) - before - 1;

      const perSecond = (commands * 1_000) / IDLE_MS;
      expect(perSecond).toBeLessThan(1.2);
      broker.drain();
      expect((await Promise.all(waiting)).flat()).toEqual([]);
    },
    IDLE_MS + 60_000,
  );
});
