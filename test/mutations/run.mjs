#!/usr/bin/env node
// Shows that the tests see: applies each patch of `patches/`, one at a time, to a copy of the tree, runs the
// tests that it names, and fails when they pass all the same (a mutant survives) or the patch no longer fits.
//
//   npm run mutations                a sample of four, another one on each commit
//   npm run mutations -- i5 h16      those whose names begin so
//   DIBS_MUTATIONS=all npm run mutations
//   DIBS_MUTATIONS=10 npm run mutations
//
// A patch begins with lines for the reader and for this program:
//
//   Breaks: what it breaks, with the invariant, hazard, write or flush
//   Seen by: a test file, " > ", a part of the test's name; more lines for more tests
//
// It may change any file of src, scripts of the Redis engine too, and name any test of the projects below.
import { execFileSync, spawn } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PATCHES = join(ROOT, "test/mutations/patches");
const SAMPLE = 4;
/** Those whose tests see a change of src as it is, or build dist from it first. */
const PROJECTS = ["process", "redis"];
/** A mutant that hangs is one that is seen. */
const LIMIT_MS = 180_000;

const chosen = choose(
  readdirSync(PATCHES)
    .filter((name) => name.endsWith(".patch"))
    .sort(),
);
const scratch = mkdtempSync(join(tmpdir(), "dibs-mutations-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

copyTree();
const failures = [];
// A test that fails on the tree as it is would see every mutant.
for (const told of await baseline(chosen)) {
  process.stdout.write(`BROKEN    ${told}\n`);
  failures.push(told);
}
for (const name of chosen) {
  const verdict = await judge(name);
  process.stdout.write(`${verdict.seen ? "seen    " : "SURVIVED"}  ${name}  ${verdict.told}\n`);
  if (!verdict.seen) failures.push(name);
}
process.stdout.write(`${chosen.length} mutants, ${failures.length} not seen or not judged\n`);
process.exit(failures.length === 0 && chosen.length > 0 ? 0 : 1);

function choose(all) {
  const wanted = process.argv.slice(2);
  if (wanted.length > 0) return all.filter((name) => wanted.some((start) => name.startsWith(start)));
  const size = process.env.DIBS_MUTATIONS ?? String(SAMPLE);
  if (size === "all") return all;
  // The commit turns the wheel: in time every patch comes up.
  const start = Number.parseInt(commit().slice(0, 8), 16) % all.length;
  return [...all.slice(start), ...all.slice(0, start)]
    .filter((_, place) => place % stride(all, size) === 0)
    .slice(0, Number(size));
}

function stride(all, size) {
  return Math.max(1, Math.floor(all.length / Number(size)));
}

function commit() {
  return execFileSync("git", ["rev-parse", "HEAD"], { cwd: ROOT, encoding: "utf8" });
}

/** What git knows of, as it lies there now, changes and new files included. */
function copyTree() {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const files = execFileSync("git", list, { cwd: ROOT, encoding: "utf8" }).split("\0").filter(Boolean);
  for (const file of files) copyOne(file);
  symlinkSync(join(ROOT, "node_modules"), join(scratch, "node_modules"), "junction");
}

function copyOne(file) {
  mkdirSync(dirname(join(scratch, file)), { recursive: true });
  try {
    copyFileSync(join(ROOT, file), join(scratch, file));
  } catch (error) {
    // Removed in the work tree, and git does not know yet.
    if (error.code !== "ENOENT") throw error;
  }
}

async function baseline(names) {
  const byFile = new Map();
  for (const { file, name } of names.flatMap((each) => seenBy(readFileSync(join(PATCHES, each), "utf8"))))
    byFile.set(file, [...(byFile.get(file) ?? []), name]);
  const told = [];
  for (const [file, tests] of byFile) {
    const { passed, failed } = await run(file, tests);
    if (failed > 0 || passed === 0)
      told.push(`${file} on the tree as it is: ${passed} passed, ${failed} failed`);
  }
  return told;
}

async function judge(name) {
  const patch = join(PATCHES, name);
  const tests = seenBy(readFileSync(patch, "utf8"));
  if (tests.length === 0) return { seen: false, told: "its header names no test" };
  try {
    apply(patch);
  } catch (error) {
    return { seen: false, told: `no longer applies: ${String(error.stderr).trim()}` };
  }
  try {
    for (const { file, name } of tests) {
      const { passed, failed, killed } = await run(file, [name]);
      if (failed > 0 || killed) continue;
      const told = passed > 0 ? "passes" : "is no test, or cannot be run";
      return { seen: false, told: `${file} > ${name} ${told}` };
    }
    return { seen: true, told: `by ${tests.map(({ name }) => name).join("; ")}` };
  } finally {
    apply(patch, "--reverse");
  }
}

function apply(patch, ...options) {
  execFileSync("git", ["apply", "--whitespace=nowarn", ...options, patch], { cwd: scratch, stdio: "pipe" });
}

function seenBy(text) {
  return [...text.matchAll(/^Seen by: (\S+) > (.+)$/gm)].map(([, file, name]) => ({ file, name }));
}

/** Runs the tests of a file whose names contain one of `names`; how many passed and failed. */
async function run(file, names) {
  const report = join(scratch, "report.json");
  rmSync(report, { force: true });
  const pattern = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  const vitest = ["node_modules/vitest/vitest.mjs", "run", ...PROJECTS.map((name) => `--project=${name}`)];
  const told = ["--reporter=json", `--outputFile=${report}`];
  const child = spawn(process.execPath, [...vitest, ...told, file, "-t", pattern], {
    cwd: scratch,
    stdio: "ignore",
    env: { ...process.env, DIBS_DISK_RUNS: "40", DIBS_MODEL_RUNS: "40" },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  const signal = await new Promise((resolve) => child.once("exit", (_, killedBy) => resolve(killedBy)));
  clearTimeout(timer);
  return { ...counted(report), killed: signal === "SIGKILL" };
}

function counted(report) {
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
    return { passed: numPassedTests, failed: numFailedTests };
  } catch {
    return { passed: 0, failed: 0 };
  }
}
