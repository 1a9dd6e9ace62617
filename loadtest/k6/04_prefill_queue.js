// Fills a queue, for what is measured at depth afterwards, and leaves the tasks there (KEEP=0 deletes them):
//
//   k6 run loadtest/k6/04_prefill_queue.js
//   QUEUE=k6-prefill TAKE_OVER=1 k6 run loadtest/k6/claim-latency.js
import { enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { duration, flag, text, whole } from "./lib/settings.js";
import { summarize, trendStats } from "./lib/summary.js";

const queue = text("QUEUE", "k6-prefill");
const tasks = whole("TASKS", 100000, { min: 1 });
const vus = whole("VUS", 200, { min: 1 });
const priority = whole("PRIORITY", 0, { max: 9 });
const keeps = flag("KEEP", true);

export const options = {
  scenarios: {
    prefill: {
      executor: "shared-iterations",
      exec: "produce",
      vus: Math.min(vus, tasks),
      iterations: tasks,
      maxDuration: duration("MAX_DURATION", "30m"),
    },
  },
  summaryTrendStats: trendStats,
  teardownTimeout: "5m",
  thresholds: {
    tasks_enqueued: [`count==${tasks}`],
    tasks_left: [`count>=${tasks}`],
    "http_req_failed{endpoint:enqueue}": ["rate<0.01"],
  },
};

export const setup = () => begin(queue, { claims: false });

export const produce = () => enqueue(queue, { priority, payload: { sentAt: Date.now() } });

/** @param {import("./lib/lifecycle.js").Run} run */
export const teardown = (run) => end(run, { keeps });

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("prefill", data);
