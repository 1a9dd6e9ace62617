// More workers than there is work for most of them: the claims that find nothing are many.
import { enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { duration, text, whole } from "./lib/settings.js";
import { summarize, trendStats } from "./lib/summary.js";
import { producer, workers, workOn, workThresholds } from "./lib/workload.js";

const queue = text("QUEUE", "k6-many-workers");
const rate = whole("PRODUCER_RATE", 800, { min: 1 });
const length = duration("DURATION", "5m");
const workerVus = whole("WORKER_VUS", 120, { min: 1 });

export const options = {
  scenarios: { producer: producer(rate, length), workers: workers(workerVus, length) },
  summaryTrendStats: trendStats,
  thresholds: workThresholds,
};

export const setup = () => begin(queue);

export const produce = () => enqueue(queue, { payload: { sentAt: Date.now() } });

export const work = () => workOn(queue);

/** @param {import("./lib/lifecycle.js").Run} run */
export const teardown = (run) => end(run);

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("many-workers", data);
