// Ten thousand tasks in ten seconds, and workers that have them all done in time.
import { enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { duration, takesOver, text, whole } from "./lib/settings.js";
import { summarize, trendStats } from "./lib/summary.js";
import { producer, workers, workOn, workThresholds } from "./lib/workload.js";

const queue = text("QUEUE", "k6-burst");
const rate = whole("RATE", 1000, { min: 1 });
const burst = duration("BURST_DURATION", "10s");
const drain = duration("DRAIN_DURATION", "2m");
const workerVus = whole("WORKER_VUS", 200, { min: 1 });

export const options = {
  scenarios: { producer: producer(rate, burst), workers: workers(workerVus, drain) },
  summaryTrendStats: trendStats,
  thresholds: { ...workThresholds, ...(takesOver ? {} : { tasks_left: ["count==0"] }) },
};

export const setup = () => begin(queue);

export const produce = () => enqueue(queue, { payload: { sentAt: Date.now() } });

export const work = () => workOn(queue);

/** @param {import("./lib/lifecycle.js").Run} run */
export const teardown = (run) => end(run);

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("burst", data);
