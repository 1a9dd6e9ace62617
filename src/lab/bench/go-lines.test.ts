import { describe, expect, it } from "vitest";
import { goHead, goLine } from "./go-lines.ts";

/** What Go's own reader of benchmark lines takes: a name, a count, then pairs of value and unit. */
const GO_LINE = /^Benchmark\S*-\d+\t\d+(\t\d+(\.\d+)? [^\s\d]\S*)+$/;

const ENVIRONMENT = { os: "Linux 6.1.0 x64", cpuModel: "A CPU", cores: 2 } as never;

function aLine(change: { name?: string; settings?: object; run?: object } = {}): string {
  const { name = "claim", settings, run } = change;
  return goLine(
    {
      name,
      environment: ENVIRONMENT,
      engine: { store: "redis", transport: "http" },
      settings: { concurrency: 50, depth: 1_000, batch: 1, across: false, ...settings },
    } as never,
    {
      operations: 123_456,
      nsPerOperation: 8_123.4,
      perSecond: 123_101.2,
      latencies: { claim: { p50Ns: 350, p95Ns: 700, p99Ns: 900 } },
      client: { allocatedBytesPerOperation: 77 },
      server: { allocatedBytesPerOperation: 512.3 },
      ...run,
    } as never,
  );
}

describe("Go's form of a bench", () => {
  it("is one line a run, with the settings as sub-benchmarks and the cores behind", () => {
    expect(aLine()).toBe(
      "BenchmarkClaim/store=redis/over=http/callers=50/depth=1000-2\t123456\t8123 ns/op\t512 B/op\t123101 claims/s\t350 p50-ns\t700 p95-ns\t900 p99-ns",
    );
    expect(aLine()).toMatch(GO_LINE);
  });

  it("takes the client's allocations where the server is not observed, and leaves out what is not known", () => {
    const line = aLine({ name: "wake", settings: { across: true }, run: { server: null, latencies: {} } });

    expect(line).toMatch(/^BenchmarkWake\/store=redis\/over=http\/callers=50\/across-2\t/);
    expect(line).toContain("\t77.00 B/op");
    expect(line).not.toContain("NaN");
    expect(line).toMatch(GO_LINE);
  });

  it("says system and processor by the names that Go has for them", () => {
    expect(goHead({ environment: ENVIRONMENT })).toEqual([
      "goos: linux",
      "goarch: amd64",
      "pkg: dibs",
      "cpu: A CPU",
    ]);
  });
});
