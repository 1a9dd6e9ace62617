import type { Report, SeriesReport } from "./report.ts";
import { type Spread, spreadOf } from "./statistics.ts";

type RepetitionReport = SeriesReport["repetitions"][number];
type Row = readonly string[];

/** A report for people: medians of the repetitions, with the lowest and highest where they matter. */
export function markdownOf(report: Report): string {
  const sections = [
    `# ${report.name}`,
    report.question,
    `*What would change our mind:* ${report.changesOurMind}`,
    targetTable(report),
    latencyTable(report.series),
    rateTable(report.series),
    valueTable(report.series),
    comparisonTable(report),
    processTable(report.series),
    auditLines(report.series),
    report.notes.map((note) => `- ${note}`).join("\n"),
    environmentLines(report),
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/** A Markdown table; nothing when there are no rows. */
export function table(head: Row, rows: readonly Row[]): string {
  if (rows.length === 0) return "";
  const line = (cells: Row) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Three significant digits, thousands apart: 0.0123, 4.56, 789, 12,300. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const rounded = Number(value.toPrecision(3));
  return rounded.toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** A duration in the unit that suits it. */
export function duration(ns: number): string {
  if (ns < 1e3) return `${figure(ns)} ns`;
  if (ns < 1e6) return `${figure(ns / 1e3)} µs`;
  if (ns < 1e9) return `${figure(ns / 1e6)} ms`;
  return `${figure(ns / 1e9)} s`;
}

function withSpread({ median, min, max }: Spread, format: (value: number) => string = figure): string {
  return min === max || Number.isNaN(median)
    ? format(median)
    : `${format(median)} (${format(min)}–${format(max)})`;
}

function targetTable({ targets }: Report): string {
  const sign = { lower: "≤", higher: "≥" };
  const verdicts = { goal: "goal reached", must: "must holds, goal missed", missed: "**missed**" };
  return table(
    ["target", "must", "goal", "measured", "verdict"],
    targets.map(({ what, unit, better, must, goal, measured, min = measured, max = measured, verdict }) => [
      what,
      must === undefined ? "–" : `${sign[better]} ${figure(must)} ${unit}`,
      `${sign[better]} ${figure(goal)} ${unit}`,
      `${withSpread({ median: measured, min, max })} ${unit}`,
      verdicts[verdict],
    ]),
  );
}

function latencyTable(series: SeriesReport[]): string {
  const rows = series.flatMap(({ name, repetitions }) =>
    namesIn(repetitions, (repetition) => repetition.latencies).map((timed) => {
      const over = (pick: (latency: RepetitionReport["latencies"][string]) => number) => {
        return spreadOf(repetitions.flatMap(({ latencies }) => latencies[timed] ?? []).map(pick));
      };
      return [
        name,
        timed,
        withSpread(
          over((latency) => latency.p50Ns),
          duration,
        ),
        duration(over((latency) => latency.p90Ns).median),
        withSpread(
          over((latency) => latency.p99Ns),
          duration,
        ),
        duration(over((latency) => latency.p999Ns).median),
        duration(over((latency) => latency.maxNs).max),
        figure(over((latency) => latency.count).median),
      ];
    }),
  );
  return table(["candidate", "timed", "P50", "P90", "P99", "P99.9", "max", "samples"], rows);
}

function rateTable(series: SeriesReport[]): string {
  const rows = series.map(({ name, repetitions }) => [
    name,
    withSpread(spreadOf(repetitions.map(({ perSecond }) => perSecond))),
    figure(repetitions.reduce((sum, { errors }) => sum + errors, 0)),
    withSpread(spreadOf(repetitions.map(({ machine }) => machine?.busyPercent ?? Number.NaN))),
    withSpread(spreadOf(repetitions.map(({ machine }) => machine?.stealPercent ?? Number.NaN))),
  ]);
  return table(["candidate", "per second", "errors", "machine busy %", "steal %"], rows);
}

function valueTable(series: SeriesReport[]): string {
  const rows = series.flatMap(({ name, repetitions }) =>
    namesIn(repetitions, ({ values }) => values).map((valueName) => [
      name,
      valueName,
      withSpread(spreadOf(repetitions.flatMap(({ values }) => values[valueName] ?? []))),
    ]),
  );
  return table(["candidate", "value", "measured"], rows);
}

function comparisonTable({ comparisons }: Report): string {
  return table(
    ["measure", "candidate", "baseline", "ratio", "each repetition"],
    comparisons.map(({ measure, candidate, baseline, perRepetition, ...spread }) => [
      measure,
      candidate,
      baseline,
      withSpread(spread),
      perRepetition.map(figure).join(", "),
    ]),
  );
}

function processTable(series: SeriesReport[]): string {
  const rows = series.flatMap(({ name, repetitions }) => {
    const seen = repetitions.flatMap(({ process }) => process ?? []);
    if (seen.length === 0) return [];
    const perCpuSecond = repetitions.flatMap(({ process, operations, seconds }) => {
      return process === undefined ? [] : operations / (process.cpu * seconds);
    });
    const over = (pick: (reading: (typeof seen)[number]) => number) => spreadOf(seen.map(pick));
    return [
      [
        name,
        figure(over(({ cpu }) => cpu).median),
        withSpread(spreadOf(perCpuSecond)),
        figure(over(({ gcCount, seconds }) => gcCount / seconds).median),
        withSpread(over(({ gcPauseMaxMs }) => gcPauseMaxMs)),
        withSpread(over(({ eventLoopDelayP99Ms }) => eventLoopDelayP99Ms)),
        figure(over(({ rssBytesMax }) => rssBytesMax).max / 1e6),
      ],
    ];
  });
  return table(
    [
      "process of",
      "cores used",
      "per CPU second",
      "collections/s",
      "longest GC pause, ms",
      "loop delay P99, ms",
      "RSS, MB",
    ],
    rows,
  );
}

function auditLines(series: SeriesReport[]): string {
  const audits = series.flatMap(({ repetitions }) => repetitions.flatMap(({ delivery }) => delivery ?? []));
  if (audits.length === 0) return "";
  const total = (pick: (audit: (typeof audits)[number]) => number) => {
    return audits.reduce((sum, audit) => sum + pick(audit), 0).toLocaleString("en-US");
  };
  const exact = audits.filter((audit) => audit.exact).length;
  return (
    `Delivery: ${exact} of ${audits.length} audits exact (${total((audit) => audit.enqueued)} tasks enqueued, ` +
    `${total((audit) => audit.claimed)} claimed, ${total((audit) => audit.completed)} completed, none lost, none ` +
    "doubled); in each, a planted double and a planted loss were caught."
  );
}

function environmentLines({ environment: on, parameters, startedAt, seconds }: Report): string {
  const commit = on.commit === null ? "unknown commit" : `commit ${on.commit.slice(0, 12)}`;
  const load = [
    `load ${figure(on.load1)} at the start`,
    ...(on.busyPercent === undefined ? [] : [`cores busy ${figure(on.busyPercent)} %`]),
    ...(on.stealPercent === undefined ? [] : [`steal ${figure(on.stealPercent)} %`]),
  ];
  return [
    `${new Date(startedAt).toISOString()}, ${figure(seconds)} s. Dibs ${on.dibs}, ${commit}${on.dirty ? " with changes" : ""}.`,
    `Node ${on.node} (V8 ${on.v8}), ${on.os}, ${on.cores} × ${on.cpuModel}, ${figure(on.memoryBytes / 1e9)} GB; ${load.join(", ")}.`,
    `Parameters: ${Object.entries(parameters)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ")}.`,
    "Medians of the repetitions, with the lowest and highest in brackets; ratios are taken inside a repetition.",
  ].join("\n");
}

/** Every name that some repetition uses, in order of first use. */
function namesIn(
  repetitions: readonly RepetitionReport[],
  pick: (repetition: RepetitionReport) => Readonly<Record<string, unknown>>,
): string[] {
  return [...new Set(repetitions.flatMap((repetition) => Object.keys(pick(repetition))))];
}
