import { here } from "./here.js";

/** Ends the iteration, or the run when it is said in `setup`. */
export function fail(message) {
  throw new Error(message);
}

export function sleep(seconds) {
  here().outsideInit("sleep");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

/** One sample of `checks` for each. */
export function check(value, sets) {
  const outcomes = Object.values(sets).map((holds) => Boolean(holds(value)));
  for (const outcome of outcomes) here().emit("checks", outcome ? 1 : 0);
  return outcomes.every(Boolean);
}
