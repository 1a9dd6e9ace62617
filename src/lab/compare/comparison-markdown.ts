import { table } from "../markdown.ts";
import type { Comparison, SideReport } from "./comparison.ts";
import { MEASURES } from "./figures.ts";
import type { JudgedMeasure } from "./judge.ts";

/** One row of a comparison, for a table of any kind. */
export interface ComparisonRow {
  readonly measure: string;
  readonly base: string;
  readonly candidate: string;
  /** `× 1.21`. */
  readonly ratio: string;
  /** `1.15 to 1.27`. */
  readonly interval: string;
  readonly outcome: string;
}

export function rowsOf({ measures, errors }: Comparison): ComparisonRow[] {
  const { base, candidate, rose } = errors;
  const share = (side: typeof base) => `${side.errors} of ${side.operations.toLocaleString("en-US")}`;
  return [
    ...measures.map(rowOf),
    {
      measure: "errors",
      base: share(base),
      candidate: share(candidate),
      ratio: "",
      interval: "",
      outcome: rose ? "worse" : base.errors + candidate.errors === 0 ? "none" : "noise",
    },
  ];
}

function rowOf({ name, title, base, candidate, ratio, low, high, outcome }: JudgedMeasure): ComparisonRow {
  const show = MEASURES.find((measure) => measure.name === name)?.show ?? String;
  return {
    measure: title,
    base: show(base),
    candidate: show(candidate),
    ratio: `× ${ratio.toFixed(2)}`,
    interval: `${low.toFixed(2)} to ${high.toFixed(2)}`,
    outcome,
  };
}

const HEADINGS = {
  win: "Win",
  better: "Better",
  noise: "Noise",
  worse: "Worse",
  "not judged": "Not judged",
} as const;

/** For a pull request, or a file. */
export function markdownOf(comparison: Comparison): string {
  const { base, candidate, verdict, sentences } = comparison;
  const rows = rowsOf(comparison).map((row) => [
    row.measure,
    row.base,
    row.candidate,
    row.ratio,
    row.interval,
    row.outcome === "worse" || row.outcome === "better" ? `**${row.outcome}**` : row.outcome,
  ]);
  const notes = notesOf(comparison).map((note) => `- ${note}`);
  return `${[
    `### ${HEADINGS[verdict]}: ${titleOf(candidate)} against ${titleOf(base)}`,
    sentences.join(" "),
    table(["measure", base.label, candidate.label, "ratio", "interval", "outcome"], rows),
    notes.join("\n"),
  ].join("\n\n")}\n`;
}

function titleOf({ label, commit }: SideReport): string {
  const short = commit?.slice(0, 10);
  return short === undefined || label.startsWith(short) ? `\`${label}\`` : `\`${label}\` (${short})`;
}

/** What a reader must know to believe the table. */
export function notesOf({ paired, runs, base, allowed, notes }: Comparison): string[] {
  const settings = Object.entries(base.settings).filter(
    ([name, value]) => name !== "measured" && value !== null,
  );
  const how = paired
    ? `${runs.base} pairs, measured in turns`
    : `${runs.base} runs against ${runs.candidate}, measured one after the other`;
  return [
    `${base.settings["measured"]}: ${settings.map(([name, value]) => `${name} ${value}`).join(", ")}.`,
    `${how}. Ratios of medians, candidate over base; all intervals together hold in 95 of 100 comparisons.`,
    ...allowed.map((text) => `Compared although ${text}.`),
    ...notes,
  ];
}
