import { slopeOf } from "../src/lab/statistics.ts";

/** What was measured at the end of an interval, in order of time. */
export type GrowthSample = { readonly place: number; readonly life: number } & Readonly<
  Record<string, number>
>;

/** The first intervals of a life, in which code is compiled and caches fill. */
const YOUNG = 3;
/** Fewer intervals than that say nothing of growth. */
const POINTS_MIN = 4;

/**
 * How much a figure grows from the end of the first third to the end of the run: the straight line less twice its
 * standard error, in percent of the mean. 0 when the line could as well be level; undefined when there are too few
 * samples to tell.
 */
export function growthPercent(samples: readonly GrowthSample[], name: string): number | undefined {
  const settled = samples.slice(Math.ceil(samples.length / 3));
  return certainPercent(
    settled.map((sample) => [sample.place, figureOf(sample, name)]),
    settled.length,
    settled.map((sample) => figureOf(sample, name)),
  );
}

/** The same inside the lives of a process: their lines laid over each other, for the length of one life. */
export function growthWithinLivesPercent(samples: readonly GrowthSample[], name: string): number | undefined {
  const lives = [...new Set(samples.map(({ life }) => life))].map((life) =>
    samples.filter((sample) => sample.life === life).slice(YOUNG),
  );
  const points = lives.flatMap((life) =>
    centred(life.map((sample) => [sample.place, figureOf(sample, name)])),
  );
  const longest = Math.max(...lives.map(({ length }) => length));
  return certainPercent(
    points,
    longest,
    lives.flat().map((sample) => figureOf(sample, name)),
  );
}

type Point = readonly [x: number, y: number];

function centred(points: readonly Point[]): Point[] {
  const meanX = mean(points.map(([x]) => x));
  const meanY = mean(points.map(([, y]) => y));
  return points.map(([x, y]) => [x - meanX, y - meanY]);
}

function certainPercent(
  points: readonly Point[],
  span: number,
  figures: readonly number[],
): number | undefined {
  if (points.length < POINTS_MIN || span < POINTS_MIN) return undefined;
  const { slope, error } = slopeOf(points);
  return (Math.max(0, slope - 2 * error) * span * 100) / mean(figures);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function figureOf(sample: GrowthSample, name: string): number {
  const figure = sample[name];
  if (figure === undefined) throw new Error(`No sample has "${name}"`);
  return figure;
}
