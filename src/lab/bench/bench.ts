import { readEnvironment } from "../environment.ts";
import { machineShare, readCoreTicks } from "../machine-share.ts";
import type { ProcessReading } from "../process-observer.ts";
import type { ServerReading } from "../redis-statistics.ts";
import { BenchQueue } from "./bench-queue.ts";
import { claimWorkload } from "./claim.ts";
import { completeWorkload } from "./complete.ts";
import { cycleWorkload } from "./cycle.ts";
import { emptyQueue } from "./empty-queue.ts";
import { enqueueWorkload } from "./enqueue.ts";
import { overallOf } from "./overall.ts";
import type { BenchPlace } from "./place.ts";
import {
  type BenchName,
  type BenchProcess,
  type BenchRedis,
  type BenchReport,
  type BenchRun,
  type BenchSettings,
  checkBenchReport,
} from "./report.ts";
import { Stopwatch } from "./stopwatch.ts";
import { Tally } from "./tally.ts";
import { wakeWorkload } from "./wake.ts";
import type { Workload } from "./workload.ts";

const WORKLOADS: Readonly<Record<BenchName, Workload>> = {
  claim: claimWorkload,
  complete: completeWorkload,
  cycle: cycleWorkload,
  enqueue: enqueueWorkload,
  wake: wakeWorkload,
};

export interface BenchOptions {
  readonly name: BenchName;
  readonly settings: BenchSettings;
  /** Ends it early: the report then holds what was measured until then. */
  readonly signal: AbortSignal;
  /** Where the CPU profile of the process that answers is written. */
  readonly profile?: string;
  /** Told of run 0, the warm-up, and of the others, with the share that is done. */
  readonly onProgress?: (run: number, done: number) => void;
  readonly onRun?: (run: BenchRun) => void;
}

export interface BenchEnd {
  /** Undefined when nothing was measured. */
  readonly report: BenchReport | undefined;
  /** Why it ended before its last run; undefined after an interruption and when all went well. */
  readonly failure: unknown;
}

/** Does the runs of a bench at an open place. Never throws for what happens to its calls: that is in the end. */
export async function runBench(place: BenchPlace, options: BenchOptions): Promise<BenchEnd> {
  const { settings, signal } = options;
  const environment = await readEnvironment();
  const startedAt = Date.now();
  const before = readCoreTicks();
  const runs: BenchRun[] = [];
  let failure: unknown;
  try {
    if (settings.warmupSeconds > 0) await oneRun(place, options, 0);
    const answering = place.server ?? place.client;
    if (options.profile !== undefined) await answering.startProfile();
    for (let n = 1; n <= settings.runs && !signal.aborted; n += 1) {
      const run = await oneRun(place, options, n);
      if (run === undefined) break;
      runs.push(run);
      options.onRun?.(run);
    }
    if (options.profile !== undefined) await answering.writeProfile(options.profile);
  } catch (error) {
    failure = error;
  }
  if (runs.length === 0) return { report: undefined, failure };
  const report = checkBenchReport({
    format: "dibs-bench",
    version: 1,
    name: options.name,
    startedAt,
    seconds: (Date.now() - startedAt) / 1_000,
    environment: { ...environment, ...machineShare(before, readCoreTicks()) },
    engine: place.engine,
    settings,
    complete: runs.length === settings.runs && !signal.aborted && failure === undefined,
    runs,
    overall: overallOf(runs),
    notes: [...place.notes],
  });
  return { report, failure };
}

/** Undefined when it was interrupted before it measured anything. */
async function oneRun(place: BenchPlace, options: BenchOptions, n: number): Promise<BenchRun | undefined> {
  const { settings, signal, name, onProgress } = options;
  const tally = new Tally(settings.timeoutMs);
  const queue = new BenchQueue(place.connection, place.newQueue(), settings.payloadBytes);
  const seconds = n === 0 ? settings.warmupSeconds : settings.secondsPerRun;
  const stopwatch = new Stopwatch({
    place,
    tally,
    seconds,
    signal,
    onProgress: (done) => onProgress?.(n, done),
  });
  const startedAt = Date.now();
  const ticks = readCoreTicks();
  await place.client.beginRun();
  await place.server?.beginRun();
  const { connection } = place;
  await WORKLOADS[name]({ place, connection, queue, settings, tally, stopwatch, signal });
  const client = await place.client.endRun();
  const server = await place.server?.endRun();
  const redis = place.redis?.reading();
  const delivery = await queue.audit();
  // So that the runs to come do not work beside the tasks of this one.
  await emptyQueue(connection, queue.name);
  if (tally.operations === 0) return endedEmpty(tally, signal);
  const operations = tally.operations;
  return {
    startedAt,
    seconds: stopwatch.seconds,
    operations,
    perSecond: operations / stopwatch.seconds,
    nsPerOperation: name === "wake" ? tally.latency("wake").meanNs : (stopwatch.seconds * 1e9) / operations,
    empty: tally.empty,
    errors: tally.errors,
    timeouts: tally.timeouts,
    failures: tally.failures,
    latencies: Object.fromEntries(
      Object.entries(tally.latencies).map(([key, histogram]) => [key, histogram.summary()]),
    ),
    client: processFigures(client, operations),
    server: server === undefined ? null : processFigures(server, operations),
    redis: redis === undefined ? null : redisFigures(redis, operations),
    delivery: { ...delivery, examples: [...delivery.examples] },
    machine: machineShare(ticks, readCoreTicks()) ?? null,
  };
}

function endedEmpty(tally: Tally, signal: AbortSignal): undefined {
  if (signal.aborted) return undefined;
  const why = tally.failures[0] ?? `${tally.empty} calls found nothing`;
  throw new Error(`A run ended without a single success: ${why}`);
}

function processFigures(reading: ProcessReading, operations: number): BenchProcess {
  const { allocatedBytes, cpu, seconds } = reading;
  return {
    ...reading,
    cpuUsPerOperation: (cpu * seconds * 1e6) / operations,
    allocatedBytesPerOperation: allocatedBytes / operations,
  };
}

function redisFigures(reading: ServerReading, operations: number): BenchRedis {
  return {
    serverUsPerOperation: reading.scriptUs / operations,
    cpuUsPerOperation: reading.cpuUs / operations,
    roundTripsPerOperation: reading.scripts / operations,
    redisCallsPerOperation: reading.inner / operations,
  };
}
