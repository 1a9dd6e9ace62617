import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";

/**
 * The one form of every result of the lab: benchmarks, load scenarios, comparisons. Durations of calls are
 * nanoseconds (`Ns`), of runs seconds, instants epoch milliseconds. A reader needs nothing but this file.
 */
const strict = { additionalProperties: false } as const;
const count = Type.Integer({ minimum: 0 });
const amount = Type.Number({ minimum: 0 });

export const LatencyReport = Type.Object(
  {
    count,
    meanNs: amount,
    p50Ns: amount,
    p90Ns: amount,
    p95Ns: amount,
    p99Ns: amount,
    p999Ns: amount,
    maxNs: amount,
    histogram: Type.String({ description: "HdrHistogram V2, compressed, base64." }),
  },
  strict,
);

export const ProcessReport = Type.Object(
  {
    seconds: amount,
    cpu: amount,
    eventLoopUtilization: amount,
    gcCount: count,
    gcTotalMs: amount,
    gcPauseMaxMs: amount,
    eventLoopDelayP50Ms: amount,
    eventLoopDelayP99Ms: amount,
    eventLoopDelayMaxMs: amount,
    rssBytesMax: amount,
    heapUsedBytesEnd: amount,
    rssSlopeBytesPerS: Type.Number(),
    rssSlopeErrorBytesPerS: Type.Union([amount, Type.Null()]),
    allocatedBytes: Type.Optional(amount),
  },
  strict,
);

export const DeliveryReport = Type.Object(
  {
    enqueued: count,
    claimed: count,
    completed: count,
    returned: count,
    pending: count,
    faults: Type.Object(
      {
        lost: count,
        phantom: count,
        doubled: count,
        completedTwice: count,
        unclaimed: count,
        unknown: count,
        reusedIds: count,
      },
      strict,
    ),
    controlCaught: Type.Boolean(),
    exact: Type.Boolean(),
    examples: Type.Array(Type.String()),
  },
  strict,
);

export const MachineReport = Type.Object({ busyPercent: amount, stealPercent: amount }, strict);

const RepetitionReport = Type.Object(
  {
    startedAt: count,
    seconds: Type.Number({ exclusiveMinimum: 0 }),
    operations: count,
    perSecond: amount,
    errors: count,
    latencies: Type.Record(Type.String(), LatencyReport),
    values: Type.Record(Type.String(), Type.Number()),
    process: Type.Optional(ProcessReport),
    delivery: Type.Optional(DeliveryReport),
    machine: Type.Optional(MachineReport),
  },
  strict,
);

const SpreadReport = { median: Type.Number(), min: Type.Number(), max: Type.Number() };

export const EnvironmentReport = Type.Object(
  {
    cpuModel: Type.String(),
    cores: Type.Integer({ minimum: 1 }),
    memoryBytes: count,
    os: Type.String(),
    node: Type.String(),
    v8: Type.String(),
    dibs: Type.String(),
    commit: Type.Union([Type.String(), Type.Null()]),
    dirty: Type.Boolean(),
    load1: amount,
    stealPercent: Type.Optional(amount),
    busyPercent: Type.Optional(amount),
  },
  strict,
);

export const Report = Type.Object(
  {
    format: Type.Literal("dibs-lab-report"),
    version: Type.Literal(1),
    name: Type.String({ pattern: "^[a-z0-9]+(-[a-z0-9]+)*$" }),
    question: Type.String(),
    changesOurMind: Type.String(),
    startedAt: count,
    seconds: amount,
    environment: EnvironmentReport,
    parameters: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
    series: Type.Array(
      Type.Object(
        { name: Type.String(), repetitions: Type.Array(RepetitionReport, { minItems: 1 }) },
        strict,
      ),
    ),
    comparisons: Type.Array(
      Type.Object(
        {
          measure: Type.String(),
          candidate: Type.String(),
          baseline: Type.String(),
          perRepetition: Type.Array(Type.Number()),
          ...SpreadReport,
        },
        strict,
      ),
    ),
    targets: Type.Array(
      Type.Object(
        {
          what: Type.String(),
          unit: Type.String(),
          better: Type.Union([Type.Literal("lower"), Type.Literal("higher")]),
          must: Type.Optional(Type.Number()),
          goal: Type.Number(),
          measured: Type.Number(),
          min: Type.Optional(Type.Number()),
          max: Type.Optional(Type.Number()),
          verdict: Type.Union([Type.Literal("goal"), Type.Literal("must"), Type.Literal("missed")]),
        },
        strict,
      ),
    ),
    notes: Type.Array(Type.String()),
  },
  strict,
);
export type Report = Static<typeof Report>;
export type SeriesReport = Report["series"][number];

const validator = Compile(Report);

/** The report, when it is one. @throws {Error} that names each wrong field otherwise. */
export function checkReport(report: unknown): Report {
  if (validator.Check(report)) return report;
  const faults = validator
    .Errors(report)
    .map(({ instancePath, message }) => `${instancePath || "/"} ${message}`);
  throw new Error(`Not a report of the lab: ${faults.join("; ")}`);
}

/**
 * Keeps a report as `<date>-<name>.json` and, for people, `.md`; a second one of a day replaces the first.
 * Returns the path without its ending.
 */
export async function writeReport(folder: string, report: Report, markdown: string): Promise<string> {
  checkReport(report);
  await mkdir(folder, { recursive: true });
  const day = new Date(report.startedAt).toISOString().slice(0, 10);
  const path = join(folder, `${day}-${report.name}`);
  await writeFile(`${path}.json`, `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(`${path}.md`, markdown);
  return path;
}
