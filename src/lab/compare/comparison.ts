import type { RunFigures } from "./figures.ts";
import { type Judgement, judge } from "./judge.ts";
import { type Difference, disagreements, type Facts, type Side } from "./side.ts";

/** What `dibs compare --json` prints: nothing else is needed to check the verdict. */
export interface Comparison extends Judgement {
  readonly format: "dibs-compare";
  readonly version: 1;
  readonly base: SideReport;
  readonly candidate: SideReport;
  /** Differences that were there, and were allowed. */
  readonly allowed: readonly string[];
  readonly notes: readonly string[];
}

export interface SideReport {
  readonly label: string;
  readonly commit: string | null;
  readonly machine: Facts;
  readonly versions: Facts;
  readonly settings: Facts;
  readonly runs: readonly RunFigures[];
}

export interface CompareOptions {
  /** The n-th runs of both sides were made side by side. */
  readonly paired: boolean;
  readonly allow?: readonly Difference[];
  readonly notes?: readonly string[];
}

/** Judges two sides; sides that must not be compared are shown beside each other and not judged. */
export function compare(base: Side, candidate: Side, options: CompareOptions): Comparison {
  const { paired, allow = [], notes = [] } = options;
  const all = disagreements(base, candidate);
  const refused = all.filter(({ difference }) => !allow.includes(difference));
  const refusals = refused.map(
    ({ text, difference }) => `${text}; \`--allow ${difference}\` judges all the same`,
  );
  const judgement = judge({ base: base.runs, candidate: candidate.runs, paired, refusals });
  const own = (side: Side) => side.notes.map((note) => `${side.label}: ${note}`);
  return {
    format: "dibs-compare",
    version: 1,
    ...judgement,
    base: reportOf(base),
    candidate: reportOf(candidate),
    allowed: all.filter((each) => !refused.includes(each)).map(({ text }) => text),
    notes: [...own(base), ...own(candidate), ...notes],
    runs: judgement.runs,
  };
}

function reportOf({ label, commit, machine, versions, settings, runs }: Side): SideReport {
  return { label, commit, machine, versions, settings, runs };
}
