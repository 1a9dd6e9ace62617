import { figure, table } from "../markdown.ts";
import type { LadderReport } from "./ladder-report.ts";
import {
  CLAIM_COLUMNS,
  CLAIM_LEGEND,
  cellName,
  cellsOf,
  type LadderColumn,
  READ_COLUMNS,
  sentencesOf,
} from "./ladder-words.ts";

export interface LadderMarkdownOptions {
  /** The command that made the report. */
  readonly command: string;
  /** Where the chart is, as seen from the Markdown file; absent: no chart. */
  readonly chart?: string;
}

/** The report as a part of a document: sentences, chart, what the rungs are, and a table for each cell. */
export function ladderMarkdown(report: LadderReport, { command, chart }: LadderMarkdownOptions): string {
  const sections = [
    `Made by \`${command}\`. ${environmentOf(report)}`,
    ...(report.isComplete ? [] : ["**Interrupted:** only the cells that were finished are here."]),
    ...(report.faults.length === 0 ? [] : [report.faults.map((fault) => `- **${fault}**`).join("\n")]),
    ...(chart === undefined
      ? []
      : [`![Latency and throughput of each rung, from scanning to Dibs](${chart})`]),
    sentencesOf(report)
      .map((sentence) => `- ${sentence}`)
      .join("\n"),
    rungTable(report),
    CLAIM_LEGEND,
    ...cellsOf(report).map((rows) => {
      return `**${cellName(rows[0] as (typeof rows)[0])}**\n\n${markdownTable(CLAIM_COLUMNS, rows)}`;
    }),
    ...(report.reads.length === 0
      ? []
      : [
          "**Reads by id through Dibs, the cache of reads always off and always on**",
          markdownTable(READ_COLUMNS, report.reads),
        ]),
  ];
  return sections.join("\n\n");
}

function rungTable({ rungs }: LadderReport): string {
  const yes = (is: boolean) => (is ? "yes" : "no");
  return table(
    ["rung", "what is new", "batch", "ordered", "hands out once"],
    rungs.map(({ name, what, batch, isOrdered, isSafe }) => [
      name,
      what,
      `${batch}`,
      yes(isOrdered),
      yes(isSafe),
    ]),
  );
}

function markdownTable<Row>(columns: readonly LadderColumn<Row>[], rows: readonly Row[]): string {
  return table(
    columns.map(({ title }) => title),
    rows.map((row) => columns.map((column) => column.value(row))),
  );
}

function environmentOf({ environment: on, redis, parameters, startedAt, seconds }: LadderReport): string {
  const { repeats, secondsPerTrial, payloadBytes } = parameters;
  const commit =
    on.commit === null ? "" : `, commit ${on.commit.slice(0, 12)}${on.dirty ? " with changes" : ""}`;
  const share = [
    `load ${figure(on.load1)} at the start`,
    ...(on.busyPercent === undefined ? [] : [`cores busy ${figure(on.busyPercent)} %`]),
    ...(on.stealPercent === undefined ? [] : [`steal ${figure(on.stealPercent)} %`]),
  ];
  return (
    `${new Date(startedAt).toISOString()}, ${figure(seconds)} s: Dibs ${on.dibs}${commit}, ${redis.version}, Node ${on.node}, ` +
    `${on.cores} × ${on.cpuModel}; ${share.join(", ")}. Medians of ${repeats} repetitions of ${secondsPerTrial} s, ` +
    `payloads of ${payloadBytes} bytes, all rungs in turn.`
  );
}
