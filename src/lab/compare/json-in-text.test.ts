import { describe, expect, it } from "vitest";
import { jsonObjectsIn } from "./json-in-text.ts";

describe("JSON in a text", () => {
  it("is found between the lines that k6 prints around it", () => {
    const text = [
      "         /\\      Grafana   /‾‾/  ",
      "     execution: local { not json }",
      "running (0m01.0s), 10/10 VUs, 3021 complete",
      '{"format":"dibs-k6-summary","text":"a } brace, a \\" quote"}',
      "{ also not json",
      "default ✓ [======] 10 VUs  30s",
    ].join("\n");

    expect(jsonObjectsIn(text)).toEqual([{ format: "dibs-k6-summary", text: 'a } brace, a " quote' }]);
  });

  it("may be several objects, of one line or of many", () => {
    expect(jsonObjectsIn('{"a":1}\n{\n  "b": { "c": [] }\n}\n')).toEqual([{ a: 1 }, { b: { c: [] } }]);
  });

  it("is nothing in a text without any, and in one that was cut", () => {
    expect(jsonObjectsIn("")).toEqual([]);
    expect(jsonObjectsIn('{"a": {"b": 1}')).toEqual([]);
  });
});
