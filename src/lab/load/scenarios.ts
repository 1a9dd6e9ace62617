import type { Scenario } from "./scenario.ts";
import { burst } from "./scenarios/burst.ts";
import { claimLatency } from "./scenarios/claim-latency.ts";
import { delayed } from "./scenarios/delayed.ts";
import { idle } from "./scenarios/idle.ts";
import { manyWorkers } from "./scenarios/many-workers.ts";
import { mixedPriorities } from "./scenarios/mixed-priorities.ts";
import { prefill } from "./scenarios/prefill.ts";
import { soak } from "./scenarios/soak.ts";
import { sustained } from "./scenarios/sustained.ts";

/** Those of `dibs load`, in the order of its help. */
export const SCENARIOS: readonly Scenario[] = [
  claimLatency,
  sustained,
  burst,
  manyWorkers,
  prefill,
  mixedPriorities,
  delayed,
  idle,
  soak,
];
