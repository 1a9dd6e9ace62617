import type { RunFigures } from "./figures.ts";

/** One side of a comparison, whatever measured it. */
export interface Side {
  /** What it is called in the report: a file's name, a revision. */
  readonly label: string;
  readonly runs: readonly RunFigures[];
  /** Where it was measured; what is null is not known and so is never found to differ. */
  readonly machine: Facts;
  readonly versions: Facts;
  /** What was measured: figures of different settings are no two sides of one question. */
  readonly settings: Facts;
  /** Full hash; null when it is not known. */
  readonly commit: string | null;
  /** What a reader of the figures must know. */
  readonly notes: readonly string[];
}

export type Facts = Readonly<Record<string, string | number | boolean | null>>;

/** What may differ when it is allowed to. */
export const DIFFERENCES = ["machine", "versions", "settings"] as const;
export type Difference = (typeof DIFFERENCES)[number];

const WORDS: Readonly<Record<Difference, string>> = {
  machine: "they come from different machines",
  versions: "they come from different versions",
  settings: "they did not measure the same",
};

export interface Disagreement {
  readonly difference: Difference;
  /** `they come from different machines (cores 2 and 8)`. */
  readonly text: string;
}

/** In what two sides differ that must not differ. */
export function disagreements(base: Side, candidate: Side): Disagreement[] {
  return DIFFERENCES.flatMap((difference) => {
    const [a, b] = [base[difference], candidate[difference]];
    const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const differing = names.filter((name) => differs(a[name], b[name]));
    if (differing.length === 0) return [];
    const each = differing.map((name) => `${name} ${a[name]} and ${b[name]}`);
    return [{ difference, text: `${WORDS[difference]} (${each.join(", ")})` }];
  });
}

function differs(a: Facts[string] | undefined, b: Facts[string] | undefined): boolean {
  const known = (fact: Facts[string] | undefined) => fact !== undefined && fact !== null;
  return known(a) && known(b) && a !== b;
}
