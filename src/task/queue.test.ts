import { describe, expect, it } from "vitest";
import { DEFAULT_QUEUE_CONFIG, patchedConfig } from "./queue.ts";

describe("changing a queue's configuration", () => {
  it("merges backoff and retention field by field and leaves the rest", () => {
    const changed = patchedConfig(DEFAULT_QUEUE_CONFIG, {
      maxAttempts: 8,
      backoff: { type: "fixed" },
      retention: { deadMax: 0 },
    });

    expect(changed).toEqual({
      ...DEFAULT_QUEUE_CONFIG,
      maxAttempts: 8,
      backoff: { ...DEFAULT_QUEUE_CONFIG.backoff, type: "fixed" },
      retention: { ...DEFAULT_QUEUE_CONFIG.retention, deadMax: 0 },
    });
  });

  it("sets and unsets the bound on depth", () => {
    const bounded = patchedConfig(DEFAULT_QUEUE_CONFIG, { maxDepth: 5 });

    expect(bounded.maxDepth).toBe(5);
    expect(patchedConfig(bounded, {}).maxDepth).toBe(5);
    expect(patchedConfig(bounded, { maxDepth: null }).maxDepth).toBeNull();
  });

  it("leaves the defaults alone", () => {
    patchedConfig(DEFAULT_QUEUE_CONFIG, { backoff: { baseMs: 1 }, retention: { bytesMax: 1 } });

    expect(DEFAULT_QUEUE_CONFIG).toMatchObject({
      maxAttempts: 5,
      leaseMs: 30_000,
      maxDepth: null,
      backoff: { type: "exponential", baseMs: 1_000, capMs: 900_000, jitter: "full" },
      retention: {
        completedMs: 3_600_000,
        completedMax: 10_000,
        deadMs: 1_209_600_000,
        deadMax: 100_000,
        bytesMax: 268_435_456,
      },
    });
  });
});
