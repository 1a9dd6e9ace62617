import type { Scenario } from "../scenario.ts";

/** Most workers wait most of the time. */
export const idle: Scenario = {
  name: "idle",
  summary: "1,000 parked claims, 20 tasks a second, 30 s: what does waiting cost, how soon does it end?",
  question:
    "How soon is one of 1,000 parked claims answered when a task comes now and then, and how much of a core do they cost meanwhile?",
  traffic: "arrivals",
  workers: 1_000,
  seconds: 30,
  rate: 20,
  prefill: 0,
  headline: "start",
  thresholds: ["start.p99<50ms", "cpu<25%", "errors<=0"],
};
