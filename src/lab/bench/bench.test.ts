import { afterEach, describe, expect, it } from "vitest";
import type { Connection } from "../../sdk/connection.ts";
import { LatencyHistogram } from "../histogram.ts";
import { type BenchOptions, runBench } from "./bench.ts";
import { type BenchPlace, openPlace } from "./place.ts";
import { BENCH_NAMES, type BenchSettings } from "./report.ts";

const places: BenchPlace[] = [];
afterEach(async () => {
  for (const place of places.splice(0)) await place.close();
});

async function aPlace(
  change: (connection: Connection) => Partial<Connection> = () => ({}),
): Promise<BenchPlace> {
  const place = await openPlace({
    place: "memory:",
    serve: false,
    durability: "none",
    timeoutMs: 5_000,
    onWarning: () => {},
  });
  const { connection } = place;
  const changed = change(connection);
  const altered = new Proxy(connection, {
    get(target, name) {
      const found = Reflect.get(changed, name) ?? Reflect.get(target, name);
      return typeof found === "function" ? found.bind(target) : found;
    },
  });
  places.push(place);
  return { ...place, connection: altered };
}

const SETTINGS: BenchSettings = {
  runs: 1,
  secondsPerRun: 0.1,
  warmupSeconds: 0,
  concurrency: 3,
  depth: 200,
  batch: 1,
  payloadBytes: 213,
  timeoutMs: 5_000,
  across: false,
  profiled: false,
};

function options(more: Partial<Omit<BenchOptions, "settings">> & { settings?: Partial<BenchSettings> } = {}) {
  const { settings, ...rest } = more;
  return {
    name: "claim",
    signal: new AbortController().signal,
    ...rest,
    settings: { ...SETTINGS, ...settings },
  } as const;
}

async function aReport(place: BenchPlace, more: Parameters<typeof options>[0] = {}) {
  const { report, failure } = await runBench(place, options(more));
  expect(failure).toBeUndefined();
  if (report === undefined) throw new Error("Nothing was measured");
  return report;
}

describe("bench", () => {
  it.each(BENCH_NAMES)("measures %s in every run, and audits what was delivered", async (name) => {
    const report = await aReport(await aPlace(), { name, settings: { runs: 2, warmupSeconds: 0.02 } });

    expect(report).toMatchObject({
      name,
      complete: true,
      engine: { store: "memory", transport: "in-process" },
    });
    expect(report.runs).toHaveLength(2);
    for (const run of report.runs) {
      expect(run.operations).toBeGreaterThan(0);
      expect(run.latencies[name]?.count).toBe(run.operations);
      expect(run).toMatchObject({ errors: 0, timeouts: 0, failures: [], server: null, redis: null });
      expect(run.delivery).toMatchObject({ exact: true, controlCaught: true });
      expect(run.client.cpuUsPerOperation).toBeGreaterThan(0);
      expect(run.client.allocatedBytesPerOperation).toBeGreaterThan(100);
    }
    expect(report.overall.exact).toBe(true);
    const merged = report.runs.reduce((sum, { latencies }) => sum + (latencies[name]?.count ?? 0), 0);
    expect(LatencyHistogram.decode(report.overall.latencies[name]?.histogram ?? "").count).toBe(merged);
  });

  it("measures as long as it was told, without the filling between", async () => {
    const { runs } = await aReport(await aPlace());

    for (const { seconds, client } of runs) {
      expect(seconds).toBeGreaterThanOrEqual(SETTINGS.secondsPerRun);
      expect(client.seconds).toBeGreaterThanOrEqual(seconds);
    }
  });

  it("counts tasks as operations when a call takes several", async () => {
    const { runs } = await aReport(await aPlace(), { settings: { batch: 10, depth: 0 } });

    for (const { operations, latencies } of runs)
      expect(operations).toBeLessThanOrEqual(10 * (latencies["claim"]?.count ?? 0));
    expect(runs[0]?.operations).toBeGreaterThan(5 * (runs[0]?.latencies["claim"]?.count ?? 0));
  });

  it("keeps claims that found nothing apart", async () => {
    let asked = 0;
    const place = await aPlace((real) => ({
      claim: (body, signal) => {
        asked += 1;
        return asked % 4 === 0 ? Promise.resolve([]) : real.claim(body, signal);
      },
    }));

    const { runs } = await aReport(place);

    for (const { empty, operations, latencies } of runs) {
      expect(empty).toBeGreaterThan(0);
      expect(latencies["empty"]?.count).toBe(empty);
      expect(latencies["claim"]?.count).toBe(operations);
    }
  });

  it("catches a task that was given to two", async () => {
    let first: Awaited<ReturnType<Connection["claim"]>> | undefined;
    let asked = 0;
    const place = await aPlace((real) => ({
      claim: async (body, signal) => {
        const tasks = await real.claim(body, signal);
        first ??= tasks;
        asked += 1;
        return asked % 20 === 0 ? [...tasks, ...first] : tasks;
      },
      // What the second holder does fails, as it would; the audit is what is asked here.
      settle: async (outcomes) => {
        const reply = await real.settle(outcomes);
        return { ...reply, results: reply.results.filter((result) => !("error" in result)) };
      },
    }));

    const { overall, runs } = await aReport(place);

    expect(overall.exact).toBe(false);
    expect(runs[0]?.delivery.faults.doubled).toBeGreaterThan(0);
  });

  it("counts calls that fail and goes on with the others", async () => {
    let asked = 0;
    const place = await aPlace((real) => ({
      claim: (body, signal) => {
        asked += 1;
        return asked % 50 === 0 ? Promise.reject(new Error("The wire was cut")) : real.claim(body, signal);
      },
    }));

    const { runs } = await aReport(place);

    expect(runs[0]?.errors).toBeGreaterThan(0);
    expect(runs[0]).toMatchObject({ timeouts: 0, failures: ["The wire was cut"] });
    expect(runs[0]?.delivery.exact).toBe(true);
  });

  it("counts a call that took longer than allowed as timed out", async () => {
    let asked = 0;
    const place = await aPlace((real) => ({
      claim: async (body, signal) => {
        asked += 1;
        if (asked % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 60));
        return real.claim(body, signal);
      },
    }));

    const { runs } = await aReport(place, { settings: { timeoutMs: 50, secondsPerRun: 0.3 } });

    expect(runs[0]?.timeouts).toBeGreaterThan(0);
    expect(runs[0]?.errors).toBe(0);
  });

  it("says why nothing could be measured", async () => {
    const place = await aPlace(() => ({ claim: () => Promise.reject(new Error("The wire was cut")) }));

    const { report, failure } = await runBench(place, options());

    expect(report).toBeUndefined();
    expect(String(failure)).toContain("The wire was cut");
  });

  it("reports the runs before the one that failed", async () => {
    let isCut = false;
    const place = await aPlace((real) => ({
      claim: (body, signal) =>
        isCut ? Promise.reject(new Error("The wire was cut")) : real.claim(body, signal),
    }));

    const { report, failure } = await runBench(
      place,
      options({
        settings: { runs: 2 },
        onRun: () => {
          isCut = true;
        },
      }),
    );

    expect(report).toMatchObject({ complete: false });
    expect(report?.runs).toHaveLength(1);
    expect(String(failure)).toContain("The wire was cut");
  });

  it("ends soon after it is interrupted, with what was measured until then", async () => {
    const controller = new AbortController();
    const { report, failure } = await runBench(
      await aPlace(),
      options({
        signal: controller.signal,
        settings: { runs: 50, secondsPerRun: 30 },
        onProgress: (run, done) => {
          if (run === 1 && done > 0) controller.abort();
        },
      }),
    );

    expect(failure).toBeUndefined();
    expect(report).toMatchObject({ complete: false, overall: { exact: true } });
    expect(report?.runs).toHaveLength(1);
    expect(report?.runs[0]?.seconds).toBeLessThan(30);
  });
});
