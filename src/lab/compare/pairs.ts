import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunFigures } from "./figures.ts";
import { startTrial, type Trial, type TrialEnd } from "./trial.ts";

export interface PairOptions {
  /** `index.js` of the two builds. */
  readonly base: string;
  readonly candidate: string;
  readonly pairs: number;
  /** Measured time of each side in each pair. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly concurrency: number;
  readonly depth: number;
  readonly onPair?: (pair: number) => void;
  readonly signal?: AbortSignal;
}

/** The n-th runs of both sides were made side by side. */
export interface PairedRuns {
  readonly base: readonly RunFigures[];
  readonly candidate: readonly RunFigures[];
  readonly failures: readonly string[];
}

/** The two sides take turns of so long. */
const SLICE_SECONDS = 0.05;
const QUEUE = "lab-compare";

/**
 * Measures two builds in pairs. A pair has a new process for each side, because two processes of one build differ for
 * good (what was compiled when, where the heap came to lie): only new ones show how much. Both are warmed up, then
 * measure in turns of 50 ms, A B B A, while the other rests: a machine that is slow for a second is slow for both.
 *
 * Stops after the pair that is under way when `signal` aborts.
 */
export async function measurePairs(options: PairOptions): Promise<PairedRuns> {
  const base: RunFigures[] = [];
  const candidate: RunFigures[] = [];
  const failures = new Set<string>();
  for (let pair = 1; pair <= options.pairs && !options.signal?.aborted; pair += 1) {
    options.onPair?.(pair);
    const [ofBase, ofCandidate] = (await measurePair(options, pair)) as [TrialEnd, TrialEnd];
    base.push(ofBase.figures);
    candidate.push(ofCandidate.figures);
    for (const failure of [...ofBase.failures, ...ofCandidate.failures]) failures.add(failure);
  }
  return { base, candidate, failures: [...failures] };
}

async function measurePair(options: PairOptions, pair: number): Promise<readonly TrialEnd[]> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-compare-"));
  const started = await Promise.allSettled(
    (["base", "candidate"] as const).map((side) => startSide(options, side, join(folder, side))),
  );
  const trials = started.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  try {
    for (const each of started) if (each.status === "rejected") throw each.reason;
    // Who goes first changes with every pair.
    await takeTurns(pair % 2 === 1 ? trials : trials.toReversed(), options.seconds);
    return await Promise.all(trials.map((trial) => trial.call("finish", undefined)));
  } finally {
    await Promise.all(trials.map((trial) => trial.kill()));
    await rm(folder, { recursive: true, force: true });
  }
}

function startSide(options: PairOptions, side: "base" | "candidate", folder: string): Promise<Trial> {
  const { concurrency, depth, warmupSeconds } = options;
  return startTrial({
    entry: options[side],
    place: folder,
    options: {},
    queue: QUEUE,
    concurrency,
    depth,
    warmupSeconds,
  });
}

async function takeTurns(trials: readonly Trial[], seconds: number): Promise<void> {
  const turns = Math.max(1, Math.round(seconds / SLICE_SECONDS));
  for (let turn = 0; turn < turns; turn += 1) {
    for (const trial of turn % 2 === 0 ? trials : trials.toReversed())
      await trial.call("measure", seconds / turns);
  }
}
