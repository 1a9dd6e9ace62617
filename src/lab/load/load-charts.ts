import { type Line, lineChart } from "../chart/line-chart.ts";
import { LatencyHistogram } from "../histogram.ts";
import type { LoadPoint, LoadReport } from "./load-report.ts";

/** A chart of a run, as an SVG document of its own. */
export interface LoadChart {
  /** Kebab-case; names its file. */
  readonly name: string;
  readonly svg: string;
}

/** The charts of a report. Those for which nothing is known are left out. */
export function loadCharts(report: LoadReport): readonly LoadChart[] {
  const over = (title: string, unit: string, lines: readonly OverTime[], description: string) => {
    const known = lines.filter(({ of }) => report.timeline.some((point) => of(point) !== null));
    if (known.length === 0) return undefined;
    return lineChart({
      id: `chart-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`,
      title,
      description,
      x: { label: "seconds since the start" },
      y: { label: unit },
      lines: known.map(({ name, of }) => ({ name, points: pointsOf(report.timeline, of) })),
      height: 280,
    });
  };
  const charts = {
    percentiles: percentileChart(report),
    latency: over(
      `Latency over time: ${report.headline}`,
      "ms",
      LATENCY,
      "P50, P99 and maximum of each second.",
    ),
    throughput: over("Throughput", "tasks/s", THROUGHPUT, "Tasks claimed in each second."),
    depth: over("Depth of the queue", "tasks", DEPTH, "Tasks by state at the end of each second."),
    pauses: over(
      "Pauses of the server",
      "ms",
      PAUSES,
      "Longest GC pause and event-loop delay of each second.",
    ),
    memory: over("Memory of the server", "MB", MEMORY, "Resident memory at the end of each second."),
  };
  return Object.entries(charts).flatMap(([name, svg]) => (svg === undefined ? [] : [{ name, svg }]));
}

interface OverTime {
  readonly name: string;
  of(point: LoadPoint): number | null;
}

const inMs = (ns: number | null) => (ns === null ? null : ns / 1e6);
const LATENCY: readonly OverTime[] = [
  { name: "P50", of: ({ p50Ns }) => inMs(p50Ns) },
  { name: "P99", of: ({ p99Ns }) => inMs(p99Ns) },
  { name: "max", of: ({ maxNs }) => inMs(maxNs) },
];
const THROUGHPUT: readonly OverTime[] = [
  { name: "claimed", of: ({ claimed, seconds }) => claimed / seconds },
];
const DEPTH: readonly OverTime[] = [
  { name: "ready", of: ({ ready }) => ready },
  { name: "leased", of: ({ leased }) => leased },
  { name: "scheduled", of: ({ scheduled }) => scheduled },
];
const PAUSES: readonly OverTime[] = [
  { name: "GC pause", of: ({ gcPauseMaxMs }) => gcPauseMaxMs },
  { name: "event-loop delay", of: ({ eventLoopDelayMaxMs }) => eventLoopDelayMaxMs },
];
const MEMORY: readonly OverTime[] = [
  { name: "resident", of: ({ rssBytes }) => (rssBytes === null ? null : rssBytes / 1e6) },
];

/** The last second is seldom a whole one: what counts by the second would drop there for no reason. */
function pointsOf(timeline: readonly LoadPoint[], of: OverTime["of"]): Line["points"] {
  const whole = timeline.filter(({ seconds }) => seconds >= 0.5);
  return whole.map((point) => [point.second + point.seconds, of(point) ?? Number.NaN] as const);
}

const PERCENTILES = [
  0, 10, 25, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 96, 97, 98, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999,
];

/** How high a latency stands is told by how few are above it: 90 %, 99 % and 99.9 % are as far from each other. */
function percentileChart({ latencies, headline }: LoadReport): string {
  const timed = Object.entries(latencies).filter(([, { count }]) => count > 0);
  const order = timed.sort(([a], [b]) => Number(b === headline) - Number(a === headline));
  return lineChart({
    id: "chart-percentiles",
    title: "Percentiles",
    description: "For each kind of latency, what so many percent of the calls did not exceed.",
    x: {
      label: "percent of the calls that took no longer",
      scale: "log",
      ticks: [1, 10, 100, 1_000, 10_000, 100_000],
      format: (inverse) => `${Number((100 - 100 / inverse).toFixed(3))} %`,
    },
    y: { label: "ms" },
    lines: order.map(([name, latency]) => ({ name, points: percentilePoints(latency) })),
    height: 320,
  });
}

function percentilePoints({ histogram, count }: LoadReport["latencies"][string]): Line["points"] {
  const latency = LatencyHistogram.decode(histogram);
  return PERCENTILES.map((percentile) => [100 / (100 - percentile), percentile] as const)
    .filter(([inverse]) => inverse <= count)
    .map(([inverse, percentile]) => [inverse, latency.percentileNs(percentile) / 1e6] as const);
}
