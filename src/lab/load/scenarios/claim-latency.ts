import type { Scenario } from "../scenario.ts";

/** The load test of the claim: twenty workers for a minute. */
export const claimLatency: Scenario = {
  name: "claim-latency",
  summary: "20 workers, 60 s: the claim's latency at half of what the server can do",
  question:
    "Which latency do 20 workers see when enqueues, claims and completions come at half of the rate that saturates the server, whatever the answers do?",
  traffic: "calls",
  workers: 20,
  seconds: 60,
  rate: "half",
  prefill: 1_000,
  headline: "claim",
  thresholds: ["claim.p50<20ms", "claim.p99<100ms", "errors<=0"],
};
