import { medianOf } from "../statistics.ts";
import { errorsRose, type Failing, failingOf } from "./errors.ts";
import { type Measure, type MeasureName, measuresOf, type RunFigures } from "./figures.ts";
import { enoughRuns, type RatioInterval, ratioInterval } from "./interval.ts";

/** `noise`: no change that can be told from the difference between runs of one side. */
export type Outcome = "better" | "noise" | "worse";

/** One measure of both sides. */
export interface JudgedMeasure extends RatioInterval {
  readonly name: MeasureName;
  readonly title: string;
  readonly better: Measure["better"];
  /** Medians over the runs, in the unit of the name. */
  readonly base: number;
  readonly candidate: number;
  readonly outcome: Outcome;
}

/**
 * `win`: P99 is down by 30 % or more, and nothing is worse. `better`: something is better, nothing worse. `worse`: a
 * measure is worse, or errors rose, whatever else is better.
 */
export type Verdict = "win" | "better" | "noise" | "worse" | "not judged";

export interface Judgement {
  readonly verdict: Verdict;
  /** Why, for people; the first sentence says the verdict. */
  readonly sentences: readonly string[];
  readonly paired: boolean;
  readonly runs: { readonly base: number; readonly candidate: number };
  readonly measures: readonly JudgedMeasure[];
  readonly errors: { readonly base: Failing; readonly candidate: Failing; readonly rose: boolean };
}

export interface Sides {
  readonly base: readonly RunFigures[];
  readonly candidate: readonly RunFigures[];
  /** The n-th runs were made side by side. */
  readonly paired: boolean;
  /** Why the two must not be compared; empty when they may. */
  readonly refusals?: readonly string[];
}

/** The intervals of all measures together miss the truth in so many comparisons at most. */
const MISS_TOGETHER = 0.05;
/** The seed's rule: the P99 down by 30 to 50 % is what an optimisation is for. */
export const WIN_P99 = 0.3;
/**
 * Sides that were measured one after the other had different machines, in a way: how warm it was, what else ran. No
 * number of runs shows that, so it takes twice the change.
 */
const UNPAIRED_FACTOR = 2;

/** Judges by the seed's rule. @throws {RangeError} when a side has no run. */
export function judge(sides: Sides): Judgement {
  const { base, candidate, paired, refusals = [] } = sides;
  const all = measuresOf([...base, ...candidate]);
  const miss = MISS_TOGETHER / Math.max(1, all.length);
  const measures = all.map((measure) => judgeMeasure(measure, sides, miss));
  const [failing, candidateFailing] = [failingOf(base), failingOf(candidate)];
  const errors = { base: failing, candidate: candidateFailing, rose: errorsRose(failing, candidateFailing) };
  const reasons = [...refusals];
  if (failing.operations === 0 || candidateFailing.operations === 0)
    reasons.push("a side finished no operation");
  if (!enoughRuns(base.length, candidate.length, { paired, miss })) reasons.push(tooFew(sides));
  const facts = { paired, runs: { base: base.length, candidate: candidate.length }, measures, errors };
  if (reasons.length > 0) {
    return { verdict: "not judged", sentences: [`Not judged: ${reasons.join("; ")}.`], ...facts };
  }
  const verdict = verdictOf(measures, errors.rose);
  return { verdict, sentences: sentencesOf(verdict, measures, errors.rose), ...facts };
}

function judgeMeasure(measure: Measure, sides: Sides, miss: number): JudgedMeasure {
  const { name, title, better } = measure;
  const [base, candidate] = [valuesOf(sides.base, name), valuesOf(sides.candidate, name)];
  const interval = ratioInterval(base, candidate, { paired: sides.paired, miss });
  const least = measure.leastChange * (sides.paired ? 1 : UNPAIRED_FACTOR);
  return {
    name,
    title,
    better,
    base: medianOf(base),
    candidate: medianOf(candidate),
    ...interval,
    outcome: outcomeOf(interval, better, least),
  };
}

function valuesOf(runs: readonly RunFigures[], name: MeasureName): number[] {
  return runs.map((run) => run[name] as number);
}

function outcomeOf({ ratio, low, high }: RatioInterval, better: Measure["better"], least: number): Outcome {
  const isUp = low > 1 && ratio >= 1 + least;
  const isDown = high < 1 && ratio <= 1 - least;
  if (!isUp && !isDown) return "noise";
  return isUp === (better === "higher") ? "better" : "worse";
}

function verdictOf(measures: readonly JudgedMeasure[], errorsRose: boolean): Verdict {
  if (errorsRose || measures.some(({ outcome }) => outcome === "worse")) return "worse";
  const better = measures.filter(({ outcome }) => outcome === "better");
  if (better.some(({ name, ratio }) => name === "p99Ms" && ratio <= 1 - WIN_P99)) return "win";
  return better.length > 0 ? "better" : "noise";
}

function tooFew({ paired, base, candidate }: Sides): string {
  const [has, wants] = paired
    ? [`${base.length} pairs`, "8 pairs"]
    : [`${base.length} against ${candidate.length} runs`, "5 runs a side"];
  return `${has} cannot tell a change from noise; it takes ${wants} or more`;
}

function sentencesOf(verdict: Verdict, measures: readonly JudgedMeasure[], errorsRose: boolean): string[] {
  const changed = (outcome: Outcome) => measures.filter((each) => each.outcome === outcome).map(changeOf);
  const [better, worse] = [changed("better").join(", "), changed("worse")];
  if (errorsRose) worse.push("errors rose");
  const kept = "Throughput is maintained, errors did not rise.";
  switch (verdict) {
    case "win":
      return [`Win: ${better}.`, `The rule asks for a P99 that is down by 30 to 50 %. ${kept}`];
    case "better":
      return [
        `Better: ${better}.`,
        `No win by the rule, which asks for a P99 that is down by 30 to 50 %. ${kept}`,
      ];
    case "worse":
      return [
        `Worse: ${worse.join(", ")}.`,
        ...(better === "" ? [] : [`Better: ${better}; that does not make up for it.`]),
      ];
    default:
      return ["Noise: nothing moved by more than the runs of one side differ.", resolutionOf(measures)];
  }
}

/** `P99 up 21 % (15 to 27 %)`. */
function changeOf({ title, ratio, low, high }: JudgedMeasure): string {
  const percent = (value: number) => Math.abs(100 * (value - 1)).toFixed(0);
  const [near, far] = ratio >= 1 ? [low, high] : [high, low];
  return `${title} ${ratio >= 1 ? "up" : "down"} ${percent(ratio)} % (${percent(near)} to ${percent(far)} %)`;
}

/** An interval that is wider says hardly anything. */
const WIDE = 0.5;

/** Noise is no proof of no change: says what would have stayed unseen. */
function resolutionOf(measures: readonly JudgedMeasure[]): string {
  const widths = measures.map(({ title, ratio, low, high }) => ({
    title,
    width: Math.max(high / ratio, ratio / low) - 1,
  }));
  const each = widths.map(({ title, width }) => `${title} ${(100 * width).toFixed(0)} %`).join(", ");
  const unseen = `Smaller changes than these would not have been seen: ${each}.`;
  const isWide = widths.some(({ width }) => width > WIDE);
  return isWide ? `${unseen} That is a lot: it takes more runs, longer ones or a quieter machine.` : unseen;
}
