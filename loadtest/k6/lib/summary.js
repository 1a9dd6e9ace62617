import { SLICES } from "./dibs.js";
import { takesOver, url } from "./settings.js";

/**
 * @typedef {{ type: string, values: Record<string, number>, thresholds?: Record<string, { ok: boolean }> }} Metric
 * @typedef {{ metrics: Record<string, Metric>, state: { testRunDurationMs: number }, setup_data?: Partial<import("./lifecycle.js").Run> }} Data
 */

/** For `summaryTrendStats`: without P99 in it k6 does not tell it. */
export const trendStats = ["count", "avg", "p(50)", "p(90)", "p(95)", "p(99)", "p(99.9)", "max"];

// k6 tells the values of a tagged part of a metric only where a threshold is set on it. These are for that.
const TOLD = ["max>=0"];
const COUNTED = ["count>=0"];
const ALWAYS = [...TOLD, ...COUNTED];

/**
 * Shows parts of a Trend: `partsOf("queue_wait", "priority", [0, 5, 9])`.
 *
 * @param {string} trend
 * @param {string} tag
 * @param {(string | number)[]} values
 */
export const partsOf = (trend, tag, values) =>
  Object.fromEntries(values.map((value) => [`${trend}{${tag}:${value}}`, TOLD]));

/** Shows each tenth of the run. */
export const sliceThresholds = Object.fromEntries(
  Array.from({ length: SLICES }, (_, slice) => [
    [`claim_duration{slice:${slice}}`, TOLD],
    [`tasks_claimed{slice:${slice}}`, COUNTED],
  ]).flat(),
);

/**
 * What a script's `handleSummary` answers: one line of JSON on stdout, for `dibs compare` and others, and a table
 * on stderr, for whoever ran it.
 *
 * @param {string} script
 * @param {Data} data
 */
export function summarize(script, data) {
  if (Array.isArray(data.metrics) || data.metrics === undefined)
    throw new Error("Expected k6's ordinary summary: run it without --new-machine-readable-summary");
  const summary = summaryOf(script, data);
  return { stdout: `\n${JSON.stringify(summary)}\n`, stderr: `\n${tableOf(summary)}\n` };
}

/**
 * @param {string} script
 * @param {Data} data
 */
function summaryOf(script, { metrics, state, setup_data }) {
  const run = setup_data ?? {}; // There is none when the setup failed.
  const seconds = valueIn(metrics, "load_seconds", "value") || state.testRunDurationMs / 1000;
  const claimed = countOf(metrics, "tasks_claimed");
  const thresholds = thresholdsOf(metrics);
  const tasks = {
    enqueued: countOf(metrics, "tasks_enqueued"),
    claimed,
    completed: countOf(metrics, "tasks_completed"),
    reclaimed: countOf(metrics, "tasks_reclaimed"),
    left: countOf(metrics, "tasks_left"),
  };
  return {
    format: "dibs-k6-summary",
    version: 1,
    script,
    url,
    protocol: run.protocol ?? null,
    queue: run.queue ?? null,
    startedAt: run.startedAt ?? null,
    seconds,
    vus: valueIn(metrics, "vus_max", "max"),
    operations: claimed,
    perSecond: claimed / seconds,
    requests: countOf(metrics, "http_reqs"),
    errors: valueIn(metrics, "http_req_failed", "passes"),
    tasks: { ...tasks, lost: takesOver ? null : tasks.enqueued - tasks.completed - tasks.left },
    emptyClaims: countOf(metrics, "claims_empty"),
    latencies: latenciesOf(metrics),
    slices: slicesOf(metrics, seconds / SLICES),
    thresholds,
    passed: thresholds.every(({ ok }) => ok),
  };
}

/** @typedef {ReturnType<typeof summaryOf>} Summary */

/**
 * @param {Record<string, Metric>} metrics
 * @param {string} name
 * @param {string} value
 */
function valueIn(metrics, name, value) {
  return metrics[name]?.values[value] ?? 0;
}

/**
 * @param {Record<string, Metric>} metrics
 * @param {string} name
 */
const countOf = (metrics, name) => valueIn(metrics, name, "count");

/**
 * Each Trend of ours that has values, by what was timed: `claim_duration` as `claim`.
 *
 * @param {Record<string, Metric>} metrics
 */
function latenciesOf(metrics) {
  const timed = Object.keys(metrics).filter((name) => metrics[name]?.type === "trend" && !isOther(name));
  const measured = timed.filter((name) => countOf(metrics, name) > 0).sort();
  return Object.fromEntries(
    measured.map((name) => [name.replace(/_duration$/, ""), latencyOf(metrics, name)]),
  );
}

/** Those of k6 itself, and the tenths of the run. */
const isOther = (/** @type {string} */ name) => /^(http|ws|grpc|iteration|group)_|\{slice:/.test(name);

/**
 * k6 counts milliseconds; here nanoseconds, as in the reports of the lab.
 *
 * @param {Record<string, Metric>} metrics
 * @param {string} name
 */
function latencyOf(metrics, name) {
  const ns = (/** @type {string} */ value) => Math.round(valueIn(metrics, name, value) * 1e6);
  return {
    count: countOf(metrics, name),
    meanNs: ns("avg"),
    p50Ns: ns("p(50)"),
    p90Ns: ns("p(90)"),
    p95Ns: ns("p(95)"),
    p99Ns: ns("p(99)"),
    p999Ns: ns("p(99.9)"),
    maxNs: ns("max"),
  };
}

/**
 * The tenths of the run, as far as something was claimed in them.
 *
 * @param {Record<string, Metric>} metrics
 * @param {number} seconds Of one.
 */
function slicesOf(metrics, seconds) {
  return Array.from({ length: SLICES }, (_, slice) => {
    const operations = countOf(metrics, `tasks_claimed{slice:${slice}}`);
    const latencies = { claim: latencyOf(metrics, `claim_duration{slice:${slice}}`) };
    return { slice, seconds, operations, perSecond: operations / seconds, latencies };
  }).filter(({ operations }) => operations > 0);
}

/** @param {Record<string, Metric>} metrics */
function thresholdsOf(metrics) {
  return Object.entries(metrics)
    .flatMap(([metric, { thresholds = {} }]) =>
      Object.entries(thresholds).map(([expression, { ok }]) => ({ metric, expression, ok })),
    )
    .filter(({ expression }) => !ALWAYS.includes(expression));
}

/** @param {Summary} summary */
function tableOf(summary) {
  const { tasks, latencies, thresholds } = summary;
  const width = Math.max(...Object.keys(latencies).map((name) => name.length), 10);
  const row = (/** @type {string} */ name, /** @type {string[]} */ cells) =>
    `  ${name.padEnd(width)}${cells.map((cell) => cell.padStart(11)).join("")}`;
  const ms = (/** @type {number} */ ns) => `${(ns / 1e6).toFixed(2)} ms`;
  return [
    `  ${summary.script}: ${summary.vus} VUs, ${summary.seconds.toFixed(1)} s, ${summary.url}, queue ${summary.queue}`,
    "",
    row("", ["calls", "P50", "P95", "P99", "max"]),
    ...Object.entries(latencies).map(([name, { count, p50Ns, p95Ns, p99Ns, maxNs }]) =>
      row(name.replace(/_/g, " "), [String(count), ...[p50Ns, p95Ns, p99Ns, maxNs].map(ms)]),
    ),
    "",
    `  ${tasks.enqueued} enqueued, ${tasks.claimed} claimed (${summary.perSecond.toFixed(0)}/s), ` +
      `${tasks.completed} completed, ${tasks.left} left, ${tasks.lost ?? "?"} lost`,
    `  ${summary.emptyClaims} claims came back empty, ${tasks.reclaimed} tasks were claimed again`,
    `  ${summary.errors} of ${summary.requests} requests failed`,
    "",
    ...thresholds.map(
      ({ metric, expression, ok }) => `  ${ok ? "met   " : "MISSED"}  ${metric} ${expression}`,
    ),
  ].join("\n");
}
