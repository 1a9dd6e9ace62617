import type { Scenario } from "../scenario.ts";

/** Reminders, retries, schedules: nothing before its time, and hardly anything after it. */
export const delayed: Scenario = {
  name: "delayed",
  summary: "tasks with delays of 0.1 to 5 s, 50 waiting workers, 30 s: are they on time?",
  question:
    "How late do tasks with delays of 0.1 to 5 seconds reach one of 50 waiting workers, and does any come early?",
  traffic: "arrivals",
  workers: 50,
  seconds: 30,
  rate: "half",
  prefill: 0,
  delayMs: [100, 5_000],
  headline: "lateness",
  thresholds: ["lateness.p99<=50ms", "early<=0", "errors<=0"],
};
