import { describe, expect, it } from "vitest";
import { counter } from "./counters.ts";

const TEXT = `# HELP dibs_tasks_claimed_total Tasks claimed.
# TYPE dibs_tasks_claimed_total counter
dibs_tasks_claimed_total{queue="a"} 7
dibs_tasks_claimed_total{queue="ab"} 12
dibs_claim_duration_seconds_bucket{le="5e-05",outcome="hit"} 3
`;

describe("counter", () => {
  it("reads the value with these labels, and 0 when there is none", () => {
    expect(counter(TEXT, "dibs_tasks_claimed_total", { queue: "ab" })).toBe(12);
    expect(counter(TEXT, "dibs_tasks_claimed_total", { queue: "b" })).toBe(0);
    expect(counter(TEXT, "dibs_claim_duration_seconds_bucket", { outcome: "hit", le: "5e-05" })).toBe(3);
  });
});
