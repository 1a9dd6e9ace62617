import { readEnvironment } from "./environment.ts";
import { machineShare, readCoreTicks } from "./machine-share.ts";
import { checkReport, type Report, type SeriesReport } from "./report.ts";
import type { Ratio, Repetition, RunOptions, Series } from "./run.ts";
import type { JudgedTarget } from "./target.ts";

/** One question, and how it is answered. */
export interface Benchmark {
  /** Kebab-case; names the file and its results. */
  readonly name: string;
  readonly question: string;
  /** Which answer would make us change the design. */
  readonly changesOurMind: string;
  run(options: RunOptions): Promise<Findings>;
}

export type Parameters = Readonly<Record<string, string | number | boolean>>;

export interface Comparison extends Ratio {
  readonly measure: string;
  readonly candidate: string;
  readonly baseline: string;
}

/** What a benchmark found out. */
export interface Findings {
  readonly parameters: Parameters;
  readonly series: readonly Series[];
  readonly comparisons?: readonly Comparison[];
  readonly targets?: readonly JudgedTarget[];
  /** Sentences that a reader of the figures must know. */
  readonly notes?: readonly string[];
}

/**
 * Answers the question and puts the environment around the answer.
 *
 * @throws {Error} when an audit was not exact: figures of work that was not done are no figures.
 */
export async function runBenchmark(benchmark: Benchmark, options: RunOptions): Promise<Report> {
  const environment = await readEnvironment();
  const startedAt = Date.now();
  const before = readCoreTicks();
  const findings = await benchmark.run(options);
  const share = machineShare(before, readCoreTicks());
  refuseInexact(findings.series);
  return checkReport({
    format: "dibs-lab-report",
    version: 1,
    name: benchmark.name,
    question: benchmark.question,
    changesOurMind: benchmark.changesOurMind,
    startedAt,
    seconds: (Date.now() - startedAt) / 1_000,
    environment: { ...environment, ...share },
    parameters: {
      repeats: options.repeats,
      secondsPerTrial: options.seconds,
      warmupSeconds: options.warmupSeconds,
      ...findings.parameters,
    },
    series: findings.series.map(seriesReport),
    comparisons: findings.comparisons ?? [],
    targets: findings.targets ?? [],
    notes: findings.notes ?? [],
  });
}

function refuseInexact(series: readonly Series[]): void {
  for (const { name, repetitions } of series) {
    for (const { delivery } of repetitions) {
      if (delivery !== undefined && !delivery.exact) {
        throw new Error(`The audit of "${name}" is not exact: ${JSON.stringify(delivery)}`);
      }
    }
  }
}

function seriesReport({ name, repetitions }: Series): SeriesReport {
  return { name, repetitions: repetitions.map(repetitionReport) };
}

function repetitionReport(repetition: Repetition): SeriesReport["repetitions"][number] {
  const { latencies = {}, values = {}, delivery, process, machine, ...rest } = repetition;
  return {
    ...rest,
    perSecond: rest.operations / rest.seconds,
    latencies: Object.fromEntries(
      Object.entries(latencies).map(([name, histogram]) => [name, histogram.summary()]),
    ),
    values: { ...values },
    ...(process === undefined ? {} : { process }),
    ...(delivery === undefined ? {} : { delivery: { ...delivery, examples: [...delivery.examples] } }),
    ...(machine === undefined ? {} : { machine }),
  };
}
