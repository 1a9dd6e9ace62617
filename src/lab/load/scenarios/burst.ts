import type { Scenario } from "../scenario.ts";

/** A newsletter goes out. */
export const burst: Scenario = {
  name: "burst",
  summary: "10,000 tasks in 10 s for 50 waiting workers",
  question:
    "How long do 10,000 tasks that come within ten seconds wait for 50 workers that were idle before?",
  traffic: "arrivals",
  workers: 50,
  seconds: 10,
  rate: 1_000,
  prefill: 0,
  headline: "start",
  thresholds: ["start.p99<100ms", "enqueue.p99<100ms", "errors<=0"],
};
