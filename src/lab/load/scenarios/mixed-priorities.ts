import type { Scenario } from "../scenario.ts";

/** The order of the fences that the server gave out is the order of its claims: every one of them is checked. */
export const mixedPriorities: Scenario = {
  name: "mixed-priorities",
  summary: "all ten priorities, 20 workers, 30 s: is every claim in order?",
  question:
    "Do 20 workers get tasks of all ten priorities in the promised order, higher first and first in first out within one, with the latency of any other claim?",
  traffic: "drain",
  workers: 20,
  seconds: 30,
  rate: "half",
  prefill: "all",
  priorities: [0, 5, 9, 3, 7, 1, 8, 2, 6, 4],
  headline: "claim",
  thresholds: ["claim.p50<20ms", "claim.p99<100ms", "outOfOrder<=0", "errors<=0"],
};
