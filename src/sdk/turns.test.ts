import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClaimedTaskMessage } from "../protocol/messages.ts";
import { defineTask } from "./definition.ts";
import { HeldTask } from "./held-task.ts";
import { Slots } from "./slots.ts";
import { Turns } from "./turns.ts";

const HANDLER = defineTask({ queue: "q" }).handler(() => {});
const WINDOW = 64;

function aTask(id = "q~1", { attempt = 1, maxAttempts = 5 } = {}): HeldTask {
  const lease = { token: "t", expiresAt: 0, ms: 30_000, fence: 1, claimedAt: 0 };
  const task = { id, queue: "q", state: "leased", attempt, maxAttempts, lease } as ClaimedTaskMessage;
  return new HeldTask(task, HANDLER, performance.now());
}

describe("the turns of a worker's tasks", () => {
  let started: string[];
  let handedBack: string[];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"], now: 0 });
    started = [];
    handedBack = [];
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  function turns({ concurrency = 1, aheadMs = 1 } = {}) {
    const slots = new Slots(concurrency);
    const made = new Turns(concurrency, aheadMs, slots, {
      start: ({ task }) => started.push(task.id),
      handBack: (tasks) => handedBack.push(...tasks.map(({ task }) => task.id)),
    });
    return { slots, turns: made };
  }

  function work(on: Turns, ranMs: number, tasks = WINDOW): void {
    for (let n = 0; n < tasks; n += 1) {
      on.add(aTask());
      on.ended(ranMs);
    }
    started = [];
  }

  it("let as many handlers run as the concurrency, and the others in their order", () => {
    const { turns: line } = turns({ concurrency: 2 });

    for (const id of ["a", "b", "c", "d"]) line.add(aTask(id));
    expect(started).toEqual(["a", "b"]);
    line.ended(1);
    expect(started).toEqual(["a", "b", "c"]);
    line.ended(1);
    expect(started).toEqual(["a", "b", "c", "d"]);
  });

  it("pass over a task that was cancelled while it waited", () => {
    const { turns: line } = turns();
    const cancelled = aTask("b");
    line.add(aTask("a"));
    line.add(cancelled);
    line.add(aTask("c"));

    cancelled.stage = "ended";
    line.ended(1);

    expect(started).toEqual(["a", "c"]);
  });

  it("give back who comes to its turn with a lease that may have ended, and go on with the next", () => {
    const { turns: line } = turns();
    line.add(aTask("blocks the event loop"));
    line.add(aTask("a"));
    line.add(aTask("b"));
    // No timer fires meanwhile.
    vi.spyOn(performance, "now").mockReturnValue(27_000);
    const fresh = aTask("c");
    line.add(fresh);

    line.ended(27_000);

    expect(handedBack).toEqual(["a", "b"]);
    expect(started).toEqual(["blocks the event loop", "c"]);
  });

  it("give back whom a handler kept from its start for as long as its lease", () => {
    const { turns: line } = turns({ concurrency: 2 });
    const late = aTask("late");
    vi.spyOn(performance, "now").mockReturnValue(27_000);

    line.add(late);

    expect(started).toEqual([]);
    expect(handedBack).toEqual(["late"]);
  });

  it("let so much be claimed ahead as the handlers get through in a millisecond", () => {
    const { slots, turns: line } = turns();

    work(line, 0.1, WINDOW - 1);
    expect(slots.ahead).toBe(0);
    work(line, 0.1, 1);
    expect(slots.ahead).toBe(10);
  });

  it("let as much more be claimed ahead as more handlers run at a time, at most a hundred tasks", () => {
    const four = turns({ concurrency: 4 });
    work(four.turns, 0.1);
    const quick = turns();
    work(quick.turns, 0.000_1);

    expect(four.slots.ahead).toBe(40);
    expect(quick.slots.ahead).toBe(100);
  });

  it("let nothing be claimed ahead where handlers take half a millisecond or the user wants none", () => {
    const long = turns();
    work(long.turns, 0.51);
    const never = turns({ aheadMs: 0 });
    work(never.turns, 0.01);
    const frozen = turns({ aheadMs: 0 });
    work(frozen.turns, 0);

    expect(long.slots.ahead).toBe(0);
    expect(never.slots.ahead).toBe(0);
    expect(frozen.slots.ahead).toBe(0);
  });

  it("let nothing be claimed ahead any more once handlers have become long", () => {
    const { slots, turns: line } = turns();
    work(line, 0.1);
    work(line, 3);

    expect(slots.ahead).toBe(0);
  });

  it("let nothing be claimed ahead where tasks are on their last attempt", () => {
    const { slots, turns: line } = turns();
    work(line, 0.1);

    line.add(aTask("last", { attempt: 5 }));

    expect(slots.ahead).toBe(0);
  });

  it("hand back who has waited 20 ms behind a handler that is slow for once", () => {
    const { slots, turns: line } = turns();
    work(line, 0.1);
    line.add(aTask("slow"));
    line.add(aTask("a"));
    vi.advanceTimersByTime(15);
    line.add(aTask("b"));

    vi.advanceTimersByTime(4);
    expect(handedBack).toEqual([]);
    vi.advanceTimersByTime(1);

    expect(handedBack).toEqual(["a", "b"]);
    expect(slots.ahead).toBe(0);
    line.ended(20);
    expect(started).toEqual(["slow"]);
  });

  it("hand nobody back while the next ones are on their way, where one runs at a time: they would come first", () => {
    const { slots, turns: line } = turns();
    line.add(aTask("slow"));
    line.add(aTask("a"));
    slots.take();
    const asked = slots.promise(1);

    vi.advanceTimersByTime(50);
    expect(handedBack).toEqual([]);
    slots.takeBack(asked, 1);
    line.add(aTask("b"));
    vi.advanceTimersByTime(20);

    expect(handedBack).toEqual(["a", "b"]);
  });

  it("hand back who has waited 20 ms while a claim is under way, where several run at a time", () => {
    const { slots, turns: line } = turns({ concurrency: 2 });
    for (const id of ["slow", "slower", "a"]) line.add(aTask(id));
    slots.promise();

    vi.advanceTimersByTime(20);

    expect(handedBack).toEqual(["a"]);
  });

  it("look at who waits now, not at who waited when the look was planned", () => {
    const { turns: line } = turns();
    line.add(aTask("a"));
    line.add(aTask("b"));
    vi.advanceTimersByTime(10);
    line.ended(10);
    line.add(aTask("c"));

    vi.advanceTimersByTime(19);
    expect(handedBack).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(handedBack).toEqual(["c"]);
  });

  it("hand back who waits when the worker closes", () => {
    const { turns: line } = turns();
    line.add(aTask("a"));
    line.add(aTask("b"));

    line.stop();

    expect(handedBack).toEqual(["b"]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
