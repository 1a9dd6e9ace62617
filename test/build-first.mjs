import { SetupError } from "../scripts/setup-error.mjs";
import { doSteps, steps } from "../scripts/steps.mjs";

/**
 * Brings dist up to date before the tests of the whole system, so that `npx vitest run test/…` never tests
 * an old one. A type error does not stop them here, as it does not stop Vitest elsewhere; `npm test` refuses it.
 */
export default async function buildFirst() {
  try {
    await doSteps([steps.dist]);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
  }
}
