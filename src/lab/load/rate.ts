import { PAYLOAD_BYTES } from "../payload.ts";
import type { LoadReport, LoadSettings } from "./load-report.ts";
import type { LoadWish } from "./load-wish.ts";
import type { Traffic } from "./scenario.ts";

export const WARMUP_S = 2;
/** More tasks than will be claimed, so that no claim comes in vain. */
const SPARE = { share: 1.05, tasks: 1_000 } as const;

export const CALLS_A_TASK: Readonly<Record<Traffic, number>> = { calls: 3, drain: 2, arrivals: 1 };

/** What the run is to be, once it is known what the server can do. */
export function settingsOf(wish: LoadWish, saturation: LoadReport["saturation"]): LoadSettings {
  const { scenario, loop, seconds, workers, processes, rate, timeoutMs } = wish;
  const own = scenario.rate === "half" ? (saturation?.perSecond ?? 0) / 2 : scenario.rate;
  const perSecond = rate?.perSecond ?? own;
  const ownFrom = scenario.rate === "half" ? "half of saturation" : "the scenario";
  return {
    loop,
    workers,
    processes: Math.min(processes, workers),
    seconds,
    perSecond: loop === "closed" ? null : perSecond,
    rateFrom: loop === "closed" ? "the answers" : (rate?.from ?? ownFrom),
    prefill: prefillOf(wish, perSecond),
    payloadBytes: PAYLOAD_BYTES,
    timeoutMs,
  };
}

function prefillOf({ scenario, loop, seconds }: LoadWish, perSecond: number): number {
  if (scenario.prefill !== "all") return scenario.prefill;
  return loop === "closed" ? 0 : Math.ceil(perSecond * (seconds + WARMUP_S) * SPARE.share) + SPARE.tasks;
}

/** The rate in a sentence, with what it was derived from. */
export function rateText(settings: LoadSettings, saturation: LoadReport["saturation"]): string {
  const { perSecond, rateFrom, workers } = settings;
  if (perSecond === null) return `Closed loop: ${workers} users, each as fast as it is answered`;
  const rate = `Open loop at ${tasks(perSecond)}`;
  if (saturation === null) return `${rate}, from ${rateFrom}`;
  const most = `Saturated at ${tasks(saturation.perSecond)}`;
  const note = saturation.limitedByGenerator ? ", as much as the generator could ask for" : "";
  return `${most}${note}. ${rate}, ${rateFrom === "half of saturation" ? rateFrom : `from ${rateFrom}`}`;
}

function tasks(perSecond: number): string {
  return `${Math.round(perSecond).toLocaleString("en-US")} tasks/s`;
}
