// How long a claim takes: each iteration enqueues a task, claims one and completes it.
//
//   k6 run loadtest/k6/claim-latency.js
//   k6 run -u 20 -d 60s loadtest/k6/claim-latency.js
//
// There are no scenarios in its options: k6 drops them when -u or -d is given.
import { claim, complete, enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { takesOver, text } from "./lib/settings.js";
import { summarize, trendStats } from "./lib/summary.js";
import { claimThresholds, workThresholds } from "./lib/workload.js";

const queue = text("QUEUE", "k6-claim-latency");

export const options = {
  vus: 10,
  duration: "30s",
  summaryTrendStats: trendStats,
  thresholds: {
    ...workThresholds,
    ...claimThresholds(),
    // Whoever claims has enqueued: there is always a task for each claim, and one claim for each task.
    claims_empty: ["count==0"],
    ...(takesOver ? {} : { tasks_left: ["count==0"] }),
  },
};

export const setup = () => begin(queue);

export default function () {
  if (!enqueue(queue, { payload: { sentAt: Date.now() } })) return;
  const task = claim(queue);
  if (task !== undefined) complete(task);
}

/** @param {import("./lib/lifecycle.js").Run} run */
export const teardown = (run) => end(run);

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("claim-latency", data);
