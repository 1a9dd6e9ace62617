import { type Static, type TSchema, Type } from "typebox";
import { Compile } from "typebox/compile";
import { DeliveryReport, EnvironmentReport, LatencyReport, MachineReport, ProcessReport } from "../report.ts";

/**
 * What `dibs load` saves, and takes as a baseline. Durations of calls are nanoseconds (`Ns`) or milliseconds (`Ms`),
 * of runs seconds, instants epoch milliseconds, memory bytes. In an open loop every latency counts from the
 * moment at which its call was meant to leave.
 */
const strict = { additionalProperties: false } as const;
const count = Type.Integer({ minimum: 0 });
const amount = Type.Number({ minimum: 0 });
const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** What was under load. */
const Target = Type.Object(
  {
    /** `unknown` behind a server that was there before. */
    store: Type.Union([Type.Literal("embedded"), Type.Literal("redis"), Type.Literal("unknown")]),
    /** Folder or address, without secrets. */
    place: Type.String(),
    durability: orNull(Type.String()),
    redisVersion: orNull(Type.String()),
    /** Started for this run: then its process is observed from inside. */
    ownServer: Type.Boolean(),
  },
  strict,
);

const Settings = Type.Object(
  {
    loop: Type.Union([Type.Literal("open"), Type.Literal("closed")]),
    workers: Type.Integer({ minimum: 1 }),
    /** Processes that make the calls. */
    processes: Type.Integer({ minimum: 1 }),
    seconds: Type.Number({ exclusiveMinimum: 0 }),
    /** Tasks a second that were meant to be; null in a closed loop. */
    perSecond: orNull(amount),
    /** Where the rate comes from. */
    rateFrom: Type.Union([
      Type.Literal("half of saturation"),
      Type.Literal("the scenario"),
      Type.Literal("the command line"),
      Type.Literal("the baseline"),
      Type.Literal("the answers"),
    ]),
    /** Tasks that were ready before the load began. */
    prefill: count,
    payloadBytes: count,
    /** After so long a call counts as timed out. */
    timeoutMs: count,
  },
  strict,
);

/** One second of the run, or several in a long one. */
const Point = Type.Object(
  {
    /** From the start of the run, when the stretch began. */
    second: amount,
    seconds: amount,
    /** Tasks that were claimed in it. */
    claimed: count,
    /** Calls that failed or timed out. */
    errors: count,
    /** Of the scenario's headline, by the moment at which the call was meant to leave; null: none. */
    p50Ns: orNull(amount),
    p99Ns: orNull(amount),
    maxNs: orNull(amount),
    ready: orNull(count),
    leased: orNull(count),
    scheduled: orNull(count),
    rssBytes: orNull(amount),
    gcPauseMaxMs: orNull(amount),
    eventLoopDelayMaxMs: orNull(amount),
  },
  strict,
);

/** How well the load was made. */
const Generator = Type.Object(
  {
    /** How late calls left by the generator's own fault; null in a closed loop. */
    lagP50Ms: orNull(amount),
    lagP99Ms: orNull(amount),
    lagMaxMs: orNull(amount),
    /** Calls that waited for a free connection, because the answers before them were late. */
    heldBack: count,
    /** Calls that never left, because the time was over (or the run interrupted) before they could. */
    unsent: count,
    /** Busiest of its processes: share of the time that its event loop was at work. */
    eventLoopUtilization: amount,
    /** What kept the load from being what it was meant to be. */
    limit: Type.Union([Type.Literal("none"), Type.Literal("generator"), Type.Literal("server")]),
  },
  strict,
);

const Judgement = Type.Object(
  {
    what: Type.String(),
    /** As measured; null when it was not. */
    figure: orNull(Type.Number()),
    unit: Type.String(),
    bound: Type.String(),
    verdict: Type.Union([
      Type.Literal("goal"),
      Type.Literal("pass"),
      Type.Literal("fail"),
      Type.Literal("not judged"),
    ]),
    /** Why it was not judged, or what else is to be known. */
    remark: Type.String(),
  },
  strict,
);

const Saturation = Type.Object(
  {
    /** Tasks a second when every worker asks again at once. */
    perSecond: amount,
    /** True when a core of the generator was busy all the time: the server may be able to do more. */
    limitedByGenerator: Type.Boolean(),
  },
  strict,
);

export const LoadReport = Type.Object(
  {
    format: Type.Literal("dibs-load"),
    version: Type.Literal(1),
    scenario: Type.String(),
    question: Type.String(),
    startedAt: count,
    /** What was measured. */
    seconds: Type.Number({ exclusiveMinimum: 0 }),
    environment: EnvironmentReport,
    target: Target,
    settings: Settings,
    /** False when it was interrupted: the figures are those of the time before. */
    complete: Type.Boolean(),
    saturation: orNull(Saturation),
    /** Which of `latencies` the scenario is about. */
    headline: Type.String(),
    /** Tasks claimed. */
    operations: count,
    perSecond: amount,
    /** Claims that brought nothing. */
    empty: count,
    /** Tasks that were claimed before their time. */
    early: count,
    errors: count,
    timeouts: count,
    /** The first different messages of both. */
    failures: Type.Array(Type.String()),
    latencies: Type.Record(Type.String(), LatencyReport),
    timeline: Type.Array(Point),
    /** Of the server; null when it was not started by the run. */
    server: orNull(ProcessReport),
    /** Growth of the server's memory after the warm-up; null when it cannot be told. */
    memory: orNull(
      Type.Object(
        {
          fromSecond: amount,
          seconds: amount,
          slopeBytesPerS: Type.Number(),
          slopeErrorBytesPerS: amount,
          startBytes: amount,
        },
        strict,
      ),
    ),
    /** Longest pause and delay, also of a server that was there before: then the upper end of a bucket. */
    gcPauseMaxMs: orNull(amount),
    eventLoopDelayP99Ms: orNull(amount),
    machine: orNull(MachineReport),
    generator: Generator,
    delivery: DeliveryReport,
    /** Claims whose order was checked, and how many came too early; null: not asked. */
    order: orNull(Type.Object({ claims: count, outOfOrder: count }, strict)),
    thresholds: Type.Array(Judgement),
    gates: Type.Array(
      Type.Object(
        { name: Type.Union([Type.Literal("seed"), Type.Literal("dibs")]), lines: Type.Array(Judgement) },
        strict,
      ),
    ),
    notes: Type.Array(Type.String()),
  },
  strict,
);
export type LoadReport = Static<typeof LoadReport>;
export type LoadPoint = Static<typeof Point>;
export type LoadTargetReport = Static<typeof Target>;
export type LoadSettings = Static<typeof Settings>;
export type Judgement = Static<typeof Judgement>;
export type GeneratorReport = Static<typeof Generator>;
export type MemoryReport = NonNullable<LoadReport["memory"]>;

const validator = Compile(LoadReport);

/** True for what claims to be a report of `dibs load`, whatever its version and contents. */
export function isLoadReport(value: unknown): boolean {
  return (value as { format?: unknown } | null)?.format === "dibs-load";
}

/** The report, when it is one. @throws {Error} that names each wrong field otherwise. */
export function checkLoadReport(report: unknown): LoadReport {
  if (validator.Check(report)) return report;
  const faults = validator
    .Errors(report)
    .map(({ instancePath, message }) => `${instancePath || "/"} ${message}`);
  throw new Error(`Not a report of dibs load: ${faults.slice(0, 5).join("; ")}`);
}
