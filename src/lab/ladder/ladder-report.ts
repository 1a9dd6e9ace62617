import type { Environment } from "../environment.ts";
import type { MachineShare } from "../machine-share.ts";
import type { Spread } from "../statistics.ts";
import type { CacheMode } from "./reads.ts";

/**
 * What `dibs ladder` found out. Latencies are nanoseconds (`Ns`), of claims unless it says otherwise; figures of the
 * server are for each task. A spread is over the repetitions, a factor is taken inside each of them.
 */
export interface LadderReport {
  readonly format: "dibs-ladder";
  readonly version: 1;
  readonly startedAt: number;
  readonly seconds: number;
  readonly environment: Environment & Partial<MachineShare>;
  readonly redis: { readonly place: string; readonly version: string };
  readonly parameters: LadderParameters;
  /** False when it was interrupted: then the rows are those of the cells that were finished. */
  readonly isComplete: boolean;
  readonly rungs: readonly RungReport[];
  readonly rows: readonly LadderRow[];
  readonly reads: readonly ReadRow[];
  readonly standings: readonly Standing[];
  /** What a rung promised and did not keep, in sentences; empty when all is as it should be. */
  readonly faults: readonly string[];
}

export interface LadderParameters {
  readonly depths: readonly number[];
  readonly callers: readonly number[];
  readonly repeats: number;
  readonly secondsPerTrial: number;
  readonly payloadBytes: number;
}

export interface RungReport {
  readonly name: string;
  readonly what: string;
  readonly isSafe: boolean;
  readonly isOrdered: boolean;
  readonly batch: number;
  /** What its factors are over. */
  readonly over: string | null;
}

/** One rung at one depth and concurrency. */
export interface LadderRow {
  readonly rung: string;
  readonly depth: number;
  readonly callers: number;
  readonly p50Ns: Spread;
  readonly p99Ns: Spread;
  /** From asking for tasks to having completed them. */
  readonly cycleP50Ns: Spread;
  readonly tasksPerSecond: Spread;
  readonly roundTrips: number;
  readonly redisCalls: number;
  readonly serverUs: number;
  /** CPU of the server's main thread, sockets included. */
  readonly serverCpuUs: number;
  /** CPU of the process that claims. */
  readonly clientCpuUs: number;
  /** Over all repetitions. */
  readonly claimed: number;
  /** Claims that brought nothing. */
  readonly empty: number;
  /** Deliveries of tasks that had been handed out before. */
  readonly again: number;
  readonly lost: number;
  /** Null for the first rung, and where its baseline was not run. */
  readonly factor: Factor | null;
}

export interface Factor {
  readonly over: string;
  /** Below 1: quicker than the other. */
  readonly p50: Spread;
  readonly p99: Spread;
  /** Above 1: more than the other. */
  readonly tasksPerSecond: Spread;
}

/** Reads by id through the product, the cache always off or on. */
export interface ReadRow {
  readonly readsAWrite: number;
  readonly cache: CacheMode;
  readonly callers: number;
  readonly readMeanNs: Spread;
  readonly readP50Ns: Spread;
  readonly readP99Ns: Spread;
  /** Reads and writes. */
  readonly callsPerSecond: Spread;
  readonly roundTrips: number;
  readonly serverCpuUs: number;
  /** On over off; null for off. */
  readonly factor: { readonly readMean: Spread; readonly callsPerSecond: Spread } | null;
}

/** The product beside the best safe rung of its batch. Below 1 in time, above 1 in tasks/s: it is the best itself. */
export interface Standing {
  readonly product: string;
  readonly depth: number;
  readonly callers: number;
  readonly cycle: { readonly best: string; readonly factor: Spread };
  readonly tasksPerSecond: { readonly best: string; readonly factor: Spread };
}
