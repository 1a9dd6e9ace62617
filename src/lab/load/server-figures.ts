import type { BenchPlace } from "../bench/place.ts";

/** Pauses of the server's runtime, from its own metrics: upper ends of buckets, for every process of the server. */
export interface RuntimeBuckets {
  readonly gcPause: Buckets;
  readonly loopDelay: Buckets;
}

/** Counts at or below a bound in seconds, as Prometheus writes them. */
type Buckets = ReadonlyMap<number, number>;

/** @throws {Error} when the server does not tell its metrics. */
export async function readRuntimeBuckets(url: string, token: string | undefined): Promise<RuntimeBuckets> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(new URL("/metrics", url), { headers });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url}/metrics answered ${answer.status}`);
  return {
    gcPause: bucketsIn(text, "dibs_gc_pause_seconds"),
    loopDelay: bucketsIn(text, "dibs_event_loop_delay_seconds"),
  };
}

function bucketsIn(text: string, name: string): Buckets {
  const lines = text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\} (\\d+)`, "gm"));
  return new Map([...lines].map(([, le, count]) => [le === "+Inf" ? 3_600 : Number(le), Number(count)]));
}

/** Longest pause and P99 of the delay between two readings, milliseconds, rounded up to the end of a bucket. */
export function runtimeBetween(before: RuntimeBuckets, after: RuntimeBuckets) {
  return {
    gcPauseMaxMs: percentileBetween(before.gcPause, after.gcPause, 1),
    eventLoopDelayP99Ms: percentileBetween(before.loopDelay, after.loopDelay, 0.99),
  };
}

function percentileBetween(before: Buckets, after: Buckets, share: number): number {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const upTo = (bound: number) => (after.get(bound) ?? 0) - (before.get(bound) ?? 0);
  const total = upTo(bounds.at(-1) ?? 0);
  const found = bounds.find((bound) => upTo(bound) >= share * total);
  return total === 0 ? 0 : (found ?? 0) * 1_000;
}

/** What is asked of the server once a second, for the picture over time; null is not known. */
export interface ServerSecond {
  readonly ready: number | null;
  readonly leased: number | null;
  readonly scheduled: number | null;
  readonly rssBytes: number | null;
  readonly gcPauseMaxMs: number | null;
  readonly eventLoopDelayMaxMs: number | null;
}

export const NOTHING_KNOWN: ServerSecond = {
  ready: null,
  leased: null,
  scheduled: null,
  rssBytes: null,
  gcPauseMaxMs: null,
  eventLoopDelayMaxMs: null,
};

/** A server that does not answer leaves a hole in the picture: its failures are counted by those who load it. */
export async function readServerSecond(place: BenchPlace, queue: string): Promise<ServerSecond> {
  const [depth, sample] = await Promise.allSettled([place.connection.queue(queue), place.server?.sample()]);
  const counts = depth.status === "fulfilled" ? depth.value.counts : undefined;
  return {
    ...NOTHING_KNOWN,
    ...(counts && { ready: counts.ready, leased: counts.leased, scheduled: counts.scheduled }),
    ...(sample.status === "fulfilled" && sample.value),
  };
}
