import { describe, expect, it } from "vitest";
import { type CpuProfile, CpuProfiler, within } from "./cpu-profile.ts";

function burnMeasured(ms: number): number {
  const until = performance.now() + ms;
  let n = 0;
  while (performance.now() < until) n += 1;
  return n;
}

function burnBetween(ms: number): number {
  const until = performance.now() + ms;
  let n = 0;
  while (performance.now() < until) n += 2;
  return n;
}

function samplesOf({ nodes, samples = [] }: CpuProfile, name: string): number {
  const ids = new Set(nodes.filter(({ callFrame }) => callFrame.functionName === name).map(({ id }) => id));
  return samples.filter((id) => ids.has(id)).length;
}

describe("CPU profile", () => {
  it("holds what ran in the stretches, and nothing of what ran between them", async () => {
    const profiler = await CpuProfiler.start();
    const stretches: [number, number][] = [];
    for (let round = 0; round < 3; round += 1) {
      const from = performance.now();
      burnMeasured(30);
      stretches.push([from, performance.now()]);
      burnBetween(30);
    }

    const profile = await profiler.stop(stretches);

    expect(samplesOf(profile, "burnMeasured")).toBeGreaterThan(20);
    expect(samplesOf(profile, "burnBetween")).toBeLessThan(samplesOf(profile, "burnMeasured") / 10);
    const lastedMs = (profile.endTime - profile.startTime) / 1_000;
    expect(lastedMs).toBeGreaterThan(60);
    expect(lastedMs).toBeLessThan(120);
  });

  it("counts hits anew, and keeps one time for each sample", () => {
    const callFrame = { functionName: "f", scriptId: "1", url: "", lineNumber: 0, columnNumber: 0 };
    const profile = {
      nodes: [{ id: 1, callFrame, hitCount: 5 }],
      startTime: 1_000,
      endTime: 1_500,
      samples: [1, 1, 1, 1, 1],
      timeDeltas: [100, 100, 100, 100, 100],
    };

    const cut = within(profile, [
      [1_150, 1_250],
      [1_390, 1_410],
    ]);

    expect(cut).toMatchObject({ samples: [1, 1], timeDeltas: [50, 10], startTime: 1_000, endTime: 1_060 });
    expect(cut.nodes[0]?.hitCount).toBe(2);
  });
});
