import { isLevel } from "../statistics.ts";
import type { Judgement, LoadReport } from "./load-report.ts";
import { growthPercent } from "./memory.ts";

/** Below this a P99 says little, and a P99.9 nothing. */
export const CLAIMS_MIN = 10_000;
/** Memory that is stable for a shorter time may still be on its way up. */
export const MEMORY_SECONDS_MIN = 600;
/** Growth below this over the whole run is what a heap does by itself from one collection to the next. */
export const GROWTH_PERCENT_MAX = 1;

/** A line without its verdict. */
export interface Line {
  readonly what: string;
  readonly unit: string;
  readonly bound: string;
}

export function notJudged(line: Line, remark: string, figure: number | null = null): Judgement {
  return { ...line, figure, verdict: "not judged", remark };
}

export function judged(
  line: Line,
  figure: number,
  verdict: "goal" | "pass" | "fail",
  remark = "",
): Judgement {
  return { ...line, figure, verdict, remark };
}

/** The latency of what a claim brought; where workers wait in parked claims, from enqueue to start. */
export function claimLatency(report: LoadReport) {
  const { claim, start } = report.latencies;
  return claim !== undefined && claim.count > 0 ? claim : start;
}

/** Why no latency of this run can be judged; undefined when it can. */
export function whyNotLatency(report: LoadReport): string | undefined {
  const count = claimLatency(report)?.count ?? 0;
  if (count >= CLAIMS_MIN) return undefined;
  return `${count.toLocaleString("en-US")} successful claims, at least ${CLAIMS_MIN.toLocaleString("en-US")} are needed`;
}

/** A bound that was missed says nothing of the server when it was not the server that was late. */
export function whyNotMissed({ generator }: LoadReport): string | undefined {
  return generator.limit === "generator" ? "the generator, not the server, was the limit" : undefined;
}

const MEMORY: Line = {
  what: "memory stable",
  unit: "% growth",
  bound: `level, or at most ${GROWTH_PERCENT_MAX} %, over ${MEMORY_SECONDS_MIN / 60} min or more`,
};

/** The memory after the warm-up, by its slope: level is what cannot be told from it. */
export function memoryLine({ memory, settings, target }: LoadReport): Judgement {
  if (!target.ownServer) return notJudged(MEMORY, "the server was not started by this run");
  if (memory === null) return notJudged(MEMORY, "too few samples");
  const growth = growthPercent(memory);
  if (settings.seconds < MEMORY_SECONDS_MIN) {
    return notJudged(
      MEMORY,
      `${settings.seconds} s are too short: add -d ${MEMORY_SECONDS_MIN / 60}m`,
      growth,
    );
  }
  const slope = { slope: memory.slopeBytesPerS, error: memory.slopeErrorBytesPerS };
  const isStable = growth <= GROWTH_PERCENT_MAX || isLevel(slope);
  return judged(MEMORY, growth, isStable ? "pass" : "fail");
}
