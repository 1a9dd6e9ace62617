import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Benchmark, runBenchmark } from "./benchmark.ts";
import { DeliveryLedger } from "./delivery.ts";
import { LatencyHistogram } from "./histogram.ts";
import { duration, figure, markdownOf, table } from "./markdown.ts";
import { ProcessObserver } from "./process-observer.ts";
import { checkReport, writeReport } from "./report.ts";
import { latencyNs, ratioOf, runInterleaved, seriesNamed, spreadOfSeries } from "./run.ts";
import { judge } from "./target.ts";

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-lab-"));
  folders.push(folder);
  return folder;
}

/** A benchmark of two pretended engines: claims of 4 µs against a baseline of 2 µs. */
function aBenchmark({ doubled = false } = {}): Benchmark {
  const candidate = (name: string, ns: number) => ({
    name,
    async measure({ seconds }: { seconds: number }) {
      const observer = ProcessObserver.start();
      const claim = new LatencyHistogram();
      const ledger = new DeliveryLedger();
      for (const id of ["a", "b", "c"]) {
        claim.record(ns);
        ledger.enqueued(id);
        ledger.claimed(id);
        ledger.completed(id);
      }
      if (doubled) ledger.claimed("b");
      const delivery = ledger.audit(0);
      const values = { bytesATask: 60 };
      const process = await observer.stop();
      return { seconds, operations: 3, errors: 0, latencies: { claim }, values, delivery, process };
    },
  });
  return {
    name: "pretended-claim",
    question: "How long does a pretended claim take?",
    changesOurMind: "More than 3 times the baseline.",
    async run(options) {
      const series = await runInterleaved([candidate("ours", 4_000), candidate("baseline", 2_000)], options);
      const p50 = latencyNs("claim", 50);
      const ours = seriesNamed(series, "ours");
      const ratio = ratioOf(ours, seriesNamed(series, "baseline"), p50);
      const target = { what: "claim P50", unit: "ns", better: "lower", must: 5_000, goal: 3_000 } as const;
      return {
        parameters: { payloadBytes: 213 },
        series,
        comparisons: [{ measure: "claim P50", candidate: "ours", baseline: "baseline", ...ratio }],
        targets: [judge(target, spreadOfSeries(ours, p50))],
        notes: ["Nothing was really claimed."],
      };
    },
  };
}

const OPTIONS = { repeats: 3, seconds: 0.01, warmupSeconds: 0 };

describe("benchmark", () => {
  it("puts the environment around the answer, in the form of every result", async () => {
    const report = await runBenchmark(aBenchmark(), OPTIONS);

    expect(report).toMatchObject({ format: "dibs-lab-report", version: 1, name: "pretended-claim" });
    expect(report.environment.node).toBe(process.versions.node);
    expect(report.parameters).toMatchObject({ repeats: 3, payloadBytes: 213 });
    expect(report.comparisons[0]?.median).toBeCloseTo(2, 2);
    expect(report.targets[0]?.verdict).toBe("must");
    expect(report.series[0]?.repetitions).toHaveLength(3);
    expect(checkReport(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  it("keeps whole histograms, so that results can be merged later", async () => {
    const report = await runBenchmark(aBenchmark(), OPTIONS);

    const merged = new LatencyHistogram();
    for (const { latencies } of report.series[0]?.repetitions ?? []) {
      for (const { histogram } of Object.values(latencies)) merged.merge(LatencyHistogram.decode(histogram));
    }

    expect(merged.count).toBe(9);
  });

  it("refuses figures of work that was not done exactly once", async () => {
    await expect(runBenchmark(aBenchmark({ doubled: true }), OPTIONS)).rejects.toThrow(
      /audit of "ours" is not exact.*"doubled":1/,
    );
  });

  it("names every wrong field of what is not a report", async () => {
    const report = await runBenchmark(aBenchmark(), OPTIONS);

    expect(() => checkReport({ ...report, seconds: -1 })).toThrow("/seconds");
    expect(() => checkReport({ ...report, mood: "good" })).toThrow("Not a report");
  });

  it("writes a report for programs and one for people", async () => {
    const report = await runBenchmark(aBenchmark(), OPTIONS);

    const path = await writeReport(await aFolder(), report, markdownOf(report));

    expect(path).toMatch(/\d{4}-\d\d-\d\d-pretended-claim$/);
    expect(checkReport(JSON.parse(await readFile(`${path}.json`, "utf8")))).toEqual(report);
    const text = await readFile(`${path}.md`, "utf8");
    expect(text).toContain("# pretended-claim\n\nHow long does a pretended claim take?");
    expect(text).toContain("| claim P50 | ≤ 5,000 ns | ≤ 3,000 ns | 4,000 ns | must holds, goal missed |");
    expect(text).toContain("| claim P50 | ours | baseline | 2 | 2, 2, 2 |");
    expect(text).toContain("6 of 6 audits exact");
    expect(text).toContain(`Node ${process.versions.node}`);
  });
});

describe("figures for people", () => {
  it.each([
    [0.012345, "0.0123"],
    [4.5678, "4.57"],
    [789.4, "789"],
    [12_345.6, "12,300"],
    [1_234_567, "1,230,000"],
    [Number.NaN, "–"],
  ])("writes %d as %s", (value, text) => {
    expect(figure(value)).toBe(text);
  });

  it("writes a duration in the unit that suits it", () => {
    expect([850, 4_200, 20_400_000, 1_250_000_000].map(duration)).toEqual([
      "850 ns",
      "4.2 µs",
      "20.4 ms",
      "1.25 s",
    ]);
  });

  it("leaves out a table without rows", () => {
    expect(table(["a"], [])).toBe("");
  });
});
