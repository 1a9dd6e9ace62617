import { readFile } from "node:fs/promises";
import { machineOf, versionsOf } from "../compare/bench-side.ts";
import { type Difference, disagreements, type Side } from "../compare/side.ts";
import type { Environment } from "../environment.ts";
import { checkLoadReport, type LoadReport, type LoadTargetReport } from "./load-report.ts";

/** The file is no baseline; the message names it. */
export class UnreadableBaseline extends Error {}

/** Reads what `--save` wrote. @throws {UnreadableBaseline} */
export async function readBaseline(path: string): Promise<LoadReport> {
  try {
    return checkLoadReport(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UnreadableBaseline(
      code === "ENOENT" ? `There is no baseline ${path}` : `${path} is no baseline: ${message}`,
    );
  }
}

/** What a run must share with its baseline. */
export interface Comparable {
  readonly scenario: string;
  readonly loop: "open" | "closed";
  readonly workers: number;
  readonly processes: number;
  readonly environment: Environment;
  readonly target: Omit<LoadTargetReport, "place">;
}

/** In what a run differs from the baseline that would make a verdict worthless, in words; `allow`: what may differ. */
export function differencesFrom(
  baseline: LoadReport,
  run: Comparable,
  allow: readonly Difference[],
): { readonly difference: Difference; readonly text: string }[] {
  const { workers, processes, loop } = baseline.settings;
  const before = { ...baseline, workers, processes, loop };
  return disagreements(sideOf("baseline", before), sideOf("run", run)).filter(
    ({ difference }) => !allow.includes(difference),
  );
}

function sideOf(label: string, run: Comparable): Side {
  const { store, durability, redisVersion, ownServer } = run.target;
  const { scenario, loop, workers, processes } = run;
  return {
    label,
    runs: [],
    machine: machineOf(run.environment),
    versions: { ...versionsOf(run.environment), redis: redisVersion },
    settings: { scenario, loop, workers, processes, store, durability, ownServer },
    commit: run.environment.commit,
    notes: [],
  };
}
