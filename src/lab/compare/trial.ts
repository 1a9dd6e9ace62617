import type { ConnectOptions } from "../../connect.ts";
import { Child } from "../child.ts";
import type { RunFigures } from "./figures.ts";

/** What a trial measures. */
export interface TrialSpec {
  /** `index.js` of the build under test. */
  readonly entry: string;
  /** Where the tasks are, as `connect` takes it. */
  readonly place: string;
  readonly options: ConnectOptions;
  readonly queue: string;
  /** Callers, each with one call under way. */
  readonly concurrency: number;
  /** Tasks that wait in the queue beside those that are worked on. */
  readonly depth: number;
  readonly warmupSeconds: number;
}

export interface TrialEnd {
  readonly figures: RunFigures;
  /** The first five different messages of what failed. */
  readonly failures: readonly string[];
}

/** What the process of a trial does: see trial-process.ts. */
export type TrialDuties = {
  /** Opens, fills and warms up. */
  start(spec: TrialSpec): Promise<void>;
  /** Measures for so many seconds; what it measures is added up. */
  measure(seconds: number): Promise<void>;
  finish(_: undefined): Promise<TrialEnd>;
};
export type Trial = Child<TrialDuties>;

/** A fresh process, warmed up, that measures when it is told and rests otherwise. @throws {Error} when it cannot. */
export async function startTrial(spec: TrialSpec): Promise<Trial> {
  const trial = Child.start<TrialDuties>(new URL("./trial-process.js", import.meta.url), {
    execArgv: ["--no-warnings"],
  });
  try {
    await trial.call("start", spec);
    return trial;
  } catch (error) {
    await trial.kill();
    throw error;
  }
}
