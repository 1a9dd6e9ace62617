import { type Target, verdictOf } from "../target.ts";
import {
  claimLatency,
  judged,
  type Line,
  memoryLine,
  notJudged,
  whyNotLatency,
  whyNotMissed,
} from "./gate-line.ts";
import type { Judgement, LoadReport } from "./load-report.ts";
import { LOAD_TARGETS } from "./targets.ts";

export const GATES = ["seed", "dibs"] as const;
export type GateName = (typeof GATES)[number];

/** Saturation differs so much from one run to the next on an unchanged server; see docs/load-testing.md. */
const THROUGHPUT_SHARE_MIN = 0.9;

/**
 * `seed`: the success metrics of the guide to claim latency. `dibs`: what a half-busy server must do, and should, by
 * the table of numbers in ARCHITECTURE.md.
 */
export function judgeGate(
  gate: GateName,
  report: LoadReport,
  baseline: LoadReport | undefined,
): readonly Judgement[] {
  const lines = gate === "seed" ? seedLines(report, baseline) : dibsLines(report);
  return [...lines, deliveryLine(report)];
}

function seedLines(report: LoadReport, baseline: LoadReport | undefined): Judgement[] {
  return [
    latencyBelow(report, "claim P99", "p99Ns", 100),
    latencyBelow(report, "claim P50", "p50Ns", 20),
    throughputLine(report, baseline),
    errorsLine(report, baseline),
    memoryLine(report),
    gcLine(report, 50),
  ];
}

function dibsLines(report: LoadReport): Judgement[] {
  const latency = claimLatency(report);
  const ms = (ns: number | undefined) => (ns === undefined ? null : ns / 1e6);
  const isKnown = whyNotLatency(report);
  return [
    targetLine(report, "claim P50", LOAD_TARGETS.p50, ms(latency?.p50Ns), isKnown),
    targetLine(report, "claim P99", LOAD_TARGETS.p99, ms(latency?.p99Ns), isKnown),
    targetLine(report, "claim P99.9", LOAD_TARGETS.p999, ms(latency?.p999Ns), isKnown),
    targetLine(report, "errors and timeouts", LOAD_TARGETS.errors, report.errors + report.timeouts),
    targetLine(report, "GC pause, longest", LOAD_TARGETS.gcPause, report.gcPauseMaxMs),
    targetLine(report, "event-loop delay P99", LOAD_TARGETS.loopDelay, report.eventLoopDelayP99Ms),
    memoryLine(report),
  ];
}

function latencyBelow(
  report: LoadReport,
  what: string,
  percentile: "p50Ns" | "p99Ns",
  boundMs: number,
): Judgement {
  const line = { what, unit: "ms", bound: `< ${boundMs} ms` };
  const latency = claimLatency(report);
  const why = whyNotLatency(report);
  if (latency === undefined || why !== undefined) return notJudged(line, why ?? "no claim was timed");
  const figure = latency[percentile] / 1e6;
  if (figure < boundMs) return judged(line, figure, "pass");
  const excuse = whyNotMissed(report);
  return excuse === undefined ? judged(line, figure, "fail") : notJudged(line, excuse, figure);
}

/** Against what the baseline's server could do, where both were asked; else against what it did. */
function throughputLine(report: LoadReport, baseline: LoadReport | undefined): Judgement {
  const line = { what: "throughput held", unit: "tasks/s", bound: "≥ 90 % of the baseline's" };
  if (baseline === undefined) return notJudged(line, "no --baseline");
  const [most, mostBefore] = [report.saturation?.perSecond, baseline.saturation?.perSecond];
  const isSaturated = most !== undefined && mostBefore !== undefined;
  const [now, before] = isSaturated ? [most, mostBefore] : [report.perSecond, baseline.perSecond];
  const bounded = { ...line, bound: `≥ ${Math.round(THROUGHPUT_SHARE_MIN * before)} tasks/s` };
  const remark = isSaturated ? "saturation" : "tasks done";
  if (now >= THROUGHPUT_SHARE_MIN * before) return judged(bounded, now, "pass", remark);
  const excuse = whyNotMissed(report);
  return excuse === undefined ? judged(bounded, now, "fail", remark) : notJudged(bounded, excuse, now);
}

function errorsLine(report: LoadReport, baseline: LoadReport | undefined): Judgement {
  const percent = ({ errors, timeouts, operations }: LoadReport) =>
    (100 * (errors + timeouts)) / Math.max(1, operations);
  const line = { what: "errors and timeouts", unit: "%", bound: "not above the baseline's" };
  if (baseline === undefined) return notJudged(line, "no --baseline", percent(report));
  const bounded = { ...line, bound: `≤ ${percent(baseline)} %` };
  return judged(bounded, percent(report), percent(report) <= percent(baseline) ? "pass" : "fail");
}

function gcLine({ gcPauseMaxMs, target }: LoadReport, boundMs: number): Judgement {
  const line = { what: "GC pause, longest", unit: "ms", bound: `< ${boundMs} ms` };
  if (gcPauseMaxMs === null) return notJudged(line, "the server does not tell");
  const remark = target.ownServer ? "" : "upper end of a bucket of /metrics";
  return judged(line, gcPauseMaxMs, gcPauseMaxMs < boundMs ? "pass" : "fail", remark);
}

function targetLine(
  report: LoadReport,
  what: string,
  target: Target,
  figure: number | null,
  why?: string,
): Judgement {
  const unit = target.unit === "" ? "" : ` ${target.unit}`;
  const goal = `goal ≤ ${target.goal}${unit}`;
  const bound = target.must === undefined ? goal : `must ≤ ${target.must}${unit}, ${goal}`;
  const line: Line = { what, unit: target.unit, bound };
  if (figure === null || why !== undefined) return notJudged(line, why ?? "the server does not tell");
  const verdict = verdictOf(target, figure);
  const excuse = verdict === "missed" ? whyNotMissed(report) : undefined;
  if (excuse !== undefined) return notJudged(line, excuse, figure);
  if (verdict === "goal") return judged(line, figure, "goal");
  return judged(line, figure, verdict === "must" ? "pass" : "fail", "goal missed");
}

function deliveryLine({ delivery, errors, timeouts }: LoadReport): Judgement {
  const faults = Object.values(delivery.faults).reduce((sum, count) => sum + count, 0);
  const line = { what: "delivered exactly once", unit: "faults", bound: "0" };
  if (delivery.exact) return judged(line, 0, "pass");
  // Calls that were never answered leave it open what became of their tasks.
  if (errors + timeouts > 0) return notJudged(line, `${errors + timeouts} calls were not answered`, faults);
  return judged(line, faults, "fail", delivery.controlCaught ? "" : "nothing was delivered");
}
