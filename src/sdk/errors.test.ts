import { describe, expect, it, vi } from "vitest";
import { DibsError, InvalidRequestError, WrongStateError } from "../task/errors.ts";
import { AttemptAborted, Refuse, RetryLater, TaskCancelled, TaskDead } from "./errors.ts";

describe("the errors of a client", () => {
  it("keep the codes of the contract", () => {
    const dead = new TaskDead("q~1", "Error: no\n    at send");
    const cancelled = new TaskCancelled("q~1");

    for (const error of [dead, cancelled]) {
      expect(error).toBeInstanceOf(WrongStateError);
      expect(error).toBeInstanceOf(DibsError);
      expect(error).toMatchObject({ code: "wrong_state", retryable: false, taskId: "q~1" });
    }
    expect(dead).toMatchObject({
      name: "TaskDead",
      details: { state: "dead" },
      message: "Task q~1 is dead: Error: no",
    });
    expect(new TaskDead("q~1").message).toBe("Task q~1 is dead");
    expect(cancelled).toMatchObject({ name: "TaskCancelled", details: { state: "cancelled" } });
  });

  it("tell a worker more than that an attempt failed", () => {
    expect(Refuse.is(new Refuse("no"))).toBe(true);
    expect(RetryLater.is(new RetryLater(5))).toBe(true);
    for (const other of [new Error("no"), "text", null, undefined, new AttemptAborted("timeout", "late")]) {
      expect(Refuse.is(other)).toBe(false);
      expect(RetryLater.is(other)).toBe(false);
    }
    expect(new RetryLater(5).message).toBe("Asked to be tried again in 5 ms");
  });

  it("are known also from another copy of the package", async () => {
    vi.resetModules();
    const other = await import("./errors.ts");

    const refusal = new other.Refuse("no");
    expect(refusal).not.toBeInstanceOf(Refuse);
    expect(Refuse.is(refusal)).toBe(true);
    expect(RetryLater.is(new other.RetryLater(1))).toBe(true);
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 1e13])("refuse a delay of %d", (delayMs) => {
    expect(() => new RetryLater(delayMs)).toThrow(InvalidRequestError);
  });
});
