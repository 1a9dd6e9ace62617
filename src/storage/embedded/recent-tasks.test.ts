import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_BACKOFF } from "../../task/backoff.ts";
import type { TaskId } from "../../task/ids.ts";
import { RecentTasks } from "./recent-tasks.ts";

function constants(slot: number) {
  const id = `emails~${slot}` as TaskId;
  return { id, payload: "x".repeat(50), priority: 0, maxAttempts: 5, createdAt: 0, backoff: DEFAULT_BACKOFF };
}

/** Each counts 300 bytes, so ten fit. */
const BYTES_MAX = 3_000;

describe("recent tasks", () => {
  it("keep the first ones within the bound of bytes, and take others when these leave", () => {
    const recent = new RecentTasks(BYTES_MAX);
    for (let slot = 0; slot < 100; slot += 1) recent.add(slot, constants(slot));

    expect(recent.get(9)?.id).toBe("emails~9");
    expect(recent.get(10)).toBeUndefined();
    recent.remove(3);
    recent.add(100, constants(100));
    expect(recent.get(100)?.id).toBe("emails~100");
  });

  it("never give another task's constants, whatever comes and goes", () => {
    const step = fc.record({ slot: fc.nat(40), isRemoved: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 5_000, size: "max" }), (steps) => {
        const recent = new RecentTasks(BYTES_MAX);
        const present = new Set<number>();
        for (const { slot, isRemoved } of steps) {
          if (present.has(slot) || isRemoved) {
            recent.remove(slot);
            present.delete(slot);
          } else {
            recent.add(slot, constants(slot));
            present.add(slot);
          }
        }
        const kept = Array.from({ length: 41 }, (_, slot) => recent.get(slot));
        expect(
          kept.every((it, slot) => it === undefined || (present.has(slot) && it.id === `emails~${slot}`)),
        ).toBe(true);
        expect(kept.filter((it) => it !== undefined).length).toBeLessThanOrEqual(10);
      }),
      { numRuns: 20 },
    );
  });
});
