import { describe, expect, it } from "vitest";
import { InvalidRequestError, LeaseLostError } from "../task/errors.ts";
import type { LeaseToken, QueueName, TaskId } from "../task/ids.ts";
import type { ClaimedTask, Task, TaskCore } from "../task/task.ts";
import { claimedTaskJson, enqueuedJson, errorMessage, resultJson, taskJson, taskMessage } from "./json.ts";

const core: TaskCore = {
  id: "q~AAAAAAAAAAAAAAAA" as TaskId,
  queue: "q" as QueueName,
  priority: 3,
  payload: "1e400",
  attempt: 2,
  maxAttempts: 5,
  createdAt: 1,
  runAt: 2,
  failures: [],
};
const lease = { expiresAt: 9, ms: 1_000, fence: 7, claimedAt: 8, worker: 'say "w"' };

describe("a task as JSON", () => {
  it("has no field without a value", () => {
    expect(taskJson({ ...core, state: "ready" })).toBe(
      '{"id":"q~AAAAAAAAAAAAAAAA","queue":"q","state":"ready","priority":3,"payload":1e400,"attempt":2,' +
        '"maxAttempts":5,"createdAt":1,"runAt":2}',
    );
  });

  it("has all that is known", () => {
    const task: Task = {
      ...core,
      payload: "{}",
      idempotencyKey: '"k"',
      tags: { a: "b" },
      lastError: "line\nline",
      failures: [{ attempt: 1, at: 5, worker: "w", error: "e" }],
      state: "dead",
      finishedAt: 6,
      deadReason: "attempts",
    };

    expect(taskMessage(task)).toEqual({ ...task, payload: {} });
  });

  it("keeps the text of its result, also null", () => {
    const completed = { ...core, state: "completed", finishedAt: 6 } as const;

    expect(taskJson({ ...completed, result: "-0" })).toContain(',"result":-0,"finishedAt":6}');
    expect(taskJson({ ...completed, result: "null" })).toContain('"result":null');
    expect(taskJson(completed)).not.toContain("result");
  });

  it("carries the token of its lease for the claimer alone", () => {
    const token = "t" as LeaseToken;
    const held: ClaimedTask = { ...core, payload: "0", state: "leased", lease: { ...lease, token } };

    expect(JSON.parse(claimedTaskJson(held)).lease).toEqual({ ...lease, token });
    expect(JSON.parse(taskJson(held)).lease).toEqual(lease);
  });

  it("says when it was found by its key", () => {
    expect(JSON.parse(enqueuedJson({ ...core, payload: "0", state: "ready" }, true)).deduplicated).toBe(true);
    expect(enqueuedJson({ id: core.id, queue: core.queue, state: "pruned" }, true)).toBe(
      '{"id":"q~AAAAAAAAAAAAAAAA","queue":"q","state":"pruned","deduplicated":true}',
    );
  });
});

describe("a result as JSON", () => {
  it("is the state alone until the task is finished", () => {
    expect(resultJson({ ...core, lastError: "e", state: "ready" })).toBe('{"state":"ready"}');
    expect(resultJson({ ...core, state: "leased", lease })).toBe('{"state":"leased"}');
  });

  it("has the result of a completed task, and the last error of any", () => {
    expect(resultJson({ ...core, state: "completed", finishedAt: 6, result: "[ 1 ]" })).toBe(
      '{"state":"completed","result":[ 1 ],"finishedAt":6}',
    );
    expect(resultJson({ ...core, lastError: "e", state: "dead", finishedAt: 6, deadReason: "refused" })).toBe(
      '{"state":"dead","lastError":"e","finishedAt":6}',
    );
  });
});

describe("an error as JSON", () => {
  it("leaves details out when there are none", () => {
    expect(errorMessage(new InvalidRequestError("no"))).toEqual({ code: "invalid_request", message: "no" });
    expect(errorMessage(new LeaseLostError("lost", { details: { state: "ready" } })).details).toEqual({
      state: "ready",
    });
  });
});
