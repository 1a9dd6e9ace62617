import type { BenchEngine } from "../bench/report.ts";
import type { Environment } from "../environment.ts";
import type { ProcessReading } from "../process-observer.ts";
import type { HotFunction } from "./call-tree.ts";
import type { Part } from "./parts.ts";
import type { RedisSideReading } from "./redis-side.ts";

export interface ProfileSettings {
  /** Of each of the three stretches: unwatched, traced, sampled. */
  readonly seconds: number;
  readonly concurrency: number;
  readonly depth: number;
  readonly payloadBytes: number;
}

/** One of the three stretches, all of the same load. */
export interface StretchReport {
  readonly seconds: number;
  readonly claims: number;
  readonly perSecond: number;
  readonly errors: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  readonly caller: ProcessReading;
  /** Null in process: the caller's process is the one that answers. */
  readonly server: ProcessReading | null;
  readonly redis: RedisSideReading | null;
}

/** One line of the table. Times are microseconds. */
export interface PartReport {
  readonly part: Part | "remainder";
  /** Mean over the claims around the median, over the slowest percent, over all; each column adds up. */
  readonly atP50Us: number;
  readonly slowestUs: number;
  readonly meanUs: number;
  /** The part's own percentiles, which do not add up; null for the remainder. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
}

export interface ContentionReport {
  /** Share of the time that the event loop of the answering process was at work, and of the caller's. */
  readonly eventLoopUtilization: number;
  readonly callerEventLoopUtilization: number;
  readonly eventLoopDelayP99Ms: number;
  /** Storage calls that carried claims, under way at a time: mean and most. */
  readonly callsInFlight: number;
  readonly mostCallsInFlight: number;
  readonly claimsPerCall: number;
  /** Mean round trip less the mean script: the way, and what waits in Redis. Null without Redis. */
  readonly redisQueueUs: number | null;
}

export interface ProfileReport {
  readonly format: "dibs-profile";
  readonly version: 1;
  readonly startedAt: number;
  readonly environment: Environment;
  readonly engine: BenchEngine;
  readonly settings: ProfileSettings;
  readonly complete: boolean;
  readonly unwatched: StretchReport;
  readonly traced: StretchReport;
  /** Null after an interruption before it. */
  readonly sampled: StretchReport | null;
  /** One claim in so many was traced. */
  readonly every: number;
  readonly traces: number;
  readonly unsplitTraces: number;
  readonly total: { readonly atP50Us: number; readonly slowestUs: number; readonly meanUs: number };
  readonly parts: readonly PartReport[];
  /** Of the total, 0 to 1. */
  readonly remainder: { readonly atP50: number; readonly slowest: number };
  readonly contention: ContentionReport;
  /** Mean script of the traced seconds: Redis counts it by the second and not by the claim. Null without Redis. */
  readonly scriptUs: number | null;
  readonly hottest: readonly HotFunction[];
  readonly mostAllocating: readonly HotFunction[];
  readonly notes: readonly string[];
}

/** What the remainder may be of a claim's time, at the median and in the slowest percent. */
export const REMAINDER_MAX = 0.1;
