import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SortedSlots } from "./sorted-slots.ts";

interface Entry {
  readonly key: number;
  readonly tie: number;
  readonly slot: number;
}

function slotsAfter(entries: readonly Entry[], key: number, tie: number): number[] {
  return entries.filter((e) => e.key > key || (e.key === key && e.tie > tie)).map((e) => e.slot);
}

function inOrder(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((a, b) => a.key - b.key || a.tie - b.tie);
}

function everything(sorted: SortedSlots): number[] {
  const slots: number[] = [];
  sorted.head(Infinity, slots);
  return slots;
}

describe("sorted slots", () => {
  it("keep the order of a plain sorted list, whatever is added and removed", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("add" as const), key: fc.integer({ min: -20, max: 20 }) }),
      fc.record({ do: fc.constant("append" as const), key: fc.constant(0) }),
      fc.record({ do: fc.constant("shift" as const), key: fc.constant(0) }),
      fc.record({ do: fc.constant("remove" as const), key: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
        const sorted = new SortedSlots(true);
        let entries: Entry[] = [];
        for (const [tie, { do: what, key }] of steps.entries()) {
          if (what === "add" || what === "append") {
            const entry = { key: what === "add" ? key : (sorted.lastKey() ?? 0), tie, slot: tie };
            sorted.add(entry.key, entry.tie, entry.slot);
            entries = inOrder([...entries, entry]);
          } else if (entries.length > 0) {
            const gone = entries[what === "shift" ? 0 : key % entries.length] as Entry;
            sorted.remove(gone.key, gone.tie);
            entries = entries.filter((entry) => entry !== gone);
          }
        }

        expect(everything(sorted)).toEqual(entries.map((entry) => entry.slot));
        expect(sorted.size).toBe(entries.length);
        expect(sorted.firstKey()).toBe(entries[0]?.key);
        expect(sorted.lastKey()).toBe(entries.at(-1)?.key);
        expect(sorted.firstSlot()).toBe(entries[0]?.slot);
      }),
    );
  });

  it("continue a listing from any key, across thousands of entries added in any order", () => {
    const sorted = new SortedSlots(true);
    const entries: Entry[] = Array.from({ length: 5_000 }, (_, i) => ({
      key: (i * 7_919) % 1_000,
      tie: i,
      slot: i,
    }));
    for (const { key, tie, slot } of entries) sorted.add(key, tie, slot);
    const ordered = inOrder(entries);

    for (const [key, tie] of [
      [-1, 0],
      [0, 0],
      [500, 2_500],
      [999, 4_999],
    ] as const) {
      const page: number[] = [];
      sorted.after(key, tie, 100, page);
      expect(page).toEqual(slotsAfter(ordered, key, tie).slice(0, 100));
    }
    const due: number[] = [];
    sorted.headUpTo(3, 1_000, due);
    expect(due).toEqual(ordered.filter((e) => e.key <= 3).map((e) => e.slot));
  });

  it("give up any entry among thousands, wherever it stands", () => {
    for (let gone = 0; gone < 2_000; gone += 1) {
      if (gone % 256 > 2 && gone % 97 !== 0) continue;
      const sorted = new SortedSlots(false);
      for (let i = 0; i < 2_000; i += 1) sorted.add(i, 0, i);
      sorted.remove(gone, 0);
      expect(everything(sorted)).toEqual(Array.from({ length: 1_999 }, (_, i) => (i < gone ? i : i + 1)));
    }
  });

  it("put a release before all others, again and again", () => {
    const sorted = new SortedSlots(false);
    for (let i = 0; i < 2_000; i += 1) sorted.add(i, 0, i);
    for (let i = 1; i <= 2_000; i += 1) sorted.add(-i, 0, 10_000 + i);

    expect(everything(sorted).slice(0, 3)).toEqual([12_000, 11_999, 11_998]);
    expect(everything(sorted)).toHaveLength(4_000);
  });

  it("refuse to remove what is not there", () => {
    const sorted = new SortedSlots(false);
    expect(() => sorted.remove(1, 0)).toThrow("No entry");
    sorted.add(1, 0, 7);
    expect(() => sorted.remove(2, 0)).toThrow("No entry");
    sorted.remove(1, 0);
    expect(() => sorted.remove(1, 0)).toThrow("No entry");
  });
});
