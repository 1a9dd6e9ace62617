/** What repetitions of one measurement say: the middle, and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws {RangeError} when there are no values: a median of nothing would hide a measurement that did not happen. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError("Expected at least one value, got none");
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] as number;
  const lower = sorted[(sorted.length - 1) >> 1] as number;
  return { median: (lower + upper) / 2, min: sorted[0] as number, max: sorted.at(-1) as number };
}

export function medianOf(values: readonly number[]): number {
  return spreadOf(values).median;
}

export interface Slope {
  /** Change of y for each unit of x. */
  readonly slope: number;
  /** Standard error of the slope. */
  readonly error: number;
}

/**
 * The straight line through points, by least squares. A slope is distinguishable from 0 when it exceeds
 * twice its error. Fewer than three points have no error to speak of: it is then infinite.
 *
 * Source: ordinary least squares, e.g. Draper and Smith, "Applied Regression Analysis", chapter 1.
 */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const sumXX = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const sumXY = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  if (n < 3 || sumXX === 0) return { slope: sumXX > 0 ? sumXY / sumXX : 0, error: Number.POSITIVE_INFINITY };
  const slope = sumXY / sumXX;
  const residual = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, error: Math.sqrt(residual / (n - 2) / sumXX) };
}

/** True when the line could as well be level: its slope is within twice its error. */
export function isLevel({ slope, error }: Slope): boolean {
  return Math.abs(slope) <= 2 * error;
}
