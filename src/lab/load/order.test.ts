import { describe, expect, it } from "vitest";
import { outOfOrder, placesOf } from "./order.ts";

/** Dealt the priorities 0, 9 and 5 in turn: to be claimed as b, e, c, f, a, d. */
const places = placesOf(["a", "b", "c", "d", "e", "f"], [0, 9, 5]);

function claimed(...steps: readonly string[]) {
  return steps.flatMap((ids, n) => [...ids].map((id) => [n + 1, id] as const));
}

describe("the order of claims", () => {
  it("is right when higher priorities come first, and first in first out within one", () => {
    const claims = claimed("b", "e", "c", "f", "a", "d");

    expect(outOfOrder(claims, places)).toEqual({ claims: 6, outOfOrder: 0 });
    // By their fences, whatever way the answers took.
    expect(outOfOrder(claims.reverse(), places).outOfOrder).toBe(0);
  });

  it("sees a lower priority before a higher one, and a later task before an earlier one", () => {
    expect(outOfOrder(claimed("b", "c", "e", "f", "a", "d"), places).outOfOrder).toBe(1);
    expect(outOfOrder(claimed("b", "e", "c", "f", "d", "a"), places).outOfOrder).toBe(1);
    expect(outOfOrder(claimed("d", "b", "e"), places).outOfOrder).toBe(1);
    expect(outOfOrder(claimed("b", "a", "d", "c", "e", "f"), places).outOfOrder).toBe(3);
  });

  it("does not ask for an order among the tasks of one step", () => {
    expect(outOfOrder(claimed("eb", "fc", "a"), places)).toEqual({ claims: 5, outOfOrder: 0 });
    expect(outOfOrder(claimed("ea", "bc"), places).outOfOrder).toBe(2);
  });
});
