import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LabRedis } from "../../src/lab/ladder/lab-redis.ts";
import { runLadder } from "../../src/lab/ladder/ladder.ts";
import { LeasedTasks } from "../../src/lab/ladder/leased-tasks.ts";
import { LISTS } from "../../src/lab/ladder/orders.ts";
import { runReads } from "../../src/lab/ladder/reads.ts";
import type { OpenRung, Rung, RungTask } from "../../src/lab/ladder/rung.ts";
import { lists } from "../../src/lab/ladder/rungs/lists.ts";
import { pipelined } from "../../src/lab/ladder/rungs/pipelined.ts";
import { PRODUCT_QUEUE } from "../../src/lab/ladder/rungs/product.ts";
import { baselineOf, RUNGS } from "../../src/lab/ladder/rungs.ts";
import { runTrial } from "../../src/lab/ladder/trial.ts";
import { newTaskId } from "../../src/task/ids.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";

/** Longer trials find more; a second each is a good look. */
const SECONDS = Number(process.env["DIBS_LADDER_SECONDS"] ?? 0.15);
const CALLERS = 16;
const NEVER = new AbortController().signal;

let server: RedisServer;
let redis: LabRedis;
beforeAll(async () => {
  server = await startRedis();
  redis = await LabRedis.open(server.url, 10_000);
});
afterAll(async () => {
  await redis.close();
  await server.stop();
});

const named = (rungs: readonly Rung[]) => rungs.map((rung) => [rung.name, rung] as const);
const trialOf = (rung: Rung, callers: number) =>
  runTrial(rung, redis.place(), { depth: 300, callers, seconds: SECONDS }, NEVER);

async function opened<T>(rung: Rung, work: (rung: OpenRung) => Promise<T>): Promise<T> {
  const place = redis.place();
  const open = await rung.open(place);
  try {
    return await work(open);
  } finally {
    await open.close();
    await place.clear();
  }
}

function tasksOf(priorities: readonly number[]): RungTask[] {
  return priorities.map((priority, n) => ({ id: newTaskId(PRODUCT_QUEUE), payload: `{"n":${n}}`, priority }));
}

describe("a rung of the ladder", () => {
  it.each(named(RUNGS.filter(({ isSafe }) => isSafe)))(
    "that is safe delivers every task once, to many callers: %s",
    async (_, rung) => {
      const { operations, values, delivery, latencies } = await trialOf(rung, CALLERS);

      expect(delivery).toMatchObject({ exact: true, controlCaught: true });
      expect(values?.["again"]).toBe(0);
      expect(operations).toBeGreaterThan(0);
      expect(delivery?.claimed).toBe(delivery?.completed);
      for (const timed of ["claim", "cycle"]) expect(latencies?.[timed]?.percentileNs(50)).toBeGreaterThan(0);
      expect(values?.["serverUs"]).toBeGreaterThan(0);
    },
  );

  it.each(named(RUNGS.filter(({ isSafe, callersMax }) => !isSafe && callersMax === undefined)))(
    "that is not safe hands tasks out twice, and the audit counts them: %s",
    async (_, rung) => {
      const { values, delivery } = await trialOf(rung, CALLERS);

      expect(delivery?.faults.doubled).toBeGreaterThan(0);
      expect(values?.["again"]).toBeGreaterThanOrEqual(delivery?.faults.doubled as number);
      expect(delivery?.faults.lost).toBe(0);
    },
  );

  it.each(named(RUNGS.filter(({ isOrdered }) => isOrdered)))(
    "that keeps order hands out the most urgent task first, then the oldest: %s",
    async (_, rung) => {
      const tasks = tasksOf([0, 5, 9, 5, 0, 9, 3, 5]);
      const inOrder = [...tasks].sort((a, b) => b.priority - a.priority).map(({ id }) => id);

      const claimed = await opened(rung, async (open) => {
        await open.fill(tasks);
        const worker = open.worker(0);
        const ids: string[] = [];
        for (let got = await worker.claim(); got.length > 0; got = await worker.claim()) ids.push(...got);
        return ids;
      });

      expect(claimed).toEqual(inOrder);
    },
  );

  it.each(named(RUNGS))("counts what is there, and ends a task once: %s", async (_, rung) => {
    const seen = await opened(rung, async (open) => {
      const worker = open.worker(0);
      const empty = await worker.claim();
      await open.fill(tasksOf([5, 5, 5]));
      const before = await open.unfinished();
      const ids = await worker.claim();
      const leased = await open.unfinished();
      const completed = await worker.complete(ids);
      return {
        empty,
        before,
        leased,
        completed: completed === ids.length,
        after: before - ids.length - (await open.unfinished()),
      };
    });

    expect(seen).toEqual({ empty: [], before: 3, leased: 3, completed: true, after: 0 });
  });

  it("takes as many round trips as it says", async () => {
    const trips: Record<string, number> = {};
    for (const rung of RUNGS.filter(({ isOrdered, callersMax }) => isOrdered && callersMax === undefined)) {
      trips[rung.name] = (await trialOf(rung, CALLERS)).values?.["roundTrips"] as number;
    }

    for (const name of ["sorted-set", "lists"]) expect(trips[name]).toBe(2);
    expect(trips["cold-connection"]).toBe(6);
    expect(trips["batches-of-10"]).toBeCloseTo(0.2, 1);
    expect(trips["batches-of-32"]).toBeCloseTo(2 / 32, 1);
    // Sixteen callers share a call; who fuses needs half as many.
    expect(trips["merged"]).toBeLessThan(2);
    expect(trips["fused"]).toBeLessThan(trips["merged"] as number);
    expect(trips["dibs"]).toBeLessThan(1);
    // Who claims ahead needs fewer still.
    expect(trips["dibs-worker"]).toBeLessThan(1);
  });

  it("completes nothing for a token that is not that of the lease", async () => {
    const place = redis.place();
    const found: LeasedTasks[] = [];
    const open = await LeasedTasks.open(place, LISTS, (leased) => {
      found.push(leased);
      return { claim: async () => [], complete: async () => 0 };
    });
    open.worker(0);
    const [tasks] = found as [LeasedTasks];
    await open.fill(tasksOf([5]));
    const { claimed, token } = await tasks.step(0, 1);
    const completed = async (shown: string) =>
      (await tasks.step(0, 0, [{ id: claimed[0] as string, token: shown }])).completed;

    expect([await completed(`${token}x`), await completed(token), await completed(token)]).toEqual([0, 1, 0]);
    await open.close();
    await place.clear();
  });

  it("is compared with a rung that there is, but for the first", () => {
    const names = RUNGS.map(({ name }) => name);

    expect(new Set(names).size).toBe(names.length);
    for (const rung of RUNGS.slice(1)) expect(names).toContain(baselineOf(rung));
    expect(baselineOf(RUNGS[0] as Rung)).toBeUndefined();
  });
});

describe("a climb", () => {
  const climb = (rungs: readonly Rung[], signal = NEVER, onCell = () => {}) =>
    runLadder({
      redis,
      rungs,
      depths: [200],
      callers: [1, 8],
      repeats: 3,
      seconds: 0.05,
      reads: false,
      signal,
      onProgress: () => {},
      onCell,
    });

  it("says so when a rung that calls itself safe hands out twice, or loses", async () => {
    const liar: Rung = { ...pipelined, name: "liar", isSafe: true };
    const loser: Rung = {
      ...lists,
      name: "loser",
      open: async (place) => {
        const open = await lists.open(place);
        return { ...open, fill: (tasks) => open.fill(tasks.slice(1)) };
      },
    };

    const { faults, rows } = await climb([liar, loser]);

    expect(
      faults.filter((fault) => /^liar at 200 pending and 8 callers .*doubled \d+/.test(fault)),
    ).not.toEqual([]);
    expect(faults.filter((fault) => /^loser at .*lost \d+/.test(fault))).not.toEqual([]);
    expect(rows.find(({ rung }) => rung === "loser")?.lost).toBeGreaterThan(0);
  });

  it("keeps what was finished when it is interrupted, and leaves no key behind", async () => {
    const controller = new AbortController();

    const report = await climb([lists], controller.signal, () => controller.abort());

    expect(report).toMatchObject({ isComplete: false, faults: [] });
    expect(report.rows.map(({ callers }) => callers)).toEqual([1]);
    const after = await LabRedis.open(server.url, 0);
    expect(after.foreignKeys).toBe(0);
    await after.close();
  });
});

describe("reads by id", () => {
  it("ask Redis less with the cache on, and never show a write too late", async () => {
    const load = { readsAWrite: 20, callers: 4, seconds: 4 * SECONDS };

    const off = await runReads(redis.place(), { ...load, cache: "off" }, NEVER);
    const on = await runReads(redis.place(), { ...load, cache: "on" }, NEVER);

    expect(off.values?.["roundTrips"]).toBeGreaterThanOrEqual(1 / load.callers);
    expect(on.values?.["roundTrips"]).toBeLessThan(0.98 * (off.values?.["roundTrips"] as number));
    expect(on.latencies?.["read"]?.count).toBeGreaterThan(0);
  });
});
