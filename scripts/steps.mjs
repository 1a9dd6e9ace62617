// The steps of set-up. Each knows by itself whether it is done, and does nothing then. What is to be done is
// done under a lock, because `npm start` in one terminal and `npm test` in another may both be first.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { hasRedis, installRedis } from "./redis.mjs";
import { SetupError } from "./setup-error.mjs";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const inRoot = (...parts) => join(root, ...parts);
const say = (line) => process.stderr.write(`dibs: ${line}\n`);

/** @typedef {{ title: string, isDone(): boolean, run(): void }} Step */

/** @type {Record<"packages" | "dist" | "bench" | "redis", Step>} */
export const steps = {
  packages: { title: "Installing packages (npm ci)", isDone: packagesMatchLock, run: installPackages },
  dist: buildStep({ project: "tsconfig.build.json", sources: ["src"], base: "src", out: "dist" }),
  // The benchmarks start the same Redis servers as the tests.
  bench: buildStep({
    project: "tsconfig.bench.json",
    sources: ["src", "bench", "test/redis/servers"],
    base: ".",
    out: "build",
  }),
  redis: { title: "Installing Redis (apt-get)", isDone: hasRedis, run: installRedis },
};

/** Runs the steps that are not done; ends the process with a message when one fails. */
export async function runSteps(wanted) {
  try {
    await doSteps(wanted);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exit(1);
  }
}

/** As {@link runSteps}, but throws. */
export async function doSteps(wanted) {
  if (wanted.every((step) => step.isDone())) return;
  const unlock = await lock();
  try {
    for (const step of wanted) if (!step.isDone()) runStep(step); // Another process may just have done it.
  } finally {
    unlock();
  }
}

function runStep(step) {
  const start = performance.now();
  say(`${step.title} …`);
  step.run();
  say(`… done in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

// Packages. npm writes node_modules/.package-lock.json as the last act of an install: it says what is there.

function packagesMatchLock() {
  const installed = readJson(inRoot("node_modules", ".package-lock.json"))?.packages;
  if (installed === undefined) return false;
  return Object.entries(readJson(inRoot("package-lock.json")).packages).every(([path, locked]) => {
    if (path === "") return true;
    const present = installed[path];
    // An optional package for another platform is rightly absent.
    if (present === undefined) return locked.optional === true;
    const isSame = locked.integrity === undefined || present.integrity === locked.integrity;
    return isSame && present.version === locked.version;
  });
}

function installPackages() {
  const npm = npmCommand();
  const result = spawnSync(npm.command, [...npm.args, "ci", "--include=dev", "--no-audit", "--no-fund"], {
    cwd: root,
    encoding: "utf8",
    shell: npm.shell,
  });
  if (result.status === 0) return;
  const isNetwork = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/.test(result.stderr);
  const hint = isNetwork
    ? "npm could not reach its registry (see `npm config get registry`): check the network or the proxy"
    : "Installing the packages failed: see npm's words above";
  throw new SetupError(`npm said:\n${wordsOf(result)}\n\n${hint}, then try again.`);
}

/** npm's complaint without the manual page that it prints after some. */
function wordsOf({ error, stdout, stderr }) {
  const text = `${error?.message ?? ""}${stdout ?? ""}${stderr ?? ""}`;
  return text.split(/^npm error Usage:/m)[0].trim();
}

/** The npm that started this script, else the one on PATH (a .cmd on Windows, which needs a shell). */
function npmCommand() {
  const running = process.env.npm_execpath;
  if (running?.endsWith("npm-cli.js")) return { command: process.execPath, args: [running], shell: false };
  return { command: "npm", args: [], shell: process.platform === "win32" };
}

// Builds. The stamp in the output is a hash of all that it was made from; contents, not times, because a
// checkout gives every file a new time.

/** @returns {Step} */
function buildStep({ project, sources, base, out }) {
  const stamp = inRoot(out, ".stamp");
  return {
    title: `Building ${out}`,
    isDone: () => existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint(sources),
    run: () => {
      const hash = fingerprint(sources); // Before compiling: what changes meanwhile is seen next time.
      const fresh = inRoot(`${out}.new`);
      rmSync(fresh, { recursive: true, force: true });
      const errors = compile(project, fresh);
      copyAssets(inRoot(base), fresh);
      const command = join(fresh, relative(base, "src"), "cli", "main.js");
      if (existsSync(command)) chmodSync(command, 0o755);
      // What has type errors may still run, for one who tries something out; without a stamp it is never done.
      if (errors === undefined) writeFileSync(join(fresh, ".stamp"), hash);
      replaceFolder(inRoot(out), fresh);
      if (errors !== undefined) throw new SetupError(`The build has errors:\n${errors}`);
    },
  };
}

/** What the compiler found wrong; undefined when nothing. */
function compile(project, out) {
  const tsc = inRoot("node_modules", "typescript", "bin", "tsc");
  const result = spawnSync(process.execPath, [tsc, "-p", project, "--outDir", out], {
    cwd: root,
    encoding: "utf8",
  });
  if (!existsSync(out)) throw new SetupError(`The build failed:\n${result.stdout}${result.stderr}`);
  return result.status === 0 ? undefined : `${result.stdout}${result.stderr}`.trim();
}

/** Copies what the compiler leaves behind: scripts of the engine's language, static pages. */
function copyAssets(base, out) {
  for (const path of filesOf("src")) {
    if (path.endsWith(".ts")) continue;
    const target = join(out, relative(base, inRoot(path)));
    mkdirSync(dirname(target), { recursive: true });
    cpSync(inRoot(path), target);
  }
}

/** A reader of the old folder keeps what it has open; the new one is never seen half-written. */
function replaceFolder(target, fresh) {
  const old = `${target}.old`;
  rmSync(old, { recursive: true, force: true });
  if (existsSync(target)) renameSync(target, old);
  renameSync(fresh, target);
  rmSync(old, { recursive: true, force: true });
}

function fingerprint(sources) {
  const hash = createHash("sha256");
  const settings = readdirSync(root).filter((name) =>
    /^tsconfig.*\.json$|^package(-lock)?\.json$/.test(name),
  );
  const files = [...settings, ...sources.flatMap(filesOf).filter((path) => !path.endsWith(".test.ts"))];
  for (const path of files.sort())
    hash
      .update(`${path}\0`)
      .update(readFileSync(inRoot(path)))
      .update("\0");
  return hash.digest("hex");
}

function filesOf(folder) {
  return readdirSync(inRoot(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
}

function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

// The lock: a file with the holder's pid. A dead holder's file is moved aside and checked before it counts
// as gone, so that of several who saw it only one gets it.

async function lock() {
  const path = inRoot(".setup.lock");
  let waited = 0;
  while (!tryLock(path)) {
    const holder = heldBy(path);
    if (holder !== undefined && !isAlive(holder)) setAside(path, holder);
    else {
      if (waited === 0) say("Waiting for another set-up …");
      if (waited > 600_000)
        throw new SetupError(`Another set-up (pid ${holder}) has held ${path} for ten minutes.`);
      waited += 100;
      await wait(100);
    }
  }
  return () => rmSync(path, { force: true });
}

function tryLock(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** The pid in the lock file; undefined while its maker has not written it, or when the file has gone. */
function heldBy(path) {
  try {
    return Number(readFileSync(path, "utf8")) || undefined;
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function setAside(path, holder) {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    if (heldBy(aside) !== holder) linkSync(aside, path); // A live one slipped in between: put it back.
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "EEXIST") throw error; // Someone else was faster.
  } finally {
    rmSync(aside, { force: true });
  }
}
