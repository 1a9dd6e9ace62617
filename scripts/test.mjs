#!/usr/bin/env node
// Runs the tests (arguments go to Vitest: a path, -t "name", …) and ends with the line `N passed, N failed`.
import { parseCLI, startVitest } from "vitest/node";

const { filter, options } = parseCLI(["vitest", "run", ...process.argv.slice(2)]);
const vitest = await startVitest("test", filter, { ...options, watch: false });

const count = { passed: 0, failed: 0, skipped: 0 };
for (const file of vitest.state.getTestModules()) {
  for (const test of file.children.allTests()) count[toldAs(test.result().state)] += 1;
  // A file that cannot be read, or a hook of a suite that throws, fails without a failed test.
  count.failed += file.errors().length;
  for (const suite of file.children.allSuites()) count.failed += suite.errors().length;
}
count.failed += vitest.state.getUnhandledErrors().length;

await vitest.close();
const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
const isGood = count.failed === 0 && count.passed > 0; // Nothing found is nothing proven.
process.stdout.write(`${count.passed} passed, ${count.failed} failed${skipped}\n`, () => {
  process.exit(process.exitCode || (isGood ? 0 : 1));
});

/** A test that never came to run is not one that passed. */
function toldAs(state) {
  return state === "pending" ? "failed" : state;
}
