import { describe, expect, it } from "vitest";
import * as errors from "./errors.ts";
import { DibsError, ERROR_CODES, errorFromCode, InternalError, LeaseLostError } from "./errors.ts";

/** `lease_lost` → `LeaseLostError`. */
function classOf(code: string): unknown {
  const name = code.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return (errors as Record<string, unknown>)[name.endsWith("Error") ? name : `${name}Error`];
}

describe("an error of Dibs", () => {
  it.each(ERROR_CODES)(
    "with the code %s is rebuilt as its own class, on the other side of a wire too",
    (code) => {
      const rebuilt = errorFromCode(code, "why", { details: { bound: 1 }, requestId: "r-1" });

      expect(rebuilt).toBeInstanceOf(DibsError);
      expect(rebuilt).toBeInstanceOf(classOf(code) as typeof DibsError);
      expect(rebuilt.name).toBe((classOf(code) as { name: string }).name);
      expect(rebuilt).toMatchObject({ code, message: "why", details: { bound: 1 }, requestId: "r-1" });
    },
  );

  it("has a class of its own for each code", () => {
    const classes = new Set(ERROR_CODES.map((code) => errorFromCode(code, "").constructor));

    expect(classes.size).toBe(ERROR_CODES.length);
  });

  it("with a code of a later version becomes an internal error", () => {
    expect(errorFromCode("brand_new", "why")).toBeInstanceOf(InternalError);
    expect(errorFromCode("toString", "why")).toBeInstanceOf(InternalError);
  });

  it("says whether the same call can succeed later", () => {
    const retryable = ERROR_CODES.filter((code) => errorFromCode(code, "").retryable);

    expect(retryable).toEqual([
      "rate_limited",
      "queue_full",
      "storage_unavailable",
      "shutting_down",
      "timeout",
      "connection_lost",
    ]);
  });

  it("keeps its cause, and has no request id when it crossed no wire", () => {
    const cause = new Error("disk");
    const error = new LeaseLostError("The lease is gone", { cause });

    expect(error.cause).toBe(cause);
    expect(error.details).toEqual({});
    expect("requestId" in error).toBe(false);
  });
});
