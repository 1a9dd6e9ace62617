import { type Static, type TSchema, Type } from "typebox";
import { Compile } from "typebox/compile";
import { DeliveryReport, EnvironmentReport, LatencyReport, MachineReport, ProcessReport } from "../report.ts";

/**
 * What `dibs bench` saves and `dibs compare` reads: every run by itself, so that a reader can take medians and
 * intervals over the runs, and all of them together. Durations of calls are nanoseconds (`Ns`), of runs seconds,
 * instants epoch milliseconds, memory bytes. An *operation* is one task; a *call* may carry `settings.batch` of them.
 */
const strict = { additionalProperties: false } as const;
const count = Type.Integer({ minimum: 0 });
const amount = Type.Number({ minimum: 0 });
const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** What is timed. A report's `latencies` hold one of this name: the figure that the benchmark is about. */
export const BENCH_NAMES = ["claim", "cycle", "wake", "enqueue", "complete"] as const;
export type BenchName = (typeof BENCH_NAMES)[number];

const Name = Type.Union([
  Type.Literal("claim"),
  Type.Literal("cycle"),
  Type.Literal("wake"),
  Type.Literal("enqueue"),
  Type.Literal("complete"),
]);

/** What was measured. Reports may be compared when name, engine (but for `place`) and settings agree. */
const Engine = Type.Object(
  {
    /** Where the tasks were; `unknown` behind a server that was not started by the benchmark. */
    store: Type.Union([
      Type.Literal("embedded"),
      Type.Literal("memory"),
      Type.Literal("redis"),
      Type.Literal("unknown"),
    ]),
    transport: Type.Union([Type.Literal("in-process"), Type.Literal("http")]),
    /** Folder or address, without secrets. */
    place: Type.String(),
    /** What an acknowledged call survives, in the store's words: `process`, `power`, or Redis's own setting. */
    durability: orNull(Type.String()),
    /** Of the Redis, e.g. `redis 7.0.15`; null where there is none or it is not known. */
    redisVersion: orNull(Type.String()),
  },
  strict,
);

const Settings = Type.Object(
  {
    /** Measured runs that were asked for; an interrupted report has fewer. */
    runs: Type.Integer({ minimum: 1 }),
    secondsPerRun: Type.Number({ exclusiveMinimum: 0 }),
    warmupSeconds: amount,
    /** Callers, each with one call under way. */
    concurrency: Type.Integer({ minimum: 1 }),
    /** Tasks that wait in the queue beside those that are worked on. */
    depth: count,
    /** Tasks a call. */
    batch: Type.Integer({ minimum: 1 }),
    payloadBytes: count,
    /** After so long a call counts as timed out. */
    timeoutMs: count,
    /** `wake` only: enqueued through another connection (and broker) than the one that waits. */
    across: Type.Boolean(),
    /** A CPU profiler ran: such a report is slower than the others and not to be compared with them. */
    profiled: Type.Boolean(),
  },
  strict,
);

/** One process while it was measured; what it did between the measured stretches of a run is left out. */
const ProcessFigures = Type.Object(
  {
    ...ProcessReport.properties,
    /** CPU time of all threads for each operation, microseconds. */
    cpuUsPerOperation: amount,
    /** What JavaScript allocated on its heap for each operation. */
    allocatedBytesPerOperation: amount,
  },
  strict,
);

/** What Redis itself says it did, from `INFO` before and after, for each operation. */
const RedisFigures = Type.Object(
  {
    /** Microseconds inside scripts, their inner calls included. */
    serverUsPerOperation: amount,
    /** CPU of the server's main thread, sockets included, microseconds. */
    cpuUsPerOperation: amount,
    /** Scripts that clients sent, the loops of the broker included. */
    roundTripsPerOperation: amount,
    /** `redis.call`s inside scripts, and the few plain commands of the time. */
    redisCallsPerOperation: amount,
  },
  strict,
);

const Run = Type.Object(
  {
    startedAt: count,
    /** What was measured of the run; filling and clearing queues between is left out. */
    seconds: Type.Number({ exclusiveMinimum: 0 }),
    operations: count,
    perSecond: amount,
    /**
     * `seconds` / `operations` as Go's benchmarks count: with many callers it is below the latency. Of `wake` the mean
     * latency, for there is rest between two wakes. Null: no operation.
     */
    nsPerOperation: orNull(amount),
    /** Calls that brought nothing although they went well; their latency is under `latencies.empty`. */
    empty: count,
    /** Calls that failed, the timed-out ones not among them. */
    errors: count,
    timeouts: count,
    /** The first five different messages of both. */
    failures: Type.Array(Type.String()),
    /** Of successful calls, by what was timed: the benchmark's own name, its parts, and `empty`. */
    latencies: Type.Record(Type.String(), LatencyReport),
    /** The process that makes the calls; in process it is the engine's process as well. */
    client: ProcessFigures,
    /** The server's process; null in process, and where the benchmark did not start it. */
    server: orNull(ProcessFigures),
    redis: orNull(RedisFigures),
    delivery: DeliveryReport,
    machine: orNull(MachineReport),
  },
  strict,
);

const SpreadFigures = Type.Object(
  {
    mean: Type.Number(),
    median: Type.Number(),
    min: Type.Number(),
    max: Type.Number(),
    /** Sample standard deviation over the runs as a percentage of the mean; null for a single run. */
    deviationPercent: orNull(amount),
  },
  strict,
);

const Overall = Type.Object(
  {
    operations: count,
    empty: count,
    errors: count,
    timeouts: count,
    /** All runs' histograms merged. */
    latencies: Type.Record(Type.String(), LatencyReport),
    perSecond: SpreadFigures,
    nsPerOperation: orNull(SpreadFigures),
    clientCpuUsPerOperation: SpreadFigures,
    serverCpuUsPerOperation: orNull(SpreadFigures),
    /** Of the process that answers: the server's where there is one that is observed, else the client's. */
    allocatedBytesPerOperation: SpreadFigures,
    redisUsPerOperation: orNull(SpreadFigures),
    gcCount: count,
    gcPauseMaxMs: amount,
    eventLoopDelayP99Ms: amount,
    rssBytesMax: amount,
    /** Every run delivered each task exactly once, and its audit caught the planted fault. */
    exact: Type.Boolean(),
  },
  strict,
);

export const BenchReport = Type.Object(
  {
    format: Type.Literal("dibs-bench"),
    version: Type.Literal(1),
    name: Name,
    startedAt: count,
    seconds: amount,
    /** Machine, versions, revision. */
    environment: EnvironmentReport,
    engine: Engine,
    settings: Settings,
    /** False when it was interrupted: `runs` holds what was finished before. */
    complete: Type.Boolean(),
    runs: Type.Array(Run, { minItems: 1 }),
    overall: Overall,
    /** What a reader of the figures must know. */
    notes: Type.Array(Type.String()),
  },
  strict,
);

export type BenchReport = Static<typeof BenchReport>;
export type BenchRun = Static<typeof Run>;
export type BenchEngine = Static<typeof Engine>;
export type BenchSettings = Static<typeof Settings>;
export type BenchOverall = Static<typeof Overall>;
export type BenchProcess = Static<typeof ProcessFigures>;
export type BenchRedis = Static<typeof RedisFigures>;
export type BenchSpread = Static<typeof SpreadFigures>;

const validator = Compile(BenchReport);

/** True for what claims to be a report of `dibs bench`, whatever its version and contents. */
export function isBenchReport(value: unknown): boolean {
  return (value as { format?: unknown } | null)?.format === "dibs-bench";
}

/** The report, when it is one. @throws {Error} that names each wrong field otherwise. */
export function checkBenchReport(report: unknown): BenchReport {
  if (validator.Check(report)) return report;
  const faults = validator
    .Errors(report)
    .map(({ instancePath, message }) => `${instancePath || "/"} ${message}`);
  throw new Error(`Not a report of dibs bench: ${faults.join("; ")}`);
}
