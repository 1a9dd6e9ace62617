import { describe, expect, it } from "vitest";
import { IdTape } from "./id-tape.ts";

describe("id tape", () => {
  it("gives back every id in order, over many chunks", () => {
    const tape = new IdTape();
    const ids = Array.from({ length: 60_000 }, (_, n) => `emails~${"x".repeat(n % 120)}${n}`);

    for (const id of ids) tape.push(id);

    expect(tape.length).toBe(60_000);
    expect([...tape]).toEqual(ids);
  });

  it("is empty at first and can be read again", () => {
    const tape = new IdTape();
    expect([...tape]).toEqual([]);

    tape.push("a~b");

    expect([...tape]).toEqual(["a~b"]);
    expect([...tape]).toEqual(["a~b"]);
  });

  it("takes over what others have written, and goes on", () => {
    const [whole, other, empty] = [new IdTape(), new IdTape(), new IdTape()];
    const ids = Array.from({ length: 20_000 }, (_, n) => `emails~${"x".repeat(n % 120)}${n}`);
    for (const id of ids) other.push(id);
    whole.push("first");

    for (const { written } of [other, empty]) whole.append(structuredClone(written));
    whole.push("last");

    expect(whole.length).toBe(20_002);
    expect([...whole]).toEqual(["first", ...ids, "last"]);
  });

  it("refuses what is no id", () => {
    expect(() => new IdTape().push("x".repeat(256))).toThrow("1 to 255 characters, got 256");
    expect(() => new IdTape().push("")).toThrow("1 to 255 characters, got 0");
  });
});
