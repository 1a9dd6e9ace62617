import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Line, linesOf } from "./lines.ts";

async function* chunksOf(bytes: Buffer, sizes: Iterable<number>): AsyncGenerator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

async function all(bytes: Buffer, sizes: Iterable<number>, bytesMax = 1_000): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const line of linesOf(chunksOf(bytes, sizes), bytesMax)) lines.push(line);
  return lines;
}

describe("linesOf", () => {
  it("gives the same lines however the stream is cut", async () => {
    const text = fc.array(
      fc.string({ unit: "binary" }).map((line) => line.replaceAll("\n", "").replace(/^\ufeff/, "")),
    );
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 50 }),
        async (lines, sizes) => {
          const wellFormed = lines.map((line) => line.toWellFormed());
          const read = await all(Buffer.from(wellFormed.map((line) => `${line}\n`).join("")), sizes, 100_000);
          expect(read).toEqual(wellFormed.map((line, at) => ({ number: at + 1, text: line })));
        },
      ),
      { numRuns: 30 },
    );
  });

  it("takes a last line without its end", async () => {
    expect(await all(Buffer.from("a\nb"), [])).toEqual([
      { number: 1, text: "a" },
      { number: 2, text: "b" },
    ]);
  });

  it("names a line that is too long, and reads the ones after it", async () => {
    expect(await all(Buffer.from(`a\n${"x".repeat(20)}\nb\n`), [5, 5, 5], 10)).toEqual([
      { number: 1, text: "a" },
      { number: 2, fault: "Expected a line of at most 10 bytes, got 20" },
      { number: 3, text: "b" },
    ]);
  });

  it("names a line that is no UTF-8", async () => {
    expect(await all(Buffer.from([0x61, 0x0a, 0xff, 0x0a, 0x62]), [])).toEqual([
      { number: 1, text: "a" },
      { number: 2, fault: "Expected UTF-8" },
      { number: 3, text: "b" },
    ]);
  });

  it("reads on only when its lines are taken", async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) {
        given += 1;
        yield Buffer.from("line\n");
      }
    }

    const lines = linesOf(endless(), 100);
    for (let taken = 1; taken <= 5; taken += 1) {
      await lines.next();
      expect(given).toBe(taken);
    }
    await lines.return(undefined);
  });
});
