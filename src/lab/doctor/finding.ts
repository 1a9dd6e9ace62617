/** Green: as it should be. Yellow: look at it. Red: tasks are lost, late or refused, or soon will be. */
export type Colour = "green" | "yellow" | "red";

/** One line of a diagnosis: what was looked at, what was found, and what to do about it. */
export interface Finding {
  /** What was looked at, such as "round trip". */
  readonly check: string;
  /** The server, folder or machine that was looked at. */
  readonly where: string;
  readonly colour: Colour;
  /** What was found, with its unit, for people. */
  readonly figure: string;
  /** What it should be. */
  readonly bound: string;
  /** What to do; only where the line is not green. */
  readonly advice?: string;
  /** The figure that was judged, for machines, where it is a number. */
  readonly value?: number;
  readonly unit?: Unit;
}

export type Unit = "ms" | "s" | "%" | "bytes" | "days" | "tasks";

/** A number to be judged: up to `yellow` it is green, up to `red` yellow. */
export interface Measure {
  readonly check: string;
  readonly where: string;
  readonly value: number;
  readonly unit: Unit;
  readonly yellow: number;
  /** Infinite where nothing is bad enough. */
  readonly red: number;
  /** Default: the value with its unit. */
  readonly figure?: string;
  /** Said when it is not green. */
  readonly advice: string;
}

/** The line of a number that should be small. */
export function graded(measure: Measure): Finding {
  const { check, where, value, unit, yellow, red, advice } = measure;
  const colour = value <= yellow ? "green" : value <= red ? "yellow" : "red";
  return {
    check,
    where,
    colour,
    figure: measure.figure ?? shown(value, unit),
    bound: `up to ${shown(yellow, unit)}${Number.isFinite(red) ? `, red above ${shown(red, unit)}` : ""}`,
    ...(colour !== "green" && { advice }),
    value,
    unit,
  };
}

/** A line that was judged by the caller; the advice is left out where there is nothing to do. */
export function judged(colour: Colour, line: Omit<Finding, "colour"> & { readonly advice: string }): Finding {
  const { advice, ...rest } = line;
  return { ...rest, colour, ...(colour !== "green" && { advice }) };
}

const BADNESS: Readonly<Record<Colour, number>> = { green: 0, yellow: 1, red: 2 };

/** The colour of the worst line; green when there is none. */
export function worstOf(findings: readonly Finding[]): Colour {
  return findings.reduce<Colour>((worst, { colour }) => worse(worst, colour), "green");
}

export function worse(one: Colour, other: Colour): Colour {
  return BADNESS[one] >= BADNESS[other] ? one : other;
}

/** A number as people read it: `0.21 ms`, `16 ms`, `12 min`, `3.5 %`, `1.2 MB`, `1,234 tasks`. */
export function shown(value: number, unit: Unit): string {
  if (unit === "bytes") return bytes(value);
  if (unit === "s" && value >= 120)
    return value < 7_200 ? `${whole(value / 60)} min` : `${whole(value / 3_600)} h`;
  const digits = unit === "tasks" || unit === "days" || value >= 100 ? 0 : 2;
  const name = value === 1 && unit.endsWith("s") && unit.length > 2 ? unit.slice(0, -1) : unit;
  return `${value.toLocaleString("en-US", { maximumFractionDigits: digits })} ${name}`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function bytes(value: number): string {
  const power = value < 1_000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${(value / 1_000 ** power).toFixed(power === 0 ? 0 : 1)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}
