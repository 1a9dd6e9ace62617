import { describe, expect, it } from "vitest";
import { errorText } from "./error-text.ts";

describe("the text of an error", () => {
  it("is message, stack and causes", () => {
    const error = new TypeError("no such mailbox", { cause: new Error("socket closed", { cause: "cable" }) });

    const text = errorText(error);

    expect(text).toMatch(/^TypeError: no such mailbox\n\s+at /);
    expect(text).toMatch(/\nCaused by: Error: socket closed\n\s+at /);
    expect(text).toMatch(/\nCaused by: cable$/);
  });

  it("has the message also when the stack does not", () => {
    const error = new Error("old");
    error.stack = "Error: old\n    at send";
    error.message = "new";

    expect(errorText(error)).toBe("Error: new\nError: old\n    at send");
    error.stack = "";
    expect(errorText(error)).toBe("Error: new");
  });

  it("is made of anything that is thrown", () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;

    expect(errorText("text")).toBe("text");
    expect(errorText({ code: 7 })).toBe('{"code":7}');
    expect(errorText(undefined)).toBe("undefined");
    expect(errorText(null)).toBe("null");
    expect(errorText(cycle)).toBe("[object Object]");
    expect(errorText(Symbol("s"))).toBe("Symbol(s)");
  });

  it("ends after 10 kB, at a whole character, and after five causes", () => {
    const loop = new Error("again");
    loop.cause = loop;
    loop.stack = "";

    expect(Buffer.byteLength(errorText(new Error("☃".repeat(10_000))))).toBeLessThanOrEqual(10_240);
    expect(errorText(new Error("☃".repeat(10_000)))).toMatch(/☃$/);
    expect(errorText(loop).split("\n")).toHaveLength(6);
  });
});
