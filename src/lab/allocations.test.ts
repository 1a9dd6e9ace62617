import { describe, expect, it } from "vitest";
import { Allocations } from "./allocations.ts";

describe("allocations", () => {
  it("counts what was allocated, whether or not it was collected meanwhile", () => {
    const count = 200_000;
    let kept: number[] = [];
    const allocations = Allocations.start();

    // An array of 125 elements: its header, that of its elements, and 8 bytes or 4 an element.
    for (let n = 0; n < count; n += 1) kept = new Array<number>(125).fill(n);
    const bytes = allocations.stop() / count;

    expect(kept).toHaveLength(125);
    expect(bytes).toBeGreaterThan(125 * 4);
    expect(bytes).toBeLessThan(125 * 8 * 1.5);
  });

  it("counts next to nothing where nothing happens", () => {
    expect(Allocations.start().stop()).toBeLessThan(1_000_000);
  });
});
