import { expect, it } from "vitest";
import { slotOf } from "./slots.ts";

it("gives the slots that Redis Cluster gives", () => {
  // As redis-server 7.0.15 answers CLUSTER KEYSLOT.
  const slots = { "123456789": 12_739, foo: 12_182, "": 0, "é✓": 9_318, "{é}x": 10_180 };
  expect(Object.keys(slots).map(slotOf)).toEqual(Object.values(slots));
});

it("hashes what stands in the first braces, when anything does", () => {
  expect(slotOf("a{foo}b")).toBe(slotOf("foo"));
  expect(slotOf("{foo}{bar}")).toBe(slotOf("foo"));
  expect(slotOf("{}foo")).not.toBe(slotOf("foo"));
  expect(slotOf("{foo")).not.toBe(slotOf("foo"));
});
