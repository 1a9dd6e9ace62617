import { type GateName, judgeGate } from "../../lab/load/gates.ts";
import type { Judgement, LoadReport } from "../../lab/load/load-report.ts";
import type { Scenario } from "../../lab/load/scenario.ts";
import { judgeThreshold, parseThreshold, type Threshold } from "../../lab/load/threshold.ts";
import { EXIT, type ExitCode } from "../exit.ts";

export interface JudgeFlags {
  readonly threshold?: readonly Threshold[];
  readonly gate?: readonly GateName[];
  readonly partial?: boolean;
}

/** The report with its verdicts. */
export function judgeLoad(
  report: LoadReport,
  scenario: Scenario,
  flags: JudgeFlags,
  baseline: LoadReport | undefined,
): LoadReport {
  const thresholds = flags.threshold ?? scenario.thresholds.map(parseThreshold);
  return {
    ...report,
    thresholds: thresholds.map((threshold) => judgeThreshold(threshold, report)),
    gates: (flags.gate ?? []).map((name) => ({ name, lines: [...judgeGate(name, report, baseline)] })),
  };
}

export function exitCodeOf(report: LoadReport, { threshold, partial }: JudgeFlags): ExitCode {
  const { thresholds, gates, delivery, errors, timeouts } = report;
  const lines = [...thresholds, ...gates.flatMap((gate) => gate.lines)];
  if (lines.some(({ verdict }) => verdict === "fail")) return EXIT.failed;
  // Calls that were never answered leave it open what became of their tasks.
  if (!delivery.exact) return errors + timeouts > 0 ? EXIT.incomplete : EXIT.failed;
  // A scenario's own thresholds may speak of what this place does not tell; whoever writes one wants it judged.
  const wanted = [...(threshold === undefined ? [] : thresholds), ...gates.flatMap((gate) => gate.lines)];
  return partial !== true && wanted.some(isOpen) ? EXIT.incomplete : EXIT.done;
}

function isOpen({ verdict }: Judgement): boolean {
  return verdict === "not judged";
}
