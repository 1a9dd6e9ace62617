import type { Scenario } from "../scenario.ts";

/** A backlog: claims must not pay for what waits behind them. */
export const prefill: Scenario = {
  name: "prefill",
  summary: "100,000 tasks wait before the first claim, 20 workers, 60 s",
  question: "Which latency do 20 workers see on a queue in which 100,000 tasks wait?",
  traffic: "calls",
  workers: 20,
  seconds: 60,
  rate: "half",
  prefill: 100_000,
  headline: "claim",
  thresholds: ["claim.p50<20ms", "claim.p99<100ms", "errors<=0"],
};
