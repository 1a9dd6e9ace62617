#!/usr/bin/env node
// Runs the scenarios of `dibs load` on the embedded engine, and on the Redis at the address given, keeps report and page
// of each in docs/reports/load/, and writes their figures into docs/load-testing.md. With --long also the scenarios of
// many minutes, and the gates; --only <scenario> runs one. Needs a quiet machine and a dist that is up to date.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { root } from "./steps.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { long: { type: "boolean", default: false }, only: { type: "string" } },
});
const [redis] = positionals;
const reports = `${root}/docs/reports/load`;
const document = `${root}/docs/load-testing.md`;
const SHORT = ["claim-latency", "burst", "many-workers", "prefill", "mixed-priorities", "delayed", "idle"];
const LONG = ["sustained", "soak"];

/** Keeps the report of a run as `<engine>-<name>`, the exit code aside: a missed threshold is a figure too. */
function load(engine, name, args) {
  const kept = `${reports}/${engine}-${name}`;
  const place = engine === "redis" ? [redis] : [];
  const all = [
    "load",
    args[0],
    ...place,
    ...args.slice(1),
    "--save",
    `${kept}.json`,
    "--report",
    `${kept}.html`,
  ];
  const { status } = spawnSync(process.execPath, [`${root}/dist/cli/main.js`, ...all], { stdio: "inherit" });
  if (status === 130 || status === 2) process.exit(status);
}

function measure(engine) {
  const names = values.only === undefined ? [...SHORT, ...(values.long ? LONG : [])] : [values.only];
  for (const name of names) load(engine, name, [name]);
  if (!values.long || values.only !== undefined) return;
  const base = `${reports}/${engine}-claim-latency.json`;
  load(engine, "gates", [
    "claim-latency",
    "-d",
    "11m",
    "--baseline",
    base,
    "--gate",
    "seed",
    "--gate",
    "dibs",
  ]);
}

const ms = (ns) => (ns / 1e6).toPrecision(3);

function row(engine, name) {
  const file = `${reports}/${engine}-${name}.json`;
  if (!existsSync(file)) return [];
  const report = JSON.parse(readFileSync(file, "utf8"));
  const { headline, latencies, settings, errors, timeouts, delivery, thresholds, target } = report;
  const { p50Ns, p99Ns, p999Ns, maxNs } = latencies[headline];
  const missed = thresholds.filter(({ verdict }) => verdict === "fail").map(({ what }) => what);
  const cells = [
    `\`${name}\``,
    target.store,
    Math.round(settings.perSecond).toLocaleString("en-US"),
    headline,
    ...[p50Ns, p99Ns, p999Ns, maxNs].map(ms),
    errors + timeouts,
    delivery.exact ? "yes" : "**no**",
    missed.length === 0 ? "held" : `**missed: ${missed.join(", ")}**`,
  ];
  return [`| ${cells.join(" | ")} |`];
}

function figures() {
  const head =
    "| scenario | store | tasks/s | latency | P50 | P99 | P99.9 | max, ms | errors | exact | thresholds |";
  const rows = [...SHORT, ...LONG].flatMap((name) =>
    ["embedded", "redis"].flatMap((engine) => row(engine, name)),
  );
  return [head, "|---|---|---|---|---|---|---|---|---|---|---|", ...rows].join("\n");
}

mkdirSync(reports, { recursive: true });
measure("embedded");
if (redis !== undefined) measure("redis");
const text = readFileSync(document, "utf8");
writeFileSync(
  document,
  text.replace(/(<!-- figures -->\n)[\s\S]*?(<!-- end of figures -->)/, `$1${figures()}\n$2`),
);
