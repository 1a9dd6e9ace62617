import type { RunFigures } from "./figures.ts";
import { startTrial, type Trial, type TrialEnd } from "./trial.ts";
import { openTrialPlace, type PlaceWish, type ProcessUse, type TrialPlace } from "./trial-place.ts";

/** A build as it lies on the disk. */
export interface BuildFiles {
  /** `index.js` of the package. */
  readonly entry: string;
  /** The `dibs` command. */
  readonly command: string;
}

export interface PairSettings extends PlaceWish {
  readonly pairs: number;
  /** Measured time of each side in each pair. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Callers, each with one call under way. */
  readonly concurrency: number;
  /** Tasks that wait in the queue beside those that are worked on. */
  readonly depth: number;
}

export interface PairOptions extends PairSettings {
  readonly onPair?: (pair: number) => void;
  /** Ends it; the pair that is under way then does not count. */
  readonly signal?: AbortSignal;
}

/** The n-th runs of both sides were made side by side. */
export interface PairedRuns {
  readonly base: readonly RunFigures[];
  readonly candidate: readonly RunFigures[];
  /** Different messages of what failed. */
  readonly failures: readonly string[];
}

/** Half a minute in all. What these can tell apart is measured: docs/compare.md. */
export const DEFAULT_PAIRS: PairSettings = {
  pairs: 12,
  seconds: 0.5,
  warmupSeconds: 0.3,
  concurrency: 1,
  depth: 1_000,
  serve: false,
};

/** The two sides take turns of so long. */
const TURN_SECONDS = 0.05;

/**
 * Measures two builds in pairs. A pair has a new process for each side, because two processes of one build differ for
 * good (what was compiled when, where the heap came to lie): only new ones show how much. Both are warmed up, then
 * measure in turns of 50 ms, A B B A, while the other rests: a machine that is slow for a second is slow for both.
 */
export async function measurePairs(
  base: BuildFiles,
  candidate: BuildFiles,
  options: PairOptions,
): Promise<PairedRuns> {
  const runs = { base: [] as RunFigures[], candidate: [] as RunFigures[] };
  const failures = new Set<string>();
  for (let pair = 1; pair <= options.pairs; pair += 1) {
    options.onPair?.(pair);
    const ends = await measurePair([base, candidate], options, pair).catch((error: unknown) => {
      // Ctrl-C in a terminal ends the servers too: what the pair says then is no news.
      if (options.signal?.aborted) return [];
      throw error;
    });
    if (options.signal?.aborted) break;
    const [ofBase, ofCandidate] = ends as readonly [TrialEnd, TrialEnd];
    runs.base.push(ofBase.figures);
    runs.candidate.push(ofCandidate.figures);
    for (const failure of [...ofBase.failures, ...ofCandidate.failures]) failures.add(failure);
  }
  return { ...runs, failures: [...failures] };
}

async function measurePair(
  builds: readonly BuildFiles[],
  settings: PairSettings,
  pair: number,
): Promise<readonly TrialEnd[]> {
  const started = await Promise.allSettled(builds.map((build) => StandingTrial.start(build, settings)));
  const trials = started.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  try {
    for (const each of started) if (each.status === "rejected") throw each.reason;
    // Who goes first changes with every pair.
    await takeTurns(pair % 2 === 1 ? trials : trials.toReversed(), settings.seconds);
    return await Promise.all(trials.map((trial) => trial.finish()));
  } finally {
    await Promise.all(trials.map((trial) => trial.stop()));
  }
}

async function takeTurns(trials: readonly StandingTrial[], seconds: number): Promise<void> {
  for (const trial of trials) await trial.begin();
  const turns = Math.max(1, Math.round(seconds / TURN_SECONDS));
  for (let turn = 0; turn < turns; turn += 1) {
    for (const trial of turn % 2 === 0 ? trials : trials.toReversed()) await trial.measure(seconds / turns);
  }
}

/** A trial with the place that it works on. */
class StandingTrial {
  readonly #trial: Trial;
  readonly #place: TrialPlace;
  #before: ProcessUse | undefined;

  private constructor(trial: Trial, place: TrialPlace) {
    this.#trial = trial;
    this.#place = place;
  }

  static async start({ entry, command }: BuildFiles, settings: PairSettings): Promise<StandingTrial> {
    const { concurrency, depth, warmupSeconds } = settings;
    const place = await openTrialPlace(settings, command);
    const spec = { entry, place: place.url, options: place.options, queue: place.queue };
    try {
      return new StandingTrial(await startTrial({ ...spec, concurrency, depth, warmupSeconds }), place);
    } catch (error) {
      await place.close();
      throw error;
    }
  }

  async begin(): Promise<void> {
    this.#before = await this.#place.use?.();
  }

  measure(seconds: number): Promise<void> {
    return this.#trial.call("measure", seconds);
  }

  /** With a server, CPU is that of both, memory the server's; neither is told where the server's is not known. */
  async finish(): Promise<TrialEnd> {
    const after = await this.#place.use?.();
    const end = await this.#trial.call("finish", undefined);
    if (this.#place.use === undefined) return end;
    const { cpuUs = 0, memoryBytes: _, ...figures } = end.figures;
    if (after === undefined || this.#before === undefined) return { ...end, figures };
    const served = (after.cpuUs - this.#before.cpuUs) / Math.max(1, figures.operations);
    return { ...end, figures: { ...figures, cpuUs: cpuUs + served, memoryBytes: after.memoryBytes } };
  }

  async stop(): Promise<void> {
    await this.#trial.kill();
    await this.#place.close();
  }
}
