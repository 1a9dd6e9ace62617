import { describe, expect, it } from "vitest";
import { type DibsError, InvalidRequestError } from "../task/errors.ts";
import { parseTaskId, type TaskId } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import { claimAsk, completeAsk, eachInPlace, enqueueAsk, nackAsk, settleAsks } from "./requests.ts";

const id = parseTaskId("q~AAAAAAAAAAAAAAAA") as TaskId;
const nested = (depth: number): unknown => {
  let value: unknown = 0;
  for (let level = 0; level < depth; level += 1) value = [value];
  return value;
};

describe("an enqueue", () => {
  it("has the payload null when none is given", () => {
    expect(enqueueAsk({ queue: "q" })).toEqual({ queue: "q", payload: "null" });
  });

  it("takes the text of the payload before its value", () => {
    expect(enqueueAsk({ queue: "q", payload: Number.POSITIVE_INFINITY }, "1e400").payload).toBe("1e400");
    expect(enqueueAsk({ queue: "q", payload: { a: 1 } }).payload).toBe('{"a":1}');
  });

  it("keeps names in a payload that mean something to JavaScript", () => {
    const payload = JSON.parse('{"__proto__":{"x":1},"constructor":2}');

    expect(enqueueAsk({ queue: "q", payload }).payload).toBe('{"__proto__":{"x":1},"constructor":2}');
  });

  it("takes a payload to its deepest level, and refuses the next and those that no stack can hold", () => {
    const { jsonDepthMax } = LIMITS;
    expect(enqueueAsk({ queue: "q", payload: nested(jsonDepthMax) }).payload).toHaveLength(
      2 * jsonDepthMax + 1,
    );

    for (const depth of [jsonDepthMax + 1, 1_000_000]) {
      expect(() => enqueueAsk({ queue: "q", payload: nested(depth) })).toThrow(
        expect.objectContaining({ details: { field: "payload", bound: jsonDepthMax } }),
      );
    }
  });

  it("refuses a payload that is no JSON", () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;

    for (const payload of [circle, 1n, () => {}]) {
      expect(() => enqueueAsk({ queue: "q", payload })).toThrow(InvalidRequestError);
    }
  });
});

describe("a claim", () => {
  it("asks for one task, now, when nothing else is said", () => {
    expect(claimAsk({ queues: ["q"] })).toEqual({ queues: ["q"], max: 1, waitMs: 0 });
  });

  it("names each queue once, in the order given", () => {
    expect(claimAsk({ queues: ["b", "a", "b"] }).queues).toEqual(["b", "a"]);
  });
});

describe("a settlement", () => {
  it("is a refusal when the task must not be tried again", () => {
    expect(nackAsk(id, { leaseToken: "t", retry: false, error: "e" })).toEqual({
      outcome: "refuse",
      id,
      token: "t",
      error: "e",
    });
    expect(nackAsk(id, { leaseToken: "t", retry: true, delayMs: 0 })).toEqual({
      outcome: "nack",
      id,
      token: "t",
      delayMs: 0,
    });
  });

  it("has a result only when one is given", () => {
    expect(completeAsk(id, { leaseToken: "t" })).not.toHaveProperty("result");
    expect(completeAsk(id, { leaseToken: "t", result: null })).toHaveProperty("result", "null");
  });

  it("makes an error's text whole before it is measured and kept", () => {
    expect(nackAsk(id, { leaseToken: "t", error: "cut \ud83d" })).toHaveProperty("error", "cut \ufffd");
  });

  it("is an error in its place for an id that no task has", () => {
    const [first, second] = settleAsks({
      outcomes: [
        { id: "nonsense", leaseToken: "t", outcome: "release" },
        { id, leaseToken: "t", outcome: "release" },
      ],
    });

    expect([(first as DibsError).code, second]).toEqual([
      "task_not_found",
      { outcome: "release", id, token: "t" },
    ]);
  });
});

describe("asks of which some are errors", () => {
  it("are answered in their places", async () => {
    const error = new InvalidRequestError("no");
    const asked: object[] = [];
    const answers = await eachInPlace([{ n: 1 }, error, { n: 2 }], async (asks) => {
      asked.push(...asks);
      return asks.map(({ n }) => n * 10);
    });

    expect(answers).toEqual([10, error, 20]);
    expect(asked).toEqual([{ n: 1 }, { n: 2 }]);
  });
});
