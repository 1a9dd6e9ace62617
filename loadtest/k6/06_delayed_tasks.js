// Half of the tasks are due later: none is claimed before its time, and few long after it.
import { Counter, Trend } from "k6/metrics";
import { enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { duration, text, whole } from "./lib/settings.js";
import { partsOf, summarize, trendStats } from "./lib/summary.js";
import { producer, workers, workOn, workThresholds } from "./lib/workload.js";

const queue = text("QUEUE", "k6-delayed");
const rate = whole("RATE", 500, { min: 1 });
const length = duration("DURATION", "5m");
const workerVus = whole("WORKER_VUS", 200, { min: 1 });
const delayPct = whole("DELAY_PCT", 50, { max: 100 });
const delayMinMs = whole("DELAY_MIN_SECONDS", 1) * 1000;
const delayMaxMs = whole("DELAY_MAX_SECONDS", 30, { min: delayMinMs / 1000 }) * 1000;
const latenessP99Ms = whole("LATENESS_P99_MS", 1000, { min: 1 });

const wait = new Trend("queue_wait", true);
const early = new Counter("claims_too_early");

export const options = {
  scenarios: { producer: producer(rate, length, 10), workers: workers(workerVus, length) },
  summaryTrendStats: trendStats,
  thresholds: {
    ...workThresholds,
    ...partsOf("queue_wait", "delayed", ["no"]),
    ...(delayPct === 0 ? {} : { "queue_wait{delayed:yes}": [`p(99)<${latenessP99Ms}`] }),
    claims_too_early: ["count==0"],
  },
};

export const setup = () => {
  early.add(0);
  return begin(queue);
};

export function produce() {
  const isDelayed = Math.random() * 100 < delayPct;
  const delayMs = isDelayed ? Math.round(delayMinMs + Math.random() * (delayMaxMs - delayMinMs)) : 0;
  return enqueue(queue, { payload: { isDelayed }, delayMs });
}

export const work = () => workOn(queue, { pauseMs: 100, onClaimed: tellWait });

/** From when it could be claimed; both instants are the server's. */
function tellWait(/** @type {import("./lib/dibs.js").Claimed} */ { payload, runAt, lease }) {
  const waitedMs = lease.claimedAt - runAt;
  if (waitedMs < 0) early.add(1);
  wait.add(Math.max(0, waitedMs), { delayed: payload.isDelayed ? "yes" : "no" });
}

/** @param {import("./lib/lifecycle.js").Run} run */
export const teardown = (run) => end(run);

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("delayed-tasks", data);
