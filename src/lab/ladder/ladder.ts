import { readEnvironment } from "../environment.ts";
import { machineShare, readCoreTicks } from "../machine-share.ts";
import { PAYLOAD_BYTES } from "../payload.ts";
import { type Candidate, runInterleaved, type Series } from "../run.ts";
import { faultsOf, readRowsOf, rowsOf, standingsOf } from "./cell.ts";
import type { LabRedis } from "./lab-redis.ts";
import type { LadderReport, LadderRow, ReadRow, Standing } from "./ladder-report.ts";
import { CACHE_MODES, READS_A_WRITE, runReads } from "./reads.ts";
import type { Rung } from "./rung.ts";
import { baselineOf } from "./rungs.ts";
import { runTrial } from "./trial.ts";

export interface LadderOptions {
  readonly redis: LabRedis;
  readonly rungs: readonly Rung[];
  /** Tasks that wait. */
  readonly depths: readonly number[];
  readonly callers: readonly number[];
  /** Trials of each rung in each cell, at least 3. */
  readonly repeats: number;
  readonly seconds: number;
  /** Also measures reads by id, with the cache off and on. */
  readonly reads: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: LadderProgress) => void;
  /** Told the rows of each cell as soon as it is finished. */
  readonly onCell: (rows: readonly LadderRow[]) => void;
}

export interface LadderProgress {
  /** Trials that have begun, and that there are. */
  readonly trial: number;
  readonly trials: number;
  /** What runs now. */
  readonly what: string;
}

/** For code that the engine has not yet compiled, and a server that has not yet grown its tables. */
const WARMUP = { depth: 1_000, callers: 50 } as const;

/**
 * Runs the ladder, cell by cell: in each the rungs in turn, so that all meet the same minutes of the machine. Aborted,
 * it answers with the cells that were finished.
 */
export async function runLadder(options: LadderOptions): Promise<LadderReport> {
  const environment = await readEnvironment();
  const [startedAt, before] = [Date.now(), readCoreTicks()];
  const climb = new Climb(options);
  const isComplete = await climb.run();
  const share = machineShare(before, readCoreTicks());
  const { redis, rungs, depths, callers, repeats, seconds } = options;
  return {
    format: "dibs-ladder",
    version: 1,
    startedAt,
    seconds: (Date.now() - startedAt) / 1_000,
    environment: { ...environment, ...share },
    redis: { place: redis.shown, version: redis.version },
    parameters: { depths, callers, repeats, secondsPerTrial: seconds, payloadBytes: PAYLOAD_BYTES },
    isComplete,
    rungs: rungs.map((rung) => {
      const { name, what, isSafe, isOrdered, batch } = rung;
      return { name, what, isSafe, isOrdered, batch, over: baselineOf(rung) ?? null };
    }),
    rows: climb.rows,
    reads: climb.reads,
    standings: climb.standings,
    faults: climb.faults,
  };
}

/** One run of the ladder, and what it has found so far. */
class Climb {
  readonly rows: LadderRow[] = [];
  readonly reads: ReadRow[] = [];
  readonly standings: Standing[] = [];
  readonly faults: string[] = [];
  readonly #options: LadderOptions;
  readonly #trials: number;
  #trial = 0;

  constructor(options: LadderOptions) {
    this.#options = options;
    this.#trials = trialsOf(options);
  }

  /** False when it was interrupted. */
  async run(): Promise<boolean> {
    const { depths, callers, reads, signal } = this.#options;
    try {
      await this.#warmUp();
      for (const depth of depths) for (const count of callers) await this.#cell(depth, count);
      if (reads) for (const count of callers) await this.#readCell(count);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    }
  }

  async #warmUp(): Promise<void> {
    const { rungs, redis, signal, seconds } = this.#options;
    for (const rung of rungs) {
      this.#tell(`warm-up: ${rung.name}`);
      const callers = Math.min(WARMUP.callers, rung.callersMax ?? WARMUP.callers);
      await runTrial(rung, redis.place(), { ...WARMUP, callers, seconds }, signal);
    }
  }

  async #cell(depth: number, callers: number): Promise<void> {
    const { rungs, redis, signal } = this.#options;
    const here = rungs.filter(({ callersMax = Number.POSITIVE_INFINITY }) => callers <= callersMax);
    const candidates = here.map(
      (rung): Candidate => ({
        name: rung.name,
        measure: ({ seconds }) => runTrial(rung, redis.place(), { depth, callers, seconds }, signal),
      }),
    );
    const series = await this.#interleaved(candidates, `${depth} pending, ${callers} callers`);
    const rows = rowsOf(here, series, depth, callers);
    this.rows.push(...rows);
    this.#options.onCell(rows);
    this.standings.push(...standingsOf(here, series, depth, callers));
    this.faults.push(...faultsOf(here, series, depth, callers));
  }

  async #readCell(callers: number): Promise<void> {
    const { redis, signal } = this.#options;
    const loads = READS_A_WRITE.flatMap((readsAWrite) =>
      CACHE_MODES.map((cache) => ({ readsAWrite, cache })),
    );
    const candidates = loads.map(
      ({ readsAWrite, cache }): Candidate => ({
        name: `reads ${readsAWrite}:1, cache ${cache}`,
        measure: ({ seconds }) => runReads(redis.place(), { readsAWrite, cache, callers, seconds }, signal),
      }),
    );
    const series = await this.#interleaved(candidates, `${callers} callers`);
    this.reads.push(...readRowsOf(loads, series, callers));
  }

  #interleaved(candidates: readonly Candidate[], where: string): Promise<Series[]> {
    const { repeats, seconds } = this.#options;
    const onTrial = (name: string) => this.#tell(`${name}, ${where}`);
    return runInterleaved(candidates, { repeats, seconds, warmupSeconds: 0, onTrial });
  }

  #tell(what: string): void {
    this.#trial += 1;
    this.#options.onProgress({ trial: this.#trial, trials: this.#trials, what });
  }
}

function trialsOf({ rungs, depths, callers, repeats, reads }: LadderOptions): number {
  const cells = callers.map(
    (count) => rungs.filter(({ callersMax = Number.POSITIVE_INFINITY }) => count <= callersMax).length,
  );
  const claims = depths.length * cells.reduce((sum, each) => sum + each, 0);
  const read = reads ? callers.length * READS_A_WRITE.length * CACHE_MODES.length : 0;
  return rungs.length + repeats * (claims + read);
}
