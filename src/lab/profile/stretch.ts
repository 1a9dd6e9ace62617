import type { Connection } from "../../sdk/connection.ts";
import { BenchQueue } from "../bench/bench-queue.ts";
import { claimWorkload } from "../bench/claim.ts";
import { emptyQueue } from "../bench/empty-queue.ts";
import type { BenchPlace } from "../bench/place.ts";
import type { ProcessWatch } from "../bench/process-watch.ts";
import { Stopwatch } from "../bench/stopwatch.ts";
import { Tally } from "../bench/tally.ts";
import type { ProfileSettings, StretchReport } from "./profile-report.ts";
import type { RedisSide } from "./redis-side.ts";

/** A call that takes longer has timed out. */
const TIMEOUT_MS = 5_000;

/** What is to be switched on while claims are measured, and off while the queue is filled. */
export interface Switched {
  resume(): Promise<void>;
  pause(): Promise<void>;
}

export interface StretchOptions {
  readonly settings: ProfileSettings;
  readonly seconds: number;
  readonly connection: Pick<Connection, "claim">;
  readonly watches: readonly Switched[];
  readonly redis: RedisSide | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
}

/**
 * Claims for a while. Undefined when it was interrupted before it measured anything.
 * @throws {BenchFailed} when nothing but failures comes.
 */
export async function claimFor(
  place: BenchPlace,
  options: StretchOptions,
): Promise<StretchReport | undefined> {
  const { settings, seconds, connection, redis, signal, onProgress } = options;
  const tally = new Tally(TIMEOUT_MS);
  const queue = new BenchQueue(place.connection, place.newQueue(), settings.payloadBytes);
  const client = switching(place.client, [...options.watches, ...(redis === undefined ? [] : [redis])]);
  const stopwatch = new Stopwatch({ place: { ...place, client }, tally, seconds, signal, onProgress });
  await place.client.beginRun();
  await place.server?.beginRun();
  await claimWorkload({
    connection,
    queue,
    settings: benchSettings(settings, seconds),
    tally,
    stopwatch,
    signal,
  });
  const caller = await place.client.endRun();
  const server = (await place.server?.endRun()) ?? null;
  await emptyQueue(place.connection, queue.name);
  if (tally.operations === 0) {
    if (signal.aborted) return undefined;
    throw new Error(`Not a single claim succeeded: ${tally.failures[0] ?? "they found nothing"}`);
  }
  const latency = tally.latency("claim");
  return {
    seconds: stopwatch.seconds,
    claims: tally.operations,
    perSecond: tally.operations / stopwatch.seconds,
    errors: tally.errors + tally.timeouts,
    p50Us: latency.percentileNs(50) / 1_000,
    p99Us: latency.percentileNs(99) / 1_000,
    maxUs: latency.maxNs / 1_000,
    caller,
    server,
    redis: (await redis?.take()) ?? null,
  };
}

/** The watch of a process with others behind it: they begin last and end first, so that they see claims alone. */
function switching(watch: ProcessWatch, others: readonly Switched[]): ProcessWatch {
  return {
    beginRun: () => watch.beginRun(),
    endRun: () => watch.endRun(),
    startProfile: () => watch.startProfile(),
    writeProfile: (path) => watch.writeProfile(path),
    async resume() {
      await watch.resume();
      for (const other of others.toReversed()) await other.resume();
    },
    async pause() {
      for (const other of others) await other.pause();
      await watch.pause();
    },
  };
}

function benchSettings({ concurrency, depth, payloadBytes }: ProfileSettings, secondsPerRun: number) {
  return {
    runs: 1,
    secondsPerRun,
    warmupSeconds: 0,
    concurrency,
    depth,
    batch: 1,
    payloadBytes,
    timeoutMs: TIMEOUT_MS,
    across: false,
    profiled: true,
  };
}
