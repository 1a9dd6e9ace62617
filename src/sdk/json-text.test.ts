import { describe, expect, it } from "vitest";
import { InvalidRequestError } from "../task/errors.ts";
import { toJsonText, withJsonField } from "./json-text.ts";

describe("JSON text", () => {
  it("is made of a value, and of undefined not at all", () => {
    expect(toJsonText("A result", { a: [1, undefined, { b: undefined }] })).toBe('{"a":[1,null,{}]}');
    expect(toJsonText("A result", undefined)).toBeUndefined();
    expect(toJsonText("A result", null)).toBe("null");
  });

  it("names what cannot be said, and why, in one line", () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const throwing = {
      toJSON() {
        throw new Error("not now");
      },
    };

    expect(() => toJsonText("A result", { n: 1n })).toThrow(/^A result cannot be written as JSON: .*BigInt/);
    expect(() => toJsonText("A result", cycle)).toThrow(
      /^A result cannot be written as JSON: [^\n]*circular[^\n]*$/,
    );
    expect(() => toJsonText("A result", throwing)).toThrow("A result cannot be written as JSON: not now");
    expect(() => toJsonText("A result", Symbol("s"))).toThrow("it is a symbol");
    expect(() => toJsonText("A result", () => {})).toThrow(InvalidRequestError);
  });

  it("takes a field that is text already", () => {
    expect(withJsonField('{"a":1}', "b", '{"c":2}')).toBe('{"a":1,"b":{"c":2}}');
    expect(withJsonField("{}", "b", "null")).toBe('{"b":null}');
    expect(withJsonField('{"a":1}', "b", undefined)).toBe('{"a":1}');
  });
});
