import { FIGURE_NAMES, FIGURES, type Figure } from "./figures.ts";
import type { Judgement, LoadReport } from "./load-report.ts";

/** What a figure must be, as the command line says it: `claim.p99<100ms`. */
export interface Threshold {
  readonly text: string;
  readonly figure: Figure;
  readonly sign: "<" | "<=" | ">" | ">=";
  /** In the figure's unit. */
  readonly bound: number;
}

const FORM = /^\s*([\w.]+)\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*(us|µs|ms|s|%|tasks\/s)?\s*$/;
const TO_MS: Readonly<Record<string, number>> = { us: 1e-3, µs: 1e-3, ms: 1, s: 1_000 };

/** @throws {RangeError} that says what is wrong with the text, and what it may be. */
export function parseThreshold(text: string): Threshold {
  const [, name, sign, value, unit] = FORM.exec(text) ?? [];
  if (name === undefined) {
    throw new RangeError(`Expected a threshold like claim.p99<100ms or errors<=0, got "${text}"`);
  }
  const figure = FIGURES.find((each) => each.name === name);
  if (figure === undefined) {
    throw new RangeError(`Expected a threshold on ${FIGURE_NAMES}, got one on "${name}"`);
  }
  const isTime = unit !== undefined && unit in TO_MS;
  if (unit !== undefined && (isTime ? figure.unit !== "ms" : figure.unit !== unit)) {
    throw new RangeError(`Expected ${name} in ${figure.unit || "a plain number"}, got ${value}${unit}`);
  }
  const bound = Number(value) * (isTime ? (TO_MS[unit] as number) : 1);
  return { text: text.trim(), figure, sign: sign as Threshold["sign"], bound };
}

export function judgeThreshold({ figure, sign, bound }: Threshold, report: LoadReport): Judgement {
  const measured = figure.read(report);
  const line = {
    what: figure.name,
    unit: figure.unit,
    bound: `${sign.replace("<=", "≤").replace(">=", "≥")} ${bound}${figure.unit === "" ? "" : ` ${figure.unit}`}`,
  };
  if (measured === null) {
    return { ...line, figure: null, verdict: "not judged", remark: `this run has no ${figure.name}` };
  }
  return { ...line, figure: measured, verdict: holds(measured, sign, bound) ? "pass" : "fail", remark: "" };
}

function holds(measured: number, sign: Threshold["sign"], bound: number): boolean {
  if (sign === "<") return measured < bound;
  if (sign === "<=") return measured <= bound;
  return sign === ">" ? measured > bound : measured >= bound;
}
