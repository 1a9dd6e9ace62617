import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { batches } from "./enqueue-batches.ts";

describe("batches", () => {
  it("hold at most 1,000 items", () => {
    const cut = [...batches(Array.from({ length: 2_001 }, () => "1"))];

    expect(cut.map(({ start, end }) => [start, end])).toEqual([
      [0, 1_000],
      [1_000, 2_000],
      [2_000, 2_001],
    ]);
  });

  it("leave a larger item alone", () => {
    const cut = [...batches(["1", "x".repeat(50), "1", "1"], 10, 20)];

    expect(cut.map(({ texts }) => texts.length)).toEqual([1, 1, 2]);
  });

  it("keep all items, in order, within both bounds", () => {
    const texts = fc.array(fc.string({ unit: "grapheme", maxLength: 20 }), { maxLength: 30 });
    fc.assert(
      fc.property(
        texts,
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 100 }),
        (items, max, bytesMax) => {
          const cut = [...batches(items, max, bytesMax)];

          const isSound = cut.every(({ start, end, texts: inside }) => {
            const fits = inside.length === 1 || Buffer.byteLength(inside.join(",")) <= bytesMax;
            return inside.join() === items.slice(start, end).join() && inside.length <= max && fits;
          });
          expect(cut.flatMap((batch) => batch.texts)).toEqual(items);
          expect(isSound).toBe(true);
        },
      ),
    );
  });
});
