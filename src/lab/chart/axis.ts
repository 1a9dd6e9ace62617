import { figure } from "../markdown.ts";

/** One axis of a chart. */
export interface Axis {
  /** What it counts, with the unit: `P50, µs`. */
  readonly label: string;
  /** `log` for what spans powers of ten; values of 0 and below cannot be shown on it. Default `linear`. */
  readonly scale?: "linear" | "log";
  /** Ends of the axis. Default: what holds all values, from 0 on a linear one. */
  readonly min?: number;
  readonly max?: number;
  /** Where to write a value. Default: about five round ones, or the powers of ten. */
  readonly ticks?: readonly number[];
  /** How a value is written. Default: three significant digits. */
  readonly format?: (value: number) => string;
}

/** An axis that knows its values: where each of them is, from 0 (the low end) to 1. */
export interface Scale {
  readonly ticks: readonly number[];
  format(value: number): string;
  /** Values beyond the ends are at the ends. */
  at(value: number): number;
}

const TICKS = 5;

/** Fits an axis to its values; those that it cannot show are passed over. */
export function scaleOf(axis: Axis, values: readonly number[]): Scale {
  const isLog = axis.scale === "log";
  const shown = values.filter((value) => Number.isFinite(value) && (!isLog || value > 0));
  const [low, high] = isLog ? logEnds(axis, shown) : linearEnds(axis, shown);
  const place = isLog ? Math.log10 : (value: number) => value;
  const [from, to] = [place(low), place(high)];
  const ticks = axis.ticks ?? (isLog ? powersBetween(low, high) : roundBetween(low, high));
  return {
    ticks: ticks.filter((tick) => tick >= low && tick <= high),
    format: axis.format ?? figure,
    at: (value) => {
      if (isLog && value <= 0) return 0;
      return Math.min(1, Math.max(0, (place(value) - from) / (to - from)));
    },
  };
}

function linearEnds({ min = 0, max }: Axis, values: readonly number[]): [number, number] {
  const low = Math.min(min, ...values);
  const high = max ?? Math.max(...values, low);
  if (high <= low) return [low, low + 1];
  const step = roundStep(low, high);
  return [Math.floor(low / step) * step, max ?? Math.ceil(high / step) * step];
}

function logEnds({ min, max }: Axis, values: readonly number[]): [number, number] {
  const low = min ?? (values.length === 0 ? 1 : 10 ** Math.floor(Math.log10(Math.min(...values))));
  const high = max ?? (values.length === 0 ? 10 : 10 ** Math.ceil(Math.log10(Math.max(...values))));
  return [low, high > low ? high : low * 10];
}

/** Powers of ten; of many only every second, third…, so that they have room to be read. */
function powersBetween(low: number, high: number): number[] {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const step = Math.max(1, Math.ceil((last - first) / TICKS));
  const count = Math.max(0, Math.floor((last - first) / step) + 1);
  return Array.from({ length: count }, (_, n) => 10 ** (first + n * step));
}

function roundBetween(low: number, high: number): number[] {
  const step = roundStep(low, high);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, n) => Number(((first + n) * step).toPrecision(12)));
}

/** 1, 2 or 5 times a power of ten, so that about {@link TICKS} of them fit. */
function roundStep(low: number, high: number): number {
  const rough = (high - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((each) => each * power >= rough * 0.999) ?? 10;
  return factor * power;
}
