import { describe, expect, it } from "vitest";
import { PAYLOAD_BYTES, payloadOf, payloadPool } from "./payload.ts";

describe("payload", () => {
  it("is JSON of exactly the size asked for", () => {
    for (const payload of [payloadOf(0), payloadOf(7), payloadOf(9_999_999)]) {
      expect(Buffer.byteLength(payload)).toBe(PAYLOAD_BYTES);
      expect(() => JSON.parse(payload)).not.toThrow();
    }
    expect(payloadOf(1, 1_000)).toHaveLength(1_000);
  });

  it("differs from task to task", () => {
    expect(new Set(payloadPool(500)).size).toBe(500);
  });

  it("refuses a size that its fields do not fit into", () => {
    expect(() => payloadOf(1, 20)).toThrow(/or more, got 20/);
  });
});
