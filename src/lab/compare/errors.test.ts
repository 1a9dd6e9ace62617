import { describe, expect, it } from "vitest";
import { errorsRose } from "./errors.ts";

const OPERATIONS = 10_000;
const rose = (base: number, candidate: number, operations = OPERATIONS) =>
  errorsRose({ errors: base, operations: OPERATIONS }, { errors: candidate, operations });

describe("errors", () => {
  it("have risen with the first one where there was none", () => {
    expect(rose(0, 1)).toBe(true);
    expect(rose(0, 0)).toBe(false);
    expect(rose(5, 0)).toBe(false);
  });

  it("have risen where there were some when so many more are no chance", () => {
    expect(rose(10, 12)).toBe(false);
    expect(rose(10, 30)).toBe(true);
    expect(rose(2_000, 2_050)).toBe(false);
    expect(rose(2_000, 2_300)).toBe(true);
  });

  it("are a share of what was done", () => {
    expect(rose(100, 190, 2 * OPERATIONS)).toBe(false);
    expect(rose(100, 300, 2 * OPERATIONS)).toBe(true);
  });
});
