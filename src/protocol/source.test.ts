import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memberText, memberTexts, nestsDeeperThan } from "./source.ts";

/** JSON text in all its spellings: white space anywhere, names and texts with escapes. */
const spacing = fc.constantFrom("", " ", "\n\t ", "\r\n");
const anyJson = fc.json({ maxDepth: 4, stringUnit: "binary" });

describe("the text of a member", () => {
  it("is the text that JSON.parse reads as its value", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), anyJson), spacing, (members, space) => {
        const names = Object.keys(members);
        const pairs = names.map(
          (name) => `${space}${JSON.stringify(name)}${space}:${space}${members[name]}${space}`,
        );
        const json = `${space}{${space}${pairs.join()}}${space}`;

        for (const name of names) expect(memberText(json, name)).toBe(members[name]?.trim());
        expect(JSON.parse(json)).toBeTypeOf("object");
      }),
    );
  });

  it("keeps what JavaScript cannot hold", () => {
    const texts = ["1e400", "-0", "12345678901234567890", '"\\ud800"', "1.0", '{"__proto__":1}', "[ 1 ]"];

    for (const text of texts) expect(memberText(`{"payload": ${text} }`, "payload")).toBe(text);
  });

  it("is that of the last member when several have the name, as for JSON.parse", () => {
    expect(memberText('{"a":1,"b":{"a":7},"a":[2]}', "a")).toBe("[2]");
  });

  it("is found when the name is written with escapes", () => {
    expect(memberText('{"p\\u0061yload":1}', "payload")).toBe("1");
    expect(memberText('{"payl\\u006fax":1}', "payload")).toBeUndefined();
  });

  it("is undefined when there is no such member, and for what is no object", () => {
    for (const json of ["{}", "[]", "1", '"payload"', '{"other":{"payload":1}}', '{"a":"\\"payload\\":1"}']) {
      expect(memberText(json, "payload"), json).toBeUndefined();
    }
  });
});

describe("the texts in a list", () => {
  it("stand at the places of their objects", () => {
    const json = '{"x":[{"p":0}], "tasks" : [ {"p":"]}"} , {"q":[{"p":1}]},{"p":[]}, {"p":{"p":2}} ] }';

    expect(memberTexts(json, "tasks", "p")).toEqual(['"]}"', undefined, "[]", '{"p":2}']);
    expect(memberTexts('{"tasks":[]}', "tasks", "p")).toEqual([]);
    expect(memberTexts('{"tasks":7}', "tasks", "p")).toEqual([]);
  });
});

describe("nesting", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

  it("is counted to its limit", () => {
    expect(nestsDeeperThan(nested(100), 100)).toBe(false);
    expect(nestsDeeperThan(nested(101), 100)).toBe(true);
    expect(nestsDeeperThan(`{"a":${'{"b":['.repeat(60)}`, 100)).toBe(true);
  });

  it("does not count brackets in texts, nor siblings", () => {
    expect(nestsDeeperThan(`"${"[".repeat(500)}"`, 100)).toBe(false);
    expect(nestsDeeperThan(`["\\"${"[".repeat(500)}\\\\"]`, 100)).toBe(false);
    expect(nestsDeeperThan(`[${Array(500).fill("[]").join()}]`, 100)).toBe(false);
  });

  it("ends on text that is no JSON", () => {
    for (const text of ['"'.repeat(1_001), "\\".repeat(1_001), "]".repeat(1_001), `"${"\\".repeat(1_001)}`]) {
      expect(nestsDeeperThan(text, 100)).toBe(false);
    }
  });
});
