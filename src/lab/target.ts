import type { Spread } from "./statistics.ts";

/** A number to reach, as design.md 6 and ARCHITECTURE.md state it. */
export interface Target {
  /** The row, with the figure meant. */
  readonly what: string;
  readonly unit: string;
  readonly better: "lower" | "higher";
  /** Holds before the work counts as done; absent where only the goal is stated. */
  readonly must?: number;
  readonly goal: number;
}

export type Verdict = "goal" | "must" | "missed";

export interface JudgedTarget extends Target {
  readonly measured: number;
  /** Lowest and highest repetition; absent when there was only one figure. */
  readonly min?: number;
  readonly max?: number;
  readonly verdict: Verdict;
}

/** Judges the median; the spread goes along, so that a reader sees how near it was. */
export function judge(target: Target, measured: Spread): JudgedTarget {
  const { median, min, max } = measured;
  return { ...target, measured: median, min, max, verdict: verdictOf(target, median) };
}

export function verdictOf({ better, must, goal }: Target, measured: number): Verdict {
  const reaches = (bound: number) => (better === "lower" ? measured <= bound : measured >= bound);
  if (reaches(goal)) return "goal";
  return must === undefined || reaches(must) ? "must" : "missed";
}
