import type { Scenario } from "../scenario.ts";

/** Long enough for every background loop to have had its turn. */
export const sustained: Scenario = {
  name: "sustained",
  summary: "50 workers, 5 min: does the latency stay?",
  question:
    "Does the claim's latency stay while 50 workers keep the server half busy for five minutes, with promoting, reaping, pruning and compacting beside it?",
  traffic: "calls",
  workers: 50,
  seconds: 300,
  rate: "half",
  prefill: 1_000,
  headline: "claim",
  thresholds: ["claim.p50<20ms", "claim.p99<100ms", "errors<=0"],
};
