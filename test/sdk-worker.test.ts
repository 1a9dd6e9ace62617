import { once } from "node:events";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import type { Dibs } from "../src/sdk/client.ts";
import { defineTask } from "../src/sdk/definition.ts";
import { type AttemptAborted, Refuse, RetryLater } from "../src/sdk/errors.ts";
import type { Worker } from "../src/sdk/worker.ts";
import type { CompletedEvent, FailedEvent, LeaseLostEvent } from "../src/sdk/worker-events.ts";
import { Closing, PLACES } from "./sdk-places.ts";

const forEver = () => new Promise<never>(() => {});

/** Ends when the signal aborts, with its reason. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function next<Event>(worker: Worker, name: "completed" | "failed" | "lease-lost"): Promise<Event> {
  const [event] = (await once(worker, name)) as [Event];
  return event;
}

describe.each(PLACES)("a worker on $name", ({ open }) => {
  const closing = new Closing();
  let dibs: Dibs;

  beforeEach(async () => {
    dibs = await closing.connect(await open());
  });
  afterEach(() => closing.all());

  describe("a handler's end", () => {
    it("completes the task with what the handler returns", async () => {
      const sum = defineTask<{ a: number; b: number }, { sum: number }>({ queue: "sums" });
      const worker = dibs.work(sum, ({ task }) => ({ sum: task.payload.a + task.payload.b }));
      const told = next<CompletedEvent>(worker, "completed");

      const task = await dibs.enqueue(sum, { a: 1, b: 2 });

      expect(await dibs.waitForResult(task)).toEqual({ sum: 3 });
      expect(await told).toMatchObject({ task: { id: task.id, attempt: 1 }, result: { sum: 3 } });
    });

    it("gives the handler what it needs to know", async () => {
      let seen: Record<string, unknown> = {};
      dibs.work(
        "q",
        ({ task, fence, attempt, signal }) => {
          seen = { payload: task.payload, fence, attempt, aborted: signal.aborted, lease: task.lease };
        },
        { worker: "me", leaseMs: 5_000 },
      );

      await dibs.waitForResult(await dibs.enqueue("q", "here"));

      expect(seen).toMatchObject({ payload: "here", attempt: 1, aborted: false });
      expect(seen["lease"]).toMatchObject({ worker: "me", ms: 5_000, fence: seen["fence"] });
    });

    it("counts a thrown error as a failed attempt, and tries again", async () => {
      const worker = dibs.work("q", ({ attempt }) => {
        if (attempt === 1) throw new Error("no such mailbox");
        return "sent";
      });
      const failed = next<FailedEvent>(worker, "failed");

      const task = await dibs.enqueue("q", 1, { backoff: { type: "fixed", baseMs: 0 } });

      expect(await dibs.waitForResult(task)).toBe("sent");
      expect(await failed).toMatchObject({ state: "ready", error: new Error("no such mailbox") });
      const { lastError, failures, attempt } = await dibs.task(task);
      expect(attempt).toBe(2);
      expect(lastError).toMatch(/^Error: no such mailbox\n\s+at .*sdk-worker/);
      expect(failures).toHaveLength(1);
    });

    it("cuts an error to 10 kB of whole characters", async () => {
      dibs.work("q", () => {
        throw new Error("é".repeat(20_000));
      });

      const task = await dibs.enqueue("q", 1, { maxAttempts: 1 });

      await expect(dibs.waitForResult(task)).rejects.toMatchObject({ code: "wrong_state" });
      const { lastError } = await dibs.task(task);
      expect(Buffer.byteLength(lastError as string)).toBeLessThanOrEqual(10 * 1024);
      expect(lastError).toMatch(/é$/);
    });

    it("puts a refused task into the dead letters at once", async () => {
      dibs.work("q", () => {
        throw new Refuse("no such customer");
      });

      const task = await dibs.enqueue("q", 1, { maxAttempts: 9 });

      await expect(dibs.waitForResult(task)).rejects.toThrow("no such customer");
      expect(await dibs.task(task)).toMatchObject({ attempt: 1, deadReason: "refused" });
    });

    it("tries again after the delay that the handler asks for", async () => {
      const worker = dibs.work("q", () => {
        throw new RetryLater(60_000, "the other side rests");
      });

      const before = Date.now();
      await dibs.enqueue("q", 1, { backoff: { type: "fixed", baseMs: 0 } });
      const { state, runAt, task } = await next<FailedEvent>(worker, "failed");

      expect(state).toBe("scheduled");
      expect(runAt).toBeGreaterThanOrEqual(before + 60_000);
      expect((await dibs.task(task.id)).lastError).toBe("the other side rests");
    });

    it("hands the handler what the schema makes of the payload", async () => {
      const timed = defineTask({
        queue: "timed",
        schema: z.object({
          at: z.iso.datetime().transform((text) => new Date(text)),
          times: z.number().default(2),
        }),
      });
      let seen: unknown;
      dibs.work(timed, ({ task }) => {
        seen = task.payload;
      });

      await dibs.waitForResult(await dibs.enqueue(timed, { at: "2026-01-31T08:00:00Z" }));

      expect(seen).toEqual({ at: new Date("2026-01-31T08:00:00Z"), times: 2 });
    });

    it("refuses a stored payload that no longer fits the definition, saying why", async () => {
      let runs = 0;
      const welcome = defineTask({ queue: "emails", schema: z.object({ to: z.string() }) });
      dibs.work(welcome, () => {
        runs += 1;
      });

      const task = await dibs.enqueue("emails", { recipient: "a@b.c" });

      await expect(dibs.waitForResult(task)).rejects.toThrow(
        /does not fit the definition of queue emails: to:/,
      );
      expect(await dibs.task(task)).toMatchObject({ state: "dead", deadReason: "refused", attempt: 1 });
      expect(runs).toBe(0);
    });

    it("fails an attempt whose result does not fit the definition, or JSON, or the limit", async () => {
      const strict = defineTask({
        queue: "strict",
        schema: z.unknown(),
        resultSchema: z.object({ n: z.number() }),
      });
      dibs.work([
        strict.handler(() => ({ n: "one" }) as never),
        defineTask({ queue: "big" }).handler(() => 1n),
        defineTask({ queue: "huge" }).handler(() => "x".repeat(1024 * 1024)),
      ]);

      const errors = ["strict", "big", "huge"].map(async (queue) => {
        const task = await dibs.enqueue(queue, 1, { maxAttempts: 1 });
        await dibs.waitForResult(task).catch(() => {});
        return (await dibs.task(task)).lastError;
      });

      const [unfit, unsaid, tooLarge] = await Promise.all(errors);
      expect(unfit).toMatch(/result does not fit the definition of queue strict: n:/);
      expect(unsaid).toMatch(/result of task big~\S+ cannot be written as JSON: .*BigInt/);
      expect(tooLarge).toMatch(/^The result was refused: .*1048576/);
    });
  });

  describe("its slots", () => {
    it("are never exceeded, and never idle while tasks are ready", async () => {
      let running = 0;
      let most = 0;
      let done = 0;
      const worker = dibs.work(
        "q",
        async () => {
          running += 1;
          most = Math.max(most, running, worker.held);
          await sleep(Math.random() * 3);
          running -= 1;
          done += 1;
        },
        { concurrency: 50 },
      );

      await dibs.enqueueMany(
        "q",
        Array.from({ length: 1_000 }, (_, index) => index),
      );
      await worker.whenIdle();

      expect(done).toBe(1_000);
      expect(most).toBe(50);
      const { counts } = await dibs.queue("q").get();
      expect(counts).toMatchObject({ ready: 0, leased: 0, completed: 1_000 });
    });

    it("are served from the queues in their order, strictly", async () => {
      const order: string[] = [];
      const note = (queue: string) => defineTask({ queue }).handler(() => void order.push(queue));
      await dibs.enqueueMany("low", [1, 2, 3]);
      await dibs.enqueueMany("high", [1, 2, 3]);

      const worker = dibs.work([note("high"), note("low")], { concurrency: 1 });
      await worker.whenIdle();

      expect(order).toEqual(["high", "high", "high", "low", "low", "low"]);
    });

    it("stay taken by a handler that ignores its signal", async () => {
      let runs = 0;
      const worker = dibs.work(
        "q",
        () => {
          runs += 1;
          return runs === 1 ? forEver() : "done";
        },
        { concurrency: 1, timeoutMs: 50, drainMs: 0 },
      );
      worker.on("error", () => {});

      const task = await dibs.enqueue("q", 1, { backoff: { type: "fixed", baseMs: 0 } });
      await next<FailedEvent>(worker, "failed");

      expect(worker.held).toBe(1);
      expect((await dibs.task(task)).state).toBe("ready");
      expect(runs).toBe(1);
    });
  });

  describe("an attempt that must stop", () => {
    it("aborts with `timeout` and has failed", async () => {
      const worker = dibs.work("q", ({ signal }) => untilAborted(signal), { timeoutMs: 50 });

      await dibs.enqueue("q", 1, { backoff: { type: "fixed", baseMs: 60_000, jitter: "none" } });
      const failed = await next<FailedEvent>(worker, "failed");

      expect((failed.error as AttemptAborted).code).toBe("timeout");
      expect(await dibs.task(failed.task.id)).toMatchObject({
        state: "scheduled",
        attempt: 1,
        lastError: "The attempt took longer than timeoutMs 50",
      });
    });

    it("has failed also when its handler brings a result after its time", async () => {
      const worker = dibs.work("q", ({ signal }) => untilAborted(signal).catch(() => "late"), {
        timeoutMs: 50,
      });

      const task = await dibs.enqueue("q", 1, { maxAttempts: 1 });
      await next<FailedEvent>(worker, "failed");

      expect(await dibs.task(task)).toMatchObject({
        state: "dead",
        lastError: expect.stringMatching(/longer than timeoutMs 50/),
      });
    });

    it("aborts with `cancelled` when somebody cancels its task", async () => {
      const worker = dibs.work("q", ({ signal }) => untilAborted(signal), { leaseMs: 1_000 });
      const task = await dibs.enqueue("q");
      await expect.poll(() => worker.held).toBe(1);

      await dibs.cancel(task);
      const { reason } = await next<LeaseLostEvent>(worker, "lease-lost");

      expect(reason.code).toBe("cancelled");
      await expect.poll(() => worker.held).toBe(0);
    });

    it("aborts with `lease-lost` when an operator takes its task, and goes on with the next", async () => {
      const reasons: unknown[] = [];
      const worker = dibs.work(
        "q",
        async ({ signal, attempt, fence }) => {
          if (reasons.length > 0) return { attempt, fence };
          return untilAborted(signal).catch((reason: AttemptAborted) => {
            reasons.push(reason.code);
            throw reason;
          });
        },
        { leaseMs: 1_000, concurrency: 1 },
      );
      const task = await dibs.enqueue("q");
      await expect.poll(() => worker.held).toBe(1);

      await dibs.forceRelease(task);

      expect(await dibs.waitForResult<{ attempt: number }>(task.id)).toMatchObject({ attempt: 1 });
      expect(reasons).toEqual(["lease-lost"]);
    });

    it("may keep its lease longer, when it asks", async () => {
      const worker = dibs.work(
        "q",
        async ({ task, heartbeat }) => {
          return { was: task.lease.expiresAt, is: await heartbeat(600_000) };
        },
        { leaseMs: 1_000 },
      );
      const completed = next<CompletedEvent>(worker, "completed");

      await dibs.enqueue("q");

      const { was, is } = (await completed).result as { was: number; is: number };
      expect(is - was).toBeGreaterThan(590_000);
    });
  });

  describe("short handlers", () => {
    /** So many that a worker has measured its handlers several times. */
    const many = Array.from({ length: 500 }, (_, index) => index);

    it("have their next tasks claimed ahead, and run as many at a time as before, in order", async () => {
      const order: unknown[] = [];
      let running = 0;
      let mostRunning = 0;
      let mostHeld = 0;
      await dibs.enqueueMany("q", many);

      const worker = dibs.work(
        "q",
        async ({ task }) => {
          running += 1;
          mostRunning = Math.max(mostRunning, running);
          mostHeld = Math.max(mostHeld, worker.held);
          order.push(task.payload);
          await Promise.resolve();
          running -= 1;
        },
        { concurrency: 1 },
      );
      await worker.whenIdle();

      expect(order).toEqual(many);
      expect(mostRunning).toBe(1);
      expect(mostHeld).toBeGreaterThan(1);
      expect((await dibs.queue("q").get()).counts).toMatchObject({ ready: 0, leased: 0, completed: 500 });
    });

    it("that are slow for once leave what was claimed ahead to others, its attempt uncounted", async () => {
      let finish: () => void = () => {};
      const slow = new Promise<void>((resolve) => {
        finish = resolve;
      });
      await dibs.enqueueMany("q", [...many, "slow", ...many]);
      const seen: unknown[] = [];
      const work = () =>
        dibs.work(
          "q",
          ({ task, attempt }) => {
            seen.push(attempt);
            return task.payload === "slow" ? slow : undefined;
          },
          { concurrency: 1 },
        );

      const first = work();
      await expect.poll(() => seen.length).toBeGreaterThan(500);
      const second = work();
      await expect
        .poll(async () => (await dibs.queue("q").get()).counts)
        .toMatchObject({ ready: 0, leased: 1, completed: 1_000 });
      finish();
      await first.whenIdle();
      await second.whenIdle();

      expect(seen).toEqual(Array(1_001).fill(1));
    });

    it("are told to be through as soon as they are, though a claim waits for more", async () => {
      await dibs.enqueueMany("q", many);
      const worker = dibs.work("q", () => {}, { concurrency: 1 });

      await once(worker, "idle");

      expect((await dibs.queue("q").get()).counts).toMatchObject({ ready: 0, leased: 0, completed: 500 });
    });

    it("claim nothing ahead when they are told not to", async () => {
      let mostHeld = 0;
      await dibs.enqueueMany("q", many);
      const worker = dibs.work(
        "q",
        () => {
          mostHeld = Math.max(mostHeld, worker.held);
        },
        { concurrency: 2, aheadMs: 0 },
      );
      await worker.whenIdle();

      expect(mostHeld).toBeLessThanOrEqual(2);
    });
  });

  describe("closing", () => {
    it("lets running handlers finish, and claims nothing more", async () => {
      let finish: () => void = () => {};
      const worker = dibs.work(
        "q",
        () =>
          new Promise<void>((resolve) => {
            finish = resolve;
          }),
        { concurrency: 1 },
      );
      const [first, second] = [await dibs.enqueue("q", 1), await dibs.enqueue("q", 2)];
      await expect.poll(() => worker.held).toBe(1);

      const closed = worker.close();
      await turn();
      finish();
      await closed;
      await worker.close();

      expect((await dibs.task(first)).state).toBe("completed");
      expect(await dibs.task(second)).toMatchObject({ state: "ready", attempt: 0 });
    });

    it("aborts with `shutdown` after drainMs and hands the task back, its attempt uncounted", async () => {
      let reason: AttemptAborted | undefined;
      const worker = dibs.work(
        "q",
        ({ signal }) =>
          untilAborted(signal).catch((error) => {
            reason = error;
            throw error;
          }),
        { drainMs: 20 },
      );
      const task = await dibs.enqueue("q");
      await expect.poll(() => worker.held).toBe(1);

      await worker.close();

      expect(reason?.code).toBe("shutdown");
      expect(await dibs.task(task)).toMatchObject({ state: "ready", attempt: 0 });
      expect((await dibs.task(task)).failures).toBeUndefined();
    });

    it("hands back also what a handler does not let go", async () => {
      const worker = dibs.work("q", forEver, { drainMs: 0 });
      const task = await dibs.enqueue("q");
      await expect.poll(() => worker.held).toBe(1);

      await worker.close();

      expect(await dibs.task(task)).toMatchObject({ state: "ready", attempt: 0 });
    });

    it("withdraws the claim that waits, and loses no task", async () => {
      const worker = dibs.work("q", () => {}, { concurrency: 5 });
      await once(worker, "idle");
      await dibs.queue("q").configure({});
      await expect.poll(async () => (await dibs.queue("q").get()).waiting).toBe(1);

      await worker.close();
      const task = await dibs.enqueue("q");

      expect((await dibs.queue("q").get()).waiting).toBe(0);
      expect(await dibs.task(task)).toMatchObject({ state: "ready", attempt: 0 });
    });

    it("lets a handler that finishes enqueue what comes next", async () => {
      let finish: () => void = () => {};
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      let followUp: { id: string } | undefined;
      const worker = dibs.work("q", async () => {
        await finished;
        followUp = await dibs.enqueue("next", "follow-up");
      });
      await dibs.enqueue("q");
      await expect.poll(() => worker.held).toBe(1);

      const closed = dibs.close();
      await turn();
      finish();
      await closed;

      expect(followUp?.id).toMatch(/^next~/);
      expect(() => dibs.work("q", () => {})).toThrow(/closed/);
    });

    it("is done by the client that it belongs to, and at the end of a scope", async () => {
      let closedFirst = false;
      {
        await using worker = dibs.work("q", () => {});
        worker.once("closed", () => {
          closedFirst = true;
        });
      }
      const second = dibs.work("q", () => {});
      const closed = once(second, "closed");

      await dibs.close();

      expect(closedFirst).toBe(true);
      await closed;
    });
  });

  it("says when it is idle, once for each time", async () => {
    let idle = 0;
    const worker = dibs.work("q", () => {});
    worker.on("idle", () => {
      idle += 1;
    });
    await expect.poll(() => idle).toBe(1);

    await dibs.enqueueMany("q", [1, 2, 3]);

    await expect.poll(() => idle).toBe(2);
    expect((await dibs.queue("q").get()).counts.completed).toBe(3);
  });

  it("lives with listeners that throw", async () => {
    const worker = dibs.work("q", () => "done");
    worker.on("completed", () => {
      throw new Error("a listener's fault");
    });
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    closing.add(async () => warn.mockRestore());

    await dibs.waitForResult(await dibs.enqueue("q", 1));
    await dibs.waitForResult(await dibs.enqueue("q", 2));

    await expect.poll(() => warn.mock.calls.length).toBe(2);
    expect(warn.mock.calls[0]?.[0]).toMatch(
      /listener of the worker's event completed threw.*a listener's fault/s,
    );
  });
});
