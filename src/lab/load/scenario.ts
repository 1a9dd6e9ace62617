/** What is done to a server, and what must come of it. One small file each in `scenarios/`. */
export interface Scenario {
  /** Kebab-case; as the command line names it. */
  readonly name: string;
  /** A line for the help. */
  readonly summary: string;
  /** What it answers, in a sentence or two. */
  readonly question: string;
  readonly traffic: Traffic;
  /** Connections that work at the same time. */
  readonly workers: number;
  readonly seconds: number;
  /** Tasks a second; `half` of what the server can do, measured first. */
  readonly rate: "half" | number;
  /** Tasks that are ready before the load begins; `all`: as many as the run will claim. */
  readonly prefill: number | "all";
  /** Priorities are dealt in turn. Default: 0 for all. */
  readonly priorities?: readonly number[];
  /** Delays are drawn evenly between the two, milliseconds. Default: none. */
  readonly delayMs?: readonly [min: number, max: number];
  /** The latency that the scenario is about. */
  readonly headline: Timed;
  /** As `--threshold` takes them. */
  readonly thresholds: readonly string[];
}

/**
 * - `calls`: enqueues, claims and completions leave in turn at intended times, so that the depth stays;
 * - `drain`: claims and completions do, on tasks that were there before;
 * - `arrivals`: only enqueues do; workers wait in parked claims, as a `Worker` does, and complete what they get.
 */
export type Traffic = "calls" | "drain" | "arrivals";

/**
 * What is timed: the three calls, each from its intended time; `service`, a claim from when it really left;
 * `start`, from the intended time of an enqueue to the answer of the claim that got the task; `lateness`, from a
 * task's due time to its claim by the server's clock, in whole milliseconds.
 */
export const TIMED = ["enqueue", "claim", "complete", "service", "start", "lateness"] as const;
export type Timed = (typeof TIMED)[number];
