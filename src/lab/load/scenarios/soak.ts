import type { Scenario } from "../scenario.ts";

/** Long enough to judge the memory. */
export const soak: Scenario = {
  name: "soak",
  summary: "20 workers, 15 min: does the memory stay?",
  question:
    "Do memory, latency and delivery stay while 20 workers keep the server half busy for a quarter of an hour?",
  traffic: "calls",
  workers: 20,
  seconds: 900,
  rate: "half",
  prefill: 1_000,
  headline: "claim",
  thresholds: ["claim.p50<20ms", "claim.p99<100ms", "memoryGrowth<10%", "errors<=0"],
};
