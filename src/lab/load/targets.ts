import type { Target } from "../target.ts";

/** What a server must and should do when it is half busy: the rows of the table of numbers in ARCHITECTURE.md. */
export const LOAD_TARGETS = {
  p50: { what: "HTTP open loop at half of saturation, P50", unit: "ms", better: "lower", must: 5, goal: 2 },
  p99: { what: "HTTP open loop at half of saturation, P99", unit: "ms", better: "lower", must: 20, goal: 10 },
  p999: { what: "HTTP open loop at half of saturation, P99.9", unit: "ms", better: "lower", goal: 25 },
  errors: { what: "HTTP open loop at half of saturation, errors", unit: "", better: "lower", goal: 0 },
  gcPause: { what: "GC pause max under sustained load", unit: "ms", better: "lower", must: 20, goal: 10 },
  loopDelay: {
    what: "event-loop delay P99 under sustained load",
    unit: "ms",
    better: "lower",
    must: 10,
    goal: 5,
  },
} as const satisfies Readonly<Record<string, Target>>;
