import { describe, expect, it } from "vitest";
import { STATUS } from "../protocol/status.ts";
import { DibsError, ERROR_CODES, errorFromCode, RateLimitedError } from "../task/errors.ts";
import { codedError, errorAnswer } from "./errors.ts";

describe("an error on the wire", () => {
  it.each(ERROR_CODES)("has the status of %s", (code) => {
    const { status, text = "" } = errorAnswer(errorFromCode(code, "why", { details: { n: 1 } }), "r-1");

    expect(status).toBe(STATUS[code]);
    expect(JSON.parse(text)).toEqual({
      error: { code, message: "why", details: { n: 1 } },
      requestId: "r-1",
    });
  });

  it("says when to try again where that helps", () => {
    expect(errorAnswer(new RateLimitedError("slowly"), "r-1").headers).toEqual({ "retry-after": "1" });
    for (const code of ERROR_CODES) {
      const hint = errorAnswer(errorFromCode(code, "why"), "r-1").headers?.["retry-after"];
      expect(hint, code).toBe([429, 503].includes(STATUS[code]) ? "1" : undefined);
    }
  });

  it("tells nothing of a fault that is the server's own, and keeps it for the log", () => {
    for (const thrown of [
      new Error("the secret"),
      "the secret",
      undefined,
      { statusCode: 500, message: "the secret" },
    ]) {
      const error = codedError(thrown);

      expect(error).toBeInstanceOf(DibsError);
      expect([error.code, error.cause]).toEqual(["internal_error", thrown]);
      expect(errorAnswer(error, "r-1").text).not.toContain("secret");
    }
  });
});
