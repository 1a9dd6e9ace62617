#!/usr/bin/env node
// Makes a fresh clone ready: packages installed, dist built. `npm start`, `npm test` and the others run it
// first, so it is quiet and takes a fraction of a second when nothing is to be done.
//   --test   what only tests need as well (a Redis to start; see redis.mjs)
//   --bench  the benchmarks too, compiled to build/
// The syntax up to the import is old on purpose: an old Node must reach the message, not a syntax error.
import { readFileSync } from "node:fs";

const wanted = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).engines.node;
const [major, minor] = process.versions.node.split(".").map(Number);
const [majorMin, minorMin] = wanted.replace(">=", "").split(".").map(Number);

if (major < majorMin || (major === majorMin && minor < minorMin)) {
  console.error(
    `Dibs needs Node ${majorMin}.${minorMin} or later; this is ${process.version} (${process.execPath}).`,
  );
  console.error("Install a newer one from https://nodejs.org, or with your version manager, and try again.");
  process.exitCode = 1;
} else {
  const { runSteps, steps } = await import("./steps.mjs");
  const wanted = (flag, step) => (process.argv.includes(flag) ? [step] : []);
  await runSteps([
    steps.packages,
    steps.dist,
    ...wanted("--test", steps.redis),
    ...wanted("--bench", steps.bench),
  ]);
}
