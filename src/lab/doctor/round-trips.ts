import { setTimeout as wait } from "node:timers/promises";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import { type Finding, graded } from "./finding.ts";

/** Between an answer and the next question, as `redis-cli --latency` has it. */
const EVERY_MS = 10;
/** A place that does not answer at all is not asked for ever. */
const FAILURES_MAX = 3;

/** Round trips to one server within one interval, milliseconds. */
export interface RoundTrips {
  readonly where: string;
  /** When the interval began, epoch milliseconds. */
  readonly at: number;
  readonly seconds: number;
  readonly samples: number;
  readonly minMs: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Why it ended early; absent when every question was answered. */
  readonly failure?: string;
}

/**
 * Asks the smallest question, one at a time with ten milliseconds between, for `forMs` or until `signal`.
 * The first answer is not counted: it pays for what the question before it left cold.
 */
export async function measureRoundTrips(
  where: string,
  ask: () => Promise<unknown>,
  forMs: number,
  signal: AbortSignal,
): Promise<RoundTrips> {
  const at = Date.now();
  const startedAt = performance.now();
  const histogram = new LatencyHistogram();
  let failure: string | undefined;
  let failures = 0;
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  let sum = 0;
  for (let isFirst = true; isFirst || (performance.now() - startedAt < forMs && !signal.aborted); ) {
    const askedAt = nowNs();
    try {
      await ask();
      const durationNs = nowNs() - askedAt;
      if (!isFirst) {
        histogram.record(durationNs);
        least = Math.min(least, durationNs);
        most = Math.max(most, durationNs);
        sum += durationNs;
      }
    } catch (error) {
      failure = (error as Error).message;
      failures += 1;
      if (failures === FAILURES_MAX) break;
    }
    isFirst = false;
    await wait(EVERY_MS, undefined, { signal }).catch(() => {}); // The loop sees that it was aborted.
  }
  const samples = histogram.count;
  return {
    where,
    at,
    seconds: (performance.now() - startedAt) / 1_000,
    samples,
    minMs: samples === 0 ? 0 : least / 1e6,
    meanMs: samples === 0 ? 0 : sum / samples / 1e6,
    // The histogram's buckets are a thousandth wide: never more than the longest there was.
    p99Ms: Math.min(histogram.percentileNs(99), most) / 1e6,
    maxMs: most / 1e6,
    ...(failure !== undefined && { failure }),
  };
}

/**
 * Bounds of a round trip, which a claim cannot be quicker than. Yellow: what a claim may take in all at its P50 and
 * P99 on a system that is well (ARCHITECTURE.md, "Numbers"); red: what the success metrics of a claim allow.
 */
const MEAN_MS = { yellow: 2, red: 20 } as const;
const P99_MS = { yellow: 10, red: 100 } as const;

export function roundTripFindings(trips: RoundTrips): Finding[] {
  const { where, samples, failure, meanMs, p99Ms } = trips;
  if (samples === 0 || failure !== undefined)
    return [
      {
        check: "round trip",
        where,
        colour: "red",
        figure: `${samples} answers, then: ${failure ?? "stopped"}`,
        bound: "every question answered",
        advice: "See why it does not answer: its log, its load, the network between",
      },
    ];
  const figure = roundTripText(trips);
  const advice =
    "Every claim waits for at least this: run workers nearer to the server, see what else keeps it busy (SLOWLOG, INFO commandstats), look at the network";
  const mean = graded({
    check: "round trip, mean",
    where,
    value: meanMs,
    unit: "ms",
    ...MEAN_MS,
    figure,
    advice,
  });
  const p99 = graded({
    check: "round trip, P99",
    where,
    value: p99Ms,
    unit: "ms",
    ...P99_MS,
    advice:
      "Some answers are late: slow commands (SLOWLOG), saves and forks, another program on its processor, this machine itself (below)",
  });
  return [mean, p99];
}

/** `min 0.06 ms, mean 0.11, P99 0.42, max 1.9 (1,350 samples)`. */
export function roundTripText({ minMs, meanMs, p99Ms, maxMs, samples }: RoundTrips): string {
  const [min, mean, p99, max] = [minMs, meanMs, p99Ms, maxMs].map((ms) =>
    ms.toLocaleString("en-US", { maximumFractionDigits: ms < 10 ? 3 : 1 }),
  );
  return `min ${min}, mean ${mean}, P99 ${p99}, max ${max} ms (${samples.toLocaleString("en-US")} samples)`;
}
