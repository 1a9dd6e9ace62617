import type { RunFigures } from "./figures.ts";

/** How much of one side failed, over all of its runs. */
export interface Failing {
  readonly errors: number;
  readonly operations: number;
}

export function failingOf(runs: readonly RunFigures[]): Failing {
  const total = (pick: (run: RunFigures) => number) => runs.reduce((sum, run) => sum + pick(run), 0);
  return { errors: total(({ errors }) => errors), operations: total(({ operations }) => operations) };
}

/** So rarely may a side with the same share of errors be said to have more. */
const MISS = 0.01;

/**
 * True when errors rose: where the base had none, by the first one; else when so many in the candidate would be a
 * chance of less than a hundredth if both sides failed alike.
 *
 * Given the errors of both, those of the candidate are then binomial with its share of all operations.
 * Source: Przyborowski and Wilenski's conditional test, Biometrika 31, 1940.
 */
export function errorsRose(base: Failing, candidate: Failing): boolean {
  if (candidate.errors === 0) return false;
  if (base.errors === 0) return true;
  const attempts = (side: Failing) => side.errors + side.operations;
  const share = attempts(candidate) / (attempts(base) + attempts(candidate));
  return chanceOfAtLeast(candidate.errors, base.errors + candidate.errors, share) < MISS;
}

/** P(X ≥ k) of a binomial X, summed in logarithms: the numbers may be large. */
function chanceOfAtLeast(k: number, n: number, p: number): number {
  let chance = 0;
  let logTerm = n * Math.log1p(-p); // P(X = 0)
  for (let i = 0; i <= n; i += 1) {
    if (i >= k) chance += Math.exp(logTerm);
    logTerm += Math.log((n - i) / (i + 1)) + Math.log(p) - Math.log1p(-p);
  }
  return chance;
}
