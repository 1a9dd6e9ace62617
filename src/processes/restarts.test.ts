import { expect, it } from "vitest";
import { Restarts } from "./restarts.ts";

it("a process that crashes again and again is started ever later, at most every ten seconds", () => {
  const restarts = new Restarts();
  const waits = Array.from({ length: 9 }, () => restarts.waitMs(50));

  expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  expect(restarts.waitMs(10_000)).toBe(100); // It had served well.
  expect(restarts.waitMs(50)).toBe(100);
});
