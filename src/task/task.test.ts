import { describe, expect, it } from "vitest";
import { assertNever, isFinished, TASK_STATES } from "./task.ts";

describe("a task's state", () => {
  it("is finished when only a requeue or the end of its retention can change it", () => {
    expect(TASK_STATES.filter(isFinished)).toEqual(["completed", "dead", "cancelled"]);
    expect(TASK_STATES.filter((state) => !isFinished(state))).toEqual(["scheduled", "ready", "leased"]);
  });

  it("that no code knows is named when it is met", () => {
    expect(() => assertNever("paused" as never)).toThrow('Unexpected value "paused"');
  });
});
