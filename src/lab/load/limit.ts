import type { PacedSums } from "./fleet.ts";
import type { GeneratorReport, LoadSettings } from "./load-report.ts";

/** Later than this at P99, the generator is part of what it measures. */
const LAG_MS_MAX = 1;
/** So much of the headline's P99 may be the generator's. */
const LAG_SHARE_MAX = 0.25;
/** More than so much of the calls held back is no accident of a short stall. */
const HELD_BACK_SHARE = 0.05;
/** An event loop that sleeps less than this while calls are held back is itself the reason. */
const IDLE_SHARE_MIN = 0.1;
const BUSY_SHARE = 0.95;
/** Less than this of the intended rate was not reached. */
const REACHED_SHARE = 0.95;

export interface Driven extends Partial<PacedSums> {
  readonly eventLoopUtilization: number;
  readonly claimed: number;
  /** That it took. */
  readonly seconds: number;
  readonly settings: LoadSettings;
  /** Of the headline. */
  readonly p99Ms: number;
}

/** How well the load was made, and who kept it from being what it was meant to be. */
export function limitOf(driven: Driven): GeneratorReport {
  const { lag, heldBack = 0, unsent = 0, eventLoopUtilization } = driven;
  const lagMs = (percentile: number) => (lag === undefined ? null : lag.percentileNs(percentile) / 1e6);
  return {
    lagP50Ms: lagMs(50),
    lagP99Ms: lagMs(99),
    lagMaxMs: lag === undefined ? null : lag.maxNs / 1e6,
    heldBack,
    unsent,
    eventLoopUtilization,
    limit: named(driven, lagMs(99) ?? 0),
  };
}

function named(driven: Driven, lagP99Ms: number): GeneratorReport["limit"] {
  const { settings, claimed, seconds, heldBack = 0, sent = 0, heldBackIdle = 1 } = driven;
  const { perSecond } = settings;
  // In a closed loop a busy generator asks less often than the server could answer.
  if (perSecond === null) return driven.eventLoopUtilization >= BUSY_SHARE ? "generator" : "none";
  if (lagP99Ms > Math.max(LAG_MS_MAX, LAG_SHARE_MAX * driven.p99Ms)) return "generator";
  if (heldBack > HELD_BACK_SHARE * sent && heldBackIdle < IDLE_SHARE_MIN) return "generator";
  return claimed < REACHED_SHARE * perSecond * seconds ? "server" : "none";
}
