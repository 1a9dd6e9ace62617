#!/usr/bin/env node
// A small stand-in for `k6 run [-q] [-u N] [-d TIME] script.js`, made for the scripts of this project: their default
// function, setup, teardown and summary run as they stand, against a real server. k6 itself is no dependency.
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { metricsOf } from "./figures.js";

const EXIT = { thresholds: 99, script: 107 };
const BANNER = "\n         /\\      k6 stand-in\n    /\\  /  \\\n   /  \\/    \\\n  / ________ \\\n";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    vus: { type: "string", short: "u" },
    duration: { type: "string", short: "d" },
    quiet: { type: "boolean", short: "q" },
  },
});
const [verb, path] = positionals;
if (verb !== "run" || path === undefined) throw new Error("Usage: run [-q] [-u N] [-d TIME] script.js");

/** The folder of scripts, in a place where `import "k6"` finds the stand-in. */
const folder = await mkdtemp(join(tmpdir(), "dibs-k6-"));
const standIn = join(folder, "node_modules/k6");
await cp(dirname(resolve(path)), folder, { recursive: true });
await cp(fileURLToPath(new URL("stand-in", import.meta.url)), standIn, { recursive: true });
await writeFile(join(folder, "package.json"), '{ "type": "module" }');

const samples = [];
const users = [];
try {
  process.exitCode = await run();
} catch (error) {
  process.stderr.write(`level=error msg=${JSON.stringify(error.message)}\n`);
  process.exitCode = EXIT.script;
} finally {
  await Promise.all(users.map(({ worker }) => worker.terminate()));
  await rm(folder, { recursive: true, force: true });
}

async function run() {
  if (!flags.quiet) process.stdout.write(`${BANNER}\n  execution: local\n     script: ${path}\n\n`);
  const first = await user();
  const { options, declared } = first.ready;
  const startedAt = Date.now();
  const data = await first.does({ verb: "setup" });
  await Promise.all(
    Object.entries(scenariosOf(options)).map(([name, scenario]) => load(name, scenario, data)),
  );
  await first.does({ verb: "teardown", data });
  samples.push(["vus_max", users.length - 1, {}]);
  const testRunDurationMs = Date.now() - startedAt;
  const metrics = metricsOf({
    samples,
    declared,
    thresholds: options.thresholds ?? {},
    seconds: testRunDurationMs / 1000,
    stats: options.summaryTrendStats ?? ["avg", "min", "med", "max", "p(90)", "p(95)"],
  });
  const state = { testRunDurationMs, isStdOutTTY: false, isStdErrTTY: false };
  const summary = await first.does({ verb: "summary", data: { metrics, state, setup_data: data } });
  await Promise.all(Object.entries(summary).map(([place, text]) => write(place, text)));
  const verdicts = Object.values(metrics).flatMap(({ thresholds = {} }) => Object.values(thresholds));
  return verdicts.every(({ ok }) => ok) ? 0 : EXIT.thresholds;
}

/** A new virtual user, its script loaded. */
async function user() {
  const script = join(folder, basename(path));
  const workerData = { script, id: users.length, standIn };
  const worker = new Worker(new URL("virtual-user.js", import.meta.url), { workerData });
  const next = () =>
    new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  const does = async (order) => {
    worker.postMessage(order);
    const { value, error, samples: emitted } = await next();
    for (const sample of emitted) samples.push(sample);
    if (error !== undefined) throw new Error(error);
    return value;
  };
  const made = { worker, does, ready: undefined };
  users.push(made);
  made.ready = await next();
  return made;
}

/** -u and -d put a scenario of their own in the place of those that a script has, as in k6. */
function scenariosOf(options) {
  if (flags.vus === undefined && flags.duration === undefined && options.scenarios !== undefined)
    return options.scenarios;
  const vus = Number(flags.vus ?? options.vus ?? 1);
  const duration = flags.duration ?? options.duration;
  if (duration === undefined) throw new Error("Expected a duration, in the script's options or by -d");
  return { default: { executor: "constant-vus", vus, duration } };
}

async function load(name, scenario, data) {
  const count = scenario.vus ?? scenario.preAllocatedVUs;
  const crew = await Promise.all(Array.from({ length: count }, user));
  const startedAt = Date.now() + millisecondsOf(scenario.startTime ?? "0s");
  await new Promise((resolve) => setTimeout(resolve, startedAt - Date.now()));
  const order = {
    verb: "iterate",
    name,
    scenario: { ...scenario, durationMs: millisecondsOf(scenario.duration ?? "0s") },
    startedAt,
    data,
    next: new Int32Array(new SharedArrayBuffer(4)),
  };
  await Promise.all(crew.map(({ does }) => does(order)));
}

function millisecondsOf(text) {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)];
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * units[unit], 0);
}

function write(place, text) {
  if (place !== "stdout" && place !== "stderr") return writeFile(place, text);
  return new Promise((resolve) => process[place].write(text, resolve));
}
