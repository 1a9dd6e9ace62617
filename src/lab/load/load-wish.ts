import type { Scenario, Timed } from "./scenario.ts";

/** How a scenario is to be run. */
export interface LoadWish {
  readonly scenario: Scenario;
  /** `closed`: each worker enqueues, claims and completes, one after the other, as fast as it is answered. */
  readonly loop: "open" | "closed";
  readonly workers: number;
  readonly seconds: number;
  /** That make the calls. */
  readonly processes: number;
  /** Tasks a second, and where the figure is from; undefined: as the scenario says. */
  readonly rate?: { readonly perSecond: number; readonly from: "the command line" | "the baseline" };
  /** After so long a call counts as timed out. */
  readonly timeoutMs: number;
  readonly token?: string;
  /** Ends it with what was measured until then. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: LoadProgress) => void;
  /** Told once, before the load begins: the rate and where it comes from. */
  readonly onRate: (text: string) => void;
}

export interface LoadProgress {
  readonly phase: "saturating" | "filling" | "warming up" | "running" | "draining";
  /** Seconds of the phase; tasks of a filling. */
  readonly done: number;
  readonly of: number;
  /** The last whole second of a run. */
  readonly second?: {
    readonly claimed: number;
    readonly p50Ns: number | null;
    readonly p99Ns: number | null;
    readonly ready: number | null;
  };
  /** Calls that failed so far. */
  readonly failed?: number;
}

/** A closed loop times the claim, whatever the scenario is about. */
export function headlineOf({ scenario, loop }: LoadWish): Timed {
  return loop === "closed" ? "claim" : scenario.headline;
}
