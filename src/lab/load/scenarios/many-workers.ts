import type { Scenario } from "../scenario.ts";

/** Each worker a connection of its own. */
export const manyWorkers: Scenario = {
  name: "many-workers",
  summary: "200 workers, 60 s: waiting claims over many connections",
  question:
    "How soon does a task start when 200 workers wait for it, and tasks come at half of the rate that saturates the server?",
  traffic: "arrivals",
  workers: 200,
  seconds: 60,
  rate: "half",
  prefill: 0,
  headline: "start",
  thresholds: ["start.p99<100ms", "errors<=0"],
};
