#!/usr/bin/env node
// Builds dist anew, whether or not its sources changed.
import { rmSync } from "node:fs";
import { root, runSteps, steps } from "./steps.mjs";

rmSync(`${root}/dist`, { recursive: true, force: true });
await runSteps([steps.packages, steps.dist]);
