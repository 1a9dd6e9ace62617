import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutToBytes } from "./text.ts";

// Every kind of character: one to four bytes, halves of pairs, what joins to others.
const aText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
    .map((units) => String.fromCharCode(...units)),
);

describe("cutting a text to bytes", () => {
  it("never exceeds the bound, never splits a character and keeps as much as fits", () => {
    fc.assert(
      fc.property(aText, fc.nat({ max: 120 }), (text, bytesMax) => {
        const whole = text.toWellFormed();
        const cut = cutToBytes(text, bytesMax);
        const next = [...whole.slice(cut.length)][0] ?? "";

        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(bytesMax);
        expect(cut.isWellFormed()).toBe(true);
        expect(whole.startsWith(cut)).toBe(true);
        if (next !== "") expect(Buffer.byteLength(cut + next)).toBeGreaterThan(bytesMax);
      }),
      { numRuns: 1_000 },
    );
  });

  it("leaves a text that fits as it is", () => {
    expect(cutToBytes("größer", 8)).toBe("größer");
    expect(cutToBytes("größer", 7)).toBe("größe");
  });

  it("drops a character of four bytes when three remain", () => {
    expect(cutToBytes("ab😀", 6)).toBe("ab😀");
    expect(cutToBytes("ab😀", 5)).toBe("ab");
  });

  it("replaces half a pair, which UTF-8 cannot write", () => {
    expect(cutToBytes("a\ud83d", 100)).toBe("a\ufffd");
  });
});
