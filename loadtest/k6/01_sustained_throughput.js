// Tasks come at a rate and workers keep up with them; the claim has its bounds.
import { enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { duration, text, whole } from "./lib/settings.js";
import { summarize, trendStats } from "./lib/summary.js";
import { claimThresholds, producer, workers, workOn, workThresholds } from "./lib/workload.js";

const queue = text("QUEUE", "k6-sustained-throughput");
const rate = whole("RATE", 500, { min: 1 });
const length = duration("DURATION", "5m");
const workerVus = whole("WORKER_VUS", 100, { min: 1 });

export const options = {
  scenarios: { producer: producer(rate, length), workers: workers(workerVus, length) },
  summaryTrendStats: trendStats,
  thresholds: { ...workThresholds, ...claimThresholds() },
};

export const setup = () => begin(queue);

export const produce = () => enqueue(queue, { payload: { sentAt: Date.now() } });

export const work = () => workOn(queue);

/** @param {import("./lib/lifecycle.js").Run} run */
export const teardown = (run) => end(run);

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("sustained-throughput", data);
