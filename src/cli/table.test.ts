import { describe, expect, it } from "vitest";
import { type Column, cut, plain, table } from "./table.ts";

interface Row {
  readonly name: string;
  readonly count: number;
  readonly text: string;
}
const COLUMNS: readonly Column<Row>[] = [
  { title: "NAME", value: (row) => row.name },
  { title: "COUNT", value: (row) => row.count },
  { title: "TEXT", value: (row) => row.text, flexible: true },
];
const ROWS: readonly Row[] = [
  { name: "a", count: 7, text: "short" },
  { name: "longer", count: 1234, text: "a text that is rather long" },
];

describe("table", () => {
  it("aligns columns, numbers to the right", () => {
    expect(table(COLUMNS, ROWS)).toEqual([
      "NAME    COUNT  TEXT",
      "a           7  short",
      "longer   1234  a text that is rather long",
    ]);
  });

  it("cuts the flexible column first, and no line is longer than the terminal", () => {
    const lines = table(COLUMNS, ROWS, 30);

    expect(lines[2]).toBe("longer   1234  a text that is…");
    for (const width of [5, 12, 20, 30]) {
      for (const line of table(COLUMNS, ROWS, width)) expect([...line].length).toBeLessThanOrEqual(width);
    }
  });

  it("shows what could move the cursor instead of sending it", () => {
    const [, line] = table(COLUMNS, [{ name: "\x1b[2Jgone", count: 1, text: "two\nlines\u202e" }]);

    expect(line).toBe("\ufffd[2Jgone      1  two lines\ufffd");
  });

  it("has only titles when there are no rows", () =>
    expect(table(COLUMNS, [])).toEqual(["NAME  COUNT  TEXT"]));
});

describe("plain", () => {
  it("leaves ordinary text as it is", () => expect(plain("é 日本 🦉")).toBe("é 日本 🦉"));
});

describe("cut", () => {
  it("counts characters, not units of UTF-16", () => expect(cut("🦉🦉🦉🦉", 3)).toBe("🦉🦉…"));
});
