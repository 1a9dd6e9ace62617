import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseIsoTime } from "./iso-time.ts";

describe("an ISO 8601 time", () => {
  it("is the instant that it was written from", () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), max: new Date(253_402_300_799_999), noInvalidDate: true }),
        (date) => {
          expect(parseIsoTime(date.toISOString())).toBe(date.getTime());
        },
      ),
    );
  });

  it.each([
    ["2026-01-31T08:00Z", "2026-01-31T08:00:00.000Z"],
    ["2026-01-31t08:00:01z", "2026-01-31T08:00:01.000Z"],
    ["2026-01-31T08:00:00,5Z", "2026-01-31T08:00:00.500Z"],
    ["2026-01-31T08:00:00.123999Z", "2026-01-31T08:00:00.123Z"],
    ["2026-01-31T00:30:00+01:00", "2026-01-30T23:30:00.000Z"],
    ["2026-01-31T00:30:00-0230", "2026-01-31T03:00:00.000Z"],
    ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"],
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"],
  ])("%s is %s", (text, instant) => {
    expect(new Date(parseIsoTime(text) ?? Number.NaN).toISOString()).toBe(instant);
  });

  it.each([
    "2026-01-31T08:00:00",
    "2025-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T08:60:00Z",
    "2026-01-31T08:00:60Z",
    "2026-01-31T08:00:00+24:00",
    "2026-01-31",
    "20260131T080000Z",
    "+012026-01-31T08:00:00Z",
    " 2026-01-31T08:00:00Z",
    "Sat, 31 Jan 2026 08:00:00 GMT",
  ])("%s is none", (text) => {
    expect(parseIsoTime(text)).toBeUndefined();
  });
});
