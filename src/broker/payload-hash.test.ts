import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { payloadHash } from "./payload-hash.ts";

describe("the hash of a payload", () => {
  it("is the same for the same JSON value, however it is written", () => {
    const same = [
      ['{"a":1,"b":[true,null,"x"]}', ' { "b" : [ true , null , "\\u0078" ] , "a" : 1.0 } '],
      ["1000", "1e3"],
      ['"é"', '"\\u00e9"'],
      ["{}", " { } "],
      ['{"":0}', '{ "" : 0.0 }'],
    ] as const;

    for (const [one, other] of same) expect(payloadHash(one)).toBe(payloadHash(other));
  });

  it("differs for different values, also for those that look alike", () => {
    const different = [
      "1",
      '"1"',
      "[1]",
      '{"1":1}',
      "null",
      '"null"',
      "true",
      "[]",
      "{}",
      "[[]]",
      "[[],[]]",
      '""',
    ];
    const more = [
      '{"a":"b"}',
      '{"a":["b"]}',
      '["a","b"]',
      '["a,b"]',
      "1e400",
      "-1e400",
      '{"__proto__":1}',
      "-1",
    ];

    const hashes = [...different, ...more].map(payloadHash);

    expect(new Set(hashes).size).toBe(hashes.length);
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it("does not depend on the order of keys at any depth", () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, inner]) => [key, reversed(inner)]),
      );
    };

    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        expect(payloadHash(JSON.stringify(reversed(JSON.parse(text))))).toBe(payloadHash(text));
      }),
    );
  });

  it("survives a payload that nests as deep as its size allows", () => {
    const deep = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

    expect(payloadHash(deep(200_000))).not.toBe(payloadHash(deep(199_999)));
  });
});
