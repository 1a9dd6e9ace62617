import { readEnvironment } from "../environment.ts";
import { machineOf } from "./bench-side.ts";
import { type Comparison, compare } from "./comparison.ts";
import { measurePairs, type PairOptions } from "./pairs.ts";
import { type Build, Revisions } from "./revisions.ts";
import type { Side } from "./side.ts";

export interface CompareRevisionsOptions extends PairOptions {
  /** A folder in a checkout of Dibs. */
  readonly folder: string;
  readonly onStep?: (text: string) => void;
}

/**
 * Builds two revisions aside, measures them in turns and compares them; leaves nothing behind. When `signal` aborts
 * while they are measured, what was measured is compared.
 *
 * @throws {UnknownRevision} @throws {RevisionError} and the signal's reason when it aborts before anything was measured.
 */
export async function compareRevisions(
  names: readonly [base: string, candidate: string],
  options: CompareRevisionsOptions,
): Promise<Comparison> {
  const revisions = await Revisions.build(names, options);
  try {
    const [base, candidate] = revisions.builds as readonly [Build, Build];
    options.onStep?.(`measuring ${options.pairs} pairs in turns`);
    const runs = await measurePairs(base, candidate, options);
    if (runs.base.length === 0) options.signal?.throwIfAborted();
    const facts = await factsOf(options);
    const side = ({ label, commit }: Build, ofSide: Side["runs"]): Side => ({
      ...facts,
      label,
      commit,
      runs: ofSide,
    });
    return compare(side(base, runs.base), side(candidate, runs.candidate), {
      paired: true,
      notes: runs.failures,
    });
  } finally {
    await revisions.remove();
  }
}

/** What both sides have in common: they ran here, alike. */
async function factsOf(
  options: PairOptions,
): Promise<Pick<Side, "machine" | "versions" | "settings" | "notes">> {
  const { store, serve, seconds, warmupSeconds, concurrency, depth } = options;
  const environment = await readEnvironment();
  return {
    machine: machineOf(environment),
    versions: { node: environment.node },
    settings: {
      measured: "claims of an enqueue-claim-complete cycle",
      store: store === undefined ? "a folder" : store === "memory:" ? "memory" : "redis",
      transport: serve ? "http" : "in-process",
      concurrency,
      depth,
      "seconds a pair": seconds,
      "seconds of warm-up": warmupSeconds,
    },
    notes: [],
  };
}
