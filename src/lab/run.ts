import type { DeliveryAudit } from "./delivery.ts";
import type { LatencyHistogram } from "./histogram.ts";
import { type MachineShare, machineShare, readCoreTicks } from "./machine-share.ts";
import type { ProcessReading } from "./process-observer.ts";
import { medianOf, type Spread, spreadOf } from "./statistics.ts";

/** One turn of one candidate. */
export interface Trial {
  /** From 1; 0 is the warm-up, whose measurement is thrown away. */
  readonly repetition: number;
  readonly seconds: number;
}

/** What a candidate measured in one trial. */
export interface Measurement {
  readonly seconds: number;
  /** Tasks or calls that were finished, as the question counts them. */
  readonly operations: number;
  readonly errors: number;
  /** By what was timed, e.g. "claim". */
  readonly latencies?: Readonly<Record<string, LatencyHistogram>>;
  /** Other figures, by name; names end in their unit. */
  readonly values?: Readonly<Record<string, number>>;
  /** Of the process under test. */
  readonly process?: ProcessReading;
  readonly delivery?: DeliveryAudit;
}

/** One of the things that a benchmark compares. */
export interface Candidate {
  readonly name: string;
  measure(trial: Trial): Promise<Measurement>;
}

export interface RunOptions {
  /** Measured trials of each candidate, at least 3: a median needs them. */
  readonly repeats: number;
  /** Length of a measured trial. */
  readonly seconds: number;
  /** Length of the warm-up of each candidate; 0 leaves it out. */
  readonly warmupSeconds: number;
  readonly onTrial?: (candidate: string, trial: Trial) => void;
}

export interface Repetition extends Measurement {
  readonly startedAt: number;
  readonly machine?: MachineShare;
}

/** All repetitions of one candidate; the n-th of every series ran side by side. */
export interface Series {
  readonly name: string;
  readonly repetitions: readonly Repetition[];
}

export const REPEATS_MIN = 3;

/**
 * Runs candidates in turn, A B C, then C B A, then A B C…: what the machine does to one it soon does to the
 * others, and neither gains from always being first. Compare them by {@link ratioOf}, inside a repetition.
 *
 * @throws {RangeError} when `repeats` is below 3 or `seconds` is not above 0.
 */
export async function runInterleaved(
  candidates: readonly Candidate[],
  options: RunOptions,
): Promise<Series[]> {
  const { repeats, seconds, warmupSeconds } = options;
  if (!(repeats >= REPEATS_MIN)) {
    throw new RangeError(`Expected repeats to be ${REPEATS_MIN} or more, got ${repeats}`);
  }
  if (!(seconds > 0)) throw new RangeError(`Expected seconds to be above 0, got ${seconds}`);
  const series = candidates.map(({ name }) => ({ name, repetitions: [] as Repetition[] }));
  if (warmupSeconds > 0) {
    for (const candidate of candidates)
      await measure(candidate, { repetition: 0, seconds: warmupSeconds }, options);
  }
  for (let repetition = 1; repetition <= repeats; repetition += 1) {
    for (const place of turnOrder(candidates.length, repetition)) {
      const candidate = candidates[place] as Candidate;
      series[place]?.repetitions.push(await measure(candidate, { repetition, seconds }, options));
    }
  }
  return series;
}

function turnOrder(count: number, repetition: number): number[] {
  const forward = Array.from({ length: count }, (_, place) => place);
  return repetition % 2 === 1 ? forward : forward.reverse();
}

async function measure(candidate: Candidate, trial: Trial, options: RunOptions): Promise<Repetition> {
  options.onTrial?.(candidate.name, trial);
  const startedAt = Date.now();
  const before = readCoreTicks();
  const measurement = await candidate.measure(trial);
  const machine = machineShare(before, readCoreTicks());
  return { ...measurement, startedAt, ...(machine === undefined ? {} : { machine }) };
}

/** A figure of one repetition, e.g. its tasks a second. */
export type Measure = (repetition: Repetition) => number;

export const perSecond: Measure = ({ operations, seconds }) => operations / seconds;

/** The percentile of what was timed under `name`, nanoseconds. @throws {Error} when nothing was. */
export function latencyNs(name: string, percentile: number): Measure {
  return ({ latencies }) => {
    const histogram = latencies?.[name];
    if (histogram === undefined) throw new Error(`Nothing was timed under "${name}"`);
    return histogram.percentileNs(percentile);
  };
}

/** @throws {Error} when the repetition has no such value. */
export function value(name: string): Measure {
  return ({ values }) => {
    const found = values?.[name];
    if (found === undefined) throw new Error(`No value was measured under "${name}"`);
    return found;
  };
}

export function spreadOfSeries(series: Series, measure: Measure): Spread {
  return spreadOf(series.repetitions.map(measure));
}

export function medianOfSeries(series: Series, measure: Measure): number {
  return medianOf(series.repetitions.map(measure));
}

export interface Ratio extends Spread {
  /** Candidate / baseline, one for each repetition, in order. */
  readonly perRepetition: readonly number[];
}

/** Candidate over baseline, taken inside each repetition: slow minutes of the machine fall out. */
export function ratioOf(candidate: Series, baseline: Series, measure: Measure): Ratio {
  if (candidate.repetitions.length !== baseline.repetitions.length) {
    throw new Error(`Expected as many repetitions of "${candidate.name}" as of "${baseline.name}"`);
  }
  const perRepetition = candidate.repetitions.map((repetition, place) => {
    return measure(repetition) / measure(baseline.repetitions[place] as Repetition);
  });
  return { ...spreadOf(perRepetition), perRepetition };
}

/** The series of that name. @throws {Error} when there is none. */
export function seriesNamed(all: readonly Series[], name: string): Series {
  const found = all.find((series) => series.name === name);
  if (found === undefined) throw new Error(`There is no series "${name}"`);
  return found;
}
