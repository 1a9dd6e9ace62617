import { element, type Markup, text } from "../chart/svg.ts";
import { loadCharts } from "./load-charts.ts";
import type { Judgement, LoadReport } from "./load-report.ts";

/**
 * A report as a page of its own: no network, no script, the JSON within it. Each figure carries the path of its
 * value in the JSON (`data-figure`), so that whoever doubts one can look it up, and a test does.
 */
export function reportPage(report: LoadReport): string {
  const body = [
    element("h1", {}, text(`dibs load ${report.scenario}`)),
    element("p", { class: "question" }, text(report.question)),
    ...verdict(report),
    section("Latency", latencyTable(report)),
    ...report.gates.map(({ name, lines }, n) =>
      section(`Gate ${name}`, judgements(lines, `gates.${n}.lines`)),
    ),
    ...(report.thresholds.length === 0
      ? []
      : [section("Thresholds", judgements(report.thresholds, "thresholds"))]),
    ...loadCharts(report).map(({ svg }) => element("figure", {}, svg as Markup)),
    section("The run", facts(RUN, report)),
    section("The server", facts(SERVER, report)),
    section("The generator", facts(GENERATOR, report)),
    section("Delivery", facts(DELIVERY, report)),
    ...notes(report),
  ];
  const page = element(
    "html",
    { lang: "en" },
    element(
      "head",
      {},
      element("meta", { charset: "utf-8" }, text("")),
      element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }, text("")),
      element("title", {}, text(`dibs load ${report.scenario}`)),
      element("style", {}, STYLE as Markup),
    ),
    element("body", {}, element("main", {}, ...body), dataOf(report)),
  );
  return `<!doctype html>\n${page.replaceAll("</meta>", "")}\n`;
}

/** The whole report; `<` is written so that nothing in it can end the element. */
function dataOf(report: LoadReport): Markup {
  const json = JSON.stringify(report).replaceAll("<", "\\u003c");
  return element("script", { type: "application/json", id: "report" }, json as Markup);
}

function section(title: string, ...content: readonly Markup[]): Markup {
  return element("section", {}, element("h2", {}, text(title)), ...content);
}

function verdict({ complete, generator, delivery, settings }: LoadReport): Markup[] {
  const lines = [
    ...(complete ? [] : ["Interrupted: the figures are those of the time before."]),
    ...(delivery.exact ? [] : ["Not every task is accounted for: see Delivery."]),
    ...(generator.limit === "generator"
      ? ["The generator, and not the server, was the limit: these latencies are upper bounds."]
      : []),
    ...(generator.limit === "server"
      ? [`The server did not keep up with ${Math.round(settings.perSecond ?? 0)} tasks a second.`]
      : []),
  ];
  return lines.map((line) => element("p", { class: "warning" }, text(line)));
}

/** How a value of the JSON is shown. */
interface Shown {
  readonly label: string;
  readonly path: string;
  readonly unit?: "ms" | "%" | "MB" | "/s" | "s";
  /** What the JSON's value is divided by. */
  readonly per?: number;
}

const COLUMNS: readonly Omit<Shown, "path">[] = [
  { label: "calls" },
  ...["P50", "P90", "P95", "P99", "P99.9", "max", "mean"].map((label) => ({
    label,
    unit: "ms" as const,
    per: 1e6,
  })),
];
const FIELDS = ["count", "p50Ns", "p90Ns", "p95Ns", "p99Ns", "p999Ns", "maxNs", "meanNs"];

function latencyTable(report: LoadReport): Markup {
  const head = ["", ...COLUMNS.map(({ label, unit }) => (unit === undefined ? label : `${label}, ${unit}`))];
  const rows = Object.keys(report.latencies).map((name) => [
    cell(text(name)),
    ...COLUMNS.map((column, n) =>
      figureCell(report, { ...column, path: `latencies.${name}.${FIELDS[n]}` }, false),
    ),
  ]);
  return table(head, rows);
}

function judgements(lines: readonly Judgement[], path: string): Markup {
  const rows = lines.map(({ what, figure, unit, bound, verdict: said, remark }, n) => [
    cell(text(what)),
    element(
      "td",
      figure === null ? {} : { "data-figure": `${path}.${n}.figure` },
      text(figure === null ? "–" : `${shown(figure)} ${unit}`.trim()),
    ),
    cell(text(bound)),
    element("td", { class: said.replace(" ", "-") }, text(said)),
    cell(text(remark)),
  ]);
  return table(["", "figure", "bound", "verdict", ""], rows);
}

const RUN: readonly Shown[] = [
  { label: "loop", path: "settings.loop" },
  { label: "tasks a second, intended", path: "settings.perSecond" },
  { label: "where the rate comes from", path: "settings.rateFrom" },
  { label: "saturation, tasks a second", path: "saturation.perSecond" },
  { label: "tasks claimed", path: "operations" },
  { label: "tasks a second", path: "perSecond" },
  { label: "measured for", path: "seconds", unit: "s" },
  { label: "workers", path: "settings.workers" },
  { label: "ready before the load", path: "settings.prefill" },
  { label: "payload, bytes", path: "settings.payloadBytes" },
  { label: "errors", path: "errors" },
  { label: "timeouts", path: "timeouts" },
  { label: "claims in vain", path: "empty" },
  { label: "claimed before their time", path: "early" },
  { label: "out of order", path: "order.outOfOrder" },
  { label: "claims whose order was checked", path: "order.claims" },
];
const SERVER: readonly Shown[] = [
  { label: "store", path: "target.store" },
  { label: "place", path: "target.place" },
  { label: "durability", path: "target.durability" },
  { label: "Redis", path: "target.redisVersion" },
  { label: "CPU, of one core", path: "server.cpu", unit: "%", per: 0.01 },
  { label: "memory at most", path: "server.rssBytesMax", unit: "MB", per: 1e6 },
  { label: "longest GC pause", path: "gcPauseMaxMs", unit: "ms" },
  { label: "event-loop delay P99", path: "eventLoopDelayP99Ms", unit: "ms" },
  { label: "machine busy", path: "machine.busyPercent", unit: "%" },
  { label: "taken by other machines", path: "machine.stealPercent", unit: "%" },
  { label: "processor", path: "environment.cpuModel" },
  { label: "cores", path: "environment.cores" },
  { label: "Node", path: "environment.node" },
  { label: "Dibs", path: "environment.dibs" },
  { label: "commit", path: "environment.commit" },
];
const GENERATOR: readonly Shown[] = [
  { label: "processes", path: "settings.processes" },
  { label: "calls left late, P50", path: "generator.lagP50Ms", unit: "ms" },
  { label: "calls left late, P99", path: "generator.lagP99Ms", unit: "ms" },
  { label: "calls left late, at most", path: "generator.lagMaxMs", unit: "ms" },
  { label: "calls that waited for a connection", path: "generator.heldBack" },
  { label: "calls that never left", path: "generator.unsent" },
  { label: "event loop busy", path: "generator.eventLoopUtilization", unit: "%", per: 0.01 },
  { label: "limit", path: "generator.limit" },
];
const DELIVERY: readonly Shown[] = [
  ...["enqueued", "claimed", "completed", "pending"].map((name) => ({
    label: name,
    path: `delivery.${name}`,
  })),
  ...["lost", "phantom", "doubled", "completedTwice", "unclaimed", "unknown", "reusedIds"].map((name) => ({
    label: name,
    path: `delivery.faults.${name}`,
  })),
];

function facts(all: readonly Shown[], report: LoadReport): Markup {
  const known = all.filter(({ path }) => valueAt(report, path) !== null);
  return table(
    [],
    known.map((fact) => [cell(text(fact.label)), figureCell(report, fact, true)]),
  );
}

function figureCell(report: LoadReport, { path, unit, per = 1 }: Shown, withUnit: boolean): Markup {
  const value = valueAt(report, path);
  if (typeof value !== "number") return element("td", { "data-figure": path }, text(String(value)));
  const suffix = withUnit && unit !== undefined ? ` ${unit}` : "";
  return element("td", { "data-figure": path, "data-per": per }, text(`${shown(value / per)}${suffix}`));
}

/** Null where a part of the path is not there. */
function valueAt(report: unknown, path: string): unknown {
  let value: unknown = report;
  for (const name of path.split(".")) {
    if (value === null || value === undefined) return null;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value ?? null;
}

/** Whole numbers whole, others with three digits that count. */
function shown(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1_000) return Math.round(value).toLocaleString("en-US");
  return Number(value.toPrecision(3)).toString();
}

function cell(content: Markup): Markup {
  return element("td", {}, content);
}

function table(head: readonly string[], rows: readonly (readonly Markup[])[]): Markup {
  const titles =
    head.length === 0
      ? []
      : [
          element(
            "thead",
            {},
            element("tr", {}, ...head.map((title) => element("th", { scope: "col" }, text(title)))),
          ),
        ];
  return element(
    "table",
    {},
    ...titles,
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row))),
  );
}

function notes(report: LoadReport): Markup[] {
  const lines = [...report.notes, ...report.failures];
  if (lines.length === 0) return [];
  return [section("To be known", element("ul", {}, ...lines.map((line) => element("li", {}, text(line)))))];
}

const STYLE = `
:root{color-scheme:light dark}
body{margin:0;font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff}
main{max-width:900px;margin:0 auto;padding:16px}
h1{font-size:24px}h2{font-size:17px;margin:28px 0 8px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
td,th{padding:3px 14px 3px 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}
figure{margin:20px 0}
.warning{padding:8px 12px;border-left:4px solid #d55e00;background:#fdf0e6}
.goal,.pass{color:#006b4a;font-weight:600}.fail{color:#b00020;font-weight:600}.not-judged{color:#7a5c00;font-weight:600}
@media (prefers-color-scheme:dark){
body{color:#e4e4e4;background:#16181c}td,th{border-color:#333}.warning{background:#33241a}
.goal,.pass{color:#4cc79a}.fail{color:#ff7a8a}.not-judged{color:#e0b94a}}
`;
