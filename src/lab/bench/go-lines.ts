import type { BenchReport, BenchRun } from "./report.ts";

type Head = Pick<BenchReport, "name" | "environment" | "engine" | "settings">;

/**
 * Reports in the form of `go test -bench`, one line a run, so that `grep Benchmark` finds them and benchstat
 * compares them. Source: https://go.dev/design/14313-benchmark-format
 */
export function goText(report: BenchReport): string {
  const lines = [...goHead(report), ...report.runs.map((run) => goLine(report, run))];
  if (report.complete) lines.push("PASS", `ok  \tdibs\t${report.seconds.toFixed(3)}s`);
  return lines.join("\n");
}

export function goHead({ environment }: Pick<BenchReport, "environment">): readonly string[] {
  const [os = "", , arch = ""] = environment.os.split(" ");
  return [
    `goos: ${os.toLowerCase()}`,
    `goarch: ${{ x64: "amd64", ia32: "386" }[arch] ?? arch}`,
    "pkg: dibs",
    `cpu: ${environment.cpuModel}`,
  ];
}

/** `BenchmarkClaim/store=redis/callers=1-2   N   ns/op   B/op   …`: the settings are in the name, as sub-benchmarks. */
export function goLine(head: Head, run: BenchRun): string {
  const latency = run.latencies[head.name];
  const { allocatedBytesPerOperation: bytes } = run.server ?? run.client;
  const values: [value: number, unit: string][] = [
    [run.nsPerOperation ?? Number.NaN, "ns/op"],
    [bytes, "B/op"],
    [run.perSecond, `${head.name}s/s`],
    [latency?.p50Ns ?? Number.NaN, "p50-ns"],
    [latency?.p95Ns ?? Number.NaN, "p95-ns"],
    [latency?.p99Ns ?? Number.NaN, "p99-ns"],
  ];
  const cells = values
    .filter(([value]) => Number.isFinite(value))
    .map(([value, unit]) => `${goFigure(value)} ${unit}`);
  return [goName(head), run.operations, ...cells].join("\t");
}

function goName({ name, engine, settings, environment }: Head): string {
  const { concurrency, depth, batch, across } = settings;
  const parts = [
    `Benchmark${name.charAt(0).toUpperCase()}${name.slice(1)}`,
    `store=${engine.store}`,
    ...(engine.transport === "http" ? ["over=http"] : []),
    `callers=${concurrency}`,
    ...(name === "wake" ? [] : [`depth=${depth}`]),
    ...(batch === 1 ? [] : [`batch=${batch}`]),
    ...(across ? ["across"] : []),
  ];
  return `${parts.join("/")}-${environment.cores}`;
}

/** As Go prints them: whole numbers where they are large, and never an exponent. */
function goFigure(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toFixed(2);
}
