import { checkLoadReport, type LoadReport } from "../../src/lab/load/load-report.ts";
import { type CommandEnd, dibs, jsonLines } from "../command.ts";

export interface Loaded extends CommandEnd {
  readonly report: LoadReport;
}

/** Runs `dibs load` to its end, as a program that reads its JSON would. */
export async function load(...args: readonly string[]): Promise<Loaded> {
  const end = await dibs(["load", ...args, "--json"]);
  const [report] = jsonLines(end.stdout);
  if (report === undefined) throw new Error(`There is no report: exit ${end.code}, ${end.stderr}`);
  return { ...end, report: checkLoadReport(report) };
}

/** Short, slow enough for a busy machine, and judged by what no machine's speed decides. */
export const GENTLE = ["-d", "1s", "--rate", "60", "--threshold", "errors<=0"] as const;
