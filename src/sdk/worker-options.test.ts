import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { InvalidRequestError } from "../task/errors.ts";
import { defineTask } from "./definition.ts";
import { workerSettings } from "./worker-options.ts";

const handlers = (...queues: string[]) => queues.map((queue) => defineTask({ queue }).handler(() => {}));

describe("the settings of a worker", () => {
  it("have defaults, and show host and process", () => {
    expect(workerSettings(handlers("q"))).toEqual({
      aheadMs: 1,
      concurrency: 10,
      timeoutMs: Number.POSITIVE_INFINITY,
      worker: `${hostname()}:${process.pid}`.slice(-100),
      drainMs: 30_000,
      queues: ["q"],
    });
  });

  it("keep the queues in their order", () => {
    expect(workerSettings(handlers("b", "a")).queues).toEqual(["b", "a"]);
  });

  it.each([
    [{ concurrency: 0 }, /concurrency to be a whole number from 1 to 100000, got 0/],
    [{ concurrency: 1.5 }, /concurrency/],
    [{ leaseMs: 999 }, /leaseMs to be a whole number from 1000 to 43200000, got 999/],
    [{ timeoutMs: 0 }, /timeoutMs/],
    [{ drainMs: -1 }, /drainMs/],
    [{ worker: "w".repeat(101) }, /length of worker to be a whole number from 0 to 100, got 101/],
    [{ threads: 4 }, /A worker has no option threads; it knows concurrency, leaseMs/],
  ])("refuse %o", (options, message) => {
    expect(() => workerSettings(handlers("q"), options as never)).toThrow(message);
    expect(() => workerSettings(handlers("q"), options as never)).toThrow(InvalidRequestError);
  });

  it.each([
    [undefined, "a function or a URL, got undefined"],
    [null, "a function or a URL, got null"],
    ["./render.js", 'a module is named by new URL("./render.js", import.meta.url)'],
  ])("refuse %o in the place of a handler before a task is claimed", (handle, message) => {
    expect(() => workerSettings([defineTask({ queue: "q" }).handler(handle as never)])).toThrow(message);
    expect(() => workerSettings([defineTask({ queue: "q" }) as never])).toThrow("definition.handler");
  });

  it("refuse no queue, the same queue twice, and more than 16", () => {
    const many = Array.from({ length: 17 }, (_, index) => `q${index}`);

    expect(() => workerSettings([])).toThrow("A worker needs at least one handler, got none");
    expect(() => workerSettings(handlers("a", "b", "a"))).toThrow("two handlers for the queue a");
    expect(() => workerSettings(handlers(...many))).toThrow(
      "A worker serves at most 16 queues, got 17: start several workers",
    );
  });
});
