// How long a claim takes: each iteration enqueues a task, claims one and completes it.
//
//   k6 run loadtest/k6/claim-latency.js
//   k6 run -u 20 -d 60s loadtest/k6/claim-latency.js
//
// There are no scenarios in its options: k6 drops them when -u or -d is given.
import { claim, complete, enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { takesOver, text, waitMs, whole } from "./lib/settings.js";
import { sliceThresholds, summarize, trendStats } from "./lib/summary.js";

const queue = text("QUEUE", "k6-claim-latency");
const p50Ms = whole("CLAIM_P50_MS", 20, { min: 1 });
const p99Ms = whole("CLAIM_P99_MS", 100, { min: 1 });

export const options = {
  vus: 10,
  duration: "30s",
  summaryTrendStats: trendStats,
  thresholds: {
    // A claim that waits for a task is as long as the wait.
    ...(waitMs === 0 ? { claim_duration: [`p(50)<${p50Ms}`, `p(99)<${p99Ms}`] } : {}),
    tasks_claimed: ["count>0"],
    tasks_completed: ["count>0"],
    // Whoever claims has enqueued: there is always a task for each claim, and one claim for each task.
    claims_empty: ["count==0"],
    ...(takesOver ? {} : { tasks_left: ["count==0"] }),
    "http_req_failed{endpoint:enqueue}": ["rate<0.01"],
    "http_req_failed{endpoint:claim}": ["rate<0.01"],
    "http_req_failed{endpoint:complete}": ["rate<0.01"],
    ...sliceThresholds,
  },
};

export const setup = () => begin(queue);

export default function () {
  if (!enqueue(queue, { payload: { sentAt: Date.now() } })) return;
  const task = claim(queue);
  if (task !== undefined) complete(task);
}

export const teardown = end;

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("claim-latency", data);
