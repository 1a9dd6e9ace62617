import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Dibs } from "../src/sdk/client.ts";
import { defineTask } from "../src/sdk/definition.ts";
import { InvalidPayload, TaskCancelled, TaskDead } from "../src/sdk/errors.ts";
import {
  DibsError,
  IdempotencyConflictError,
  InvalidRequestError,
  LeaseLostError,
  PayloadTooLargeError,
  QueueFullError,
  QueueNotFoundError,
  TaskNotFoundError,
  TimeoutError,
  WrongStateError,
} from "../src/task/errors.ts";
import { Closing, PLACES } from "./sdk-places.ts";

// One suite through every place: what a program sees must not depend on where its tasks are.
describe.each(PLACES)("a client of $name", ({ open }) => {
  const closing = new Closing();
  let dibs: Dibs;

  beforeEach(async () => {
    dibs = await closing.connect(await open());
  });
  afterEach(() => closing.all());

  const welcome = defineTask({ queue: "emails", schema: z.object({ to: z.string() }), maxAttempts: 8 });
  const sum = defineTask<{ a: number; b: number }, { sum: number }>({ queue: "sums" });

  describe("enqueue", () => {
    it("answers the task with everything that was asked for", async () => {
      const runAt = Date.now() + 60_000;

      const task = await dibs.enqueue(
        "emails",
        { to: "a@b.c" },
        {
          priority: 7,
          runAt,
          maxAttempts: 3,
          idempotencyKey: "order-17",
          tags: { tenant: "acme" },
        },
      );

      expect(task).toMatchObject({
        queue: "emails",
        state: "scheduled",
        priority: 7,
        payload: { to: "a@b.c" },
        attempt: 0,
        maxAttempts: 3,
        runAt,
        idempotencyKey: "order-17",
        tags: { tenant: "acme" },
      });
      expect(await dibs.task(task)).toEqual(task);
    });

    it("takes a delay, an ISO time or a Date", async () => {
      const at = new Date(Date.now() + 3_600_000);

      const delayed = await dibs.enqueue("q", 1, { delayMs: 60_000 });
      const byText = await dibs.enqueue("q", 2, { runAt: at.toISOString() });
      const byDate = await dibs.enqueue("q", 3, { runAt: at });

      expect(delayed.state).toBe("scheduled");
      expect(byText).toMatchObject({ state: "scheduled", runAt: at.getTime() });
      expect(byDate).toMatchObject({ state: "scheduled", runAt: at.getTime() });
    });

    it("starts from the definition's defaults, which an enqueue overrides", async () => {
      const report = defineTask({ queue: "reports", priority: 2, delayMs: 60_000, tags: { kind: "report" } });

      const usual = await dibs.enqueue(report, {});
      const urgent = await dibs.enqueue(report, {}, { priority: 9, delayMs: 0 });
      const timed = await dibs.enqueue(report, {}, { runAt: 0 });

      expect(usual).toMatchObject({ state: "scheduled", priority: 2, tags: { kind: "report" } });
      expect(urgent).toMatchObject({ state: "ready", priority: 9 });
      expect(timed).toMatchObject({ state: "ready" });
    });

    it.each([
      ["null", null],
      ["nothing", undefined],
      [
        "text with every kind of character",
        'quote " backslash \\ newline \n zero \u0000 snow ☃ horse 🐎 lone \ud800',
      ],
      ["a large number", 1e300],
      ["nesting", { a: [{ b: { c: [[], {}, [null]] } }] }],
      ["a name that objects inherit", JSON.parse('{"__proto__": 1, "constructor": {"prototype": 2}}')],
      ["an empty object", {}],
      ["false", false],
    ])("keeps %s as it is", async (_, payload) => {
      const task = await dibs.enqueue("q", payload);
      const [claimed] = await dibs.claim({ queues: ["q"] });

      expect(claimed?.id).toBe(task.id);
      expect(claimed?.payload).toEqual(payload ?? null);
      expect((await dibs.task(task)).payload).toEqual(payload ?? null);
    });

    it("refuses a payload that does not fit the schema, before it is sent", async () => {
      const wrong = dibs.enqueue(welcome, { to: 1 } as never);

      await expect(wrong).rejects.toBeInstanceOf(InvalidPayload);
      await expect(wrong).rejects.toMatchObject({ code: "invalid_request", queue: "emails" });
      await expect(wrong).rejects.toThrow(/queue emails: to: .*string/);
      expect(await dibs.queues()).toEqual([]);
    });

    it("refuses what JSON cannot say", async () => {
      const cycle: Record<string, unknown> = {};
      cycle["self"] = cycle;

      await expect(dibs.enqueue("q", 1n)).rejects.toThrow(/payload for queue q cannot be written as JSON/);
      await expect(dibs.enqueue("q", cycle)).rejects.toBeInstanceOf(InvalidRequestError);
      await expect(dibs.enqueue("q", () => 1)).rejects.toThrow(/it is a function/);
    });

    it("gives the first task again for the same idempotency key", async () => {
      const first = await dibs.enqueue("q", { n: 1, m: 2 }, { idempotencyKey: "k" });
      const second = await dibs.enqueue("q", { m: 2, n: 1 }, { idempotencyKey: "k" });
      const conflict = dibs.enqueue("q", { n: 2 }, { idempotencyKey: "k" });

      expect(first.deduplicated).toBeUndefined();
      expect(second).toEqual({ ...first, deduplicated: true });
      await expect(conflict).rejects.toBeInstanceOf(IdempotencyConflictError);
    });

    it("says that only the key is left of a task that was removed", async () => {
      const first = await dibs.enqueue("q", 1, { idempotencyKey: "k" });
      await dibs.queue("q").purge("ready");

      const again = await dibs.enqueue("q", 1, { idempotencyKey: "k" });

      expect(again).toEqual({ id: first.id, queue: "q", state: "pruned", deduplicated: true });
    });

    it("refuses a payload over the limit, and a task over the queue's depth", async () => {
      await dibs.queue("full").configure({ maxDepth: 1 });
      await dibs.enqueue("full", 1);

      await expect(dibs.enqueue("q", "x".repeat(1024 * 1024))).rejects.toBeInstanceOf(PayloadTooLargeError);
      const full = dibs.enqueue("full", 2);
      await expect(full).rejects.toBeInstanceOf(QueueFullError);
      await expect(full).rejects.toMatchObject({ code: "queue_full", retryable: true });
    });
  });

  describe("enqueueMany", () => {
    it("gives one outcome each, in order, also when some are refused", async () => {
      const outcomes = await dibs.enqueueMany(welcome, [
        { to: "first" },
        { to: 2 } as never,
        { to: "x".repeat(1024 * 1024) },
        { to: "last" },
      ]);

      expect(outcomes.map(({ error }) => error?.code)).toEqual([
        undefined,
        "invalid_request",
        "payload_too_large",
        undefined,
      ]);
      expect(outcomes[0]?.task).toMatchObject({ payload: { to: "first" }, maxAttempts: 8 });
      expect(outcomes[3]?.task).toMatchObject({ payload: { to: "last" } });
      expect(outcomes[1]?.error).toBeInstanceOf(InvalidPayload);
      expect(outcomes[2]?.error).toBeInstanceOf(PayloadTooLargeError);
    });

    it("sends more than one request holds, in order", async () => {
      const payloads = Array.from({ length: 2_345 }, (_, index) => ({ index }));

      const outcomes = await dibs.enqueueMany("many", payloads);

      expect(outcomes.map(({ task }) => task && "payload" in task && task.payload)).toEqual(payloads);
      expect((await dibs.queue("many").get()).counts.ready).toBe(2_345);
      const [first] = await dibs.claim({ queues: ["many"] });
      expect(first?.payload).toEqual({ index: 0 });
    });

    it("takes options for each payload", async () => {
      const outcomes = await dibs.enqueueMany("q", ["a", "b", "a"], (payload) => ({
        idempotencyKey: payload,
        priority: payload === "a" ? 9 : 0,
      }));

      expect(outcomes[2]?.task).toMatchObject({ id: outcomes[0]?.task?.id, deduplicated: true });
      expect(outcomes[0]?.task).toMatchObject({ priority: 9 });
      expect(outcomes[1]?.task).toMatchObject({ priority: 0 });
    });

    it("does nothing with an empty list", async () => {
      expect(await dibs.enqueueMany("q", [])).toEqual([]);
    });
  });

  describe("waitForResult", () => {
    it("refuses options that it does not know, and times that cannot be", async () => {
      const task = await dibs.enqueue(sum, { a: 1, b: 2 });
      await expect(dibs.waitForResult(task, { timeout: 5 } as never)).rejects.toThrow("no option timeout");
      await expect(dibs.waitForResult(task, { timeoutMs: -1 })).rejects.toThrow("timeoutMs");
    });

    it("gives the result as soon as the task is completed", async () => {
      const task = await dibs.enqueue(sum, { a: 1, b: 2 });
      const result = dibs.waitForResult(task, { timeoutMs: 10_000 });
      const [claimed] = await dibs.claim({ queues: ["sums"] });

      const { token } = claimed!.lease;
      await dibs.settle([{ id: task.id, leaseToken: token, outcome: "complete", result: { sum: 3 } }]);

      expect(await result).toEqual({ sum: 3 });
      expect(await dibs.waitForResult(task.id)).toEqual({ sum: 3 });
    });

    it("gives undefined for a task that completed without a result", async () => {
      const task = await dibs.enqueue("q");
      const [claimed] = await dibs.claim({ queues: ["q"] });
      await dibs.settle([{ id: task.id, leaseToken: claimed!.lease.token, outcome: "complete" }]);

      expect(await dibs.waitForResult(task)).toBeUndefined();
    });

    it("rejects for a task that died or was cancelled, saying why", async () => {
      const [died, cancelled] = [await dibs.enqueue("q", 1), await dibs.enqueue("q", 2, { delayMs: 60_000 })];
      const [claimed] = await dibs.claim({ queues: ["q"] });
      const { token } = claimed!.lease;
      const error = "Error: no such mailbox\n    at send";
      await dibs.settle([{ id: died.id, leaseToken: token, outcome: "nack", retry: false, error }]);
      await dibs.cancel(cancelled);

      const dead = dibs.waitForResult(died);
      await expect(dead).rejects.toBeInstanceOf(TaskDead);
      await expect(dead).rejects.toMatchObject({ code: "wrong_state", taskId: died.id, lastError: error });
      await expect(dead).rejects.toThrow(`Task ${died.id} is dead: Error: no such mailbox`);
      await expect(dibs.waitForResult(cancelled)).rejects.toBeInstanceOf(TaskCancelled);
    });

    it("rejects when the time is over, and leaves the task alone", async () => {
      const task = await dibs.enqueue("q");

      const late = dibs.waitForResult(task, { timeoutMs: 30 });

      await expect(late).rejects.toBeInstanceOf(TimeoutError);
      await expect(late).rejects.toMatchObject({ code: "timeout", details: { timeoutMs: 30 } });
      expect((await dibs.task(task)).state).toBe("ready");
    });

    it("stops waiting when its signal aborts, or for a task that does not exist", async () => {
      const task = await dibs.enqueue("q");
      const stop = new AbortController();

      const waiting = dibs.waitForResult(task, { signal: stop.signal });
      setImmediate(() => stop.abort(new Error("enough")));

      await expect(waiting).rejects.toThrow("enough");
      await expect(dibs.waitForResult("q~0123456789abcdef")).rejects.toBeInstanceOf(TaskNotFoundError);
    });
  });

  describe("one task", () => {
    it("is cancelled, and requeued", async () => {
      const task = await dibs.enqueue("q");

      expect(await dibs.cancel(task)).toMatchObject({ id: task.id, state: "cancelled" });
      await expect(dibs.cancel(task)).rejects.toBeInstanceOf(WrongStateError);
      expect(await dibs.requeue(task.id)).toMatchObject({ id: task.id, state: "ready" });
      await expect(dibs.requeue(task)).rejects.toMatchObject({ details: { state: "ready" } });
    });

    it("is taken from its holder by an operator", async () => {
      const task = await dibs.enqueue("q");
      const [claimed] = await dibs.claim({ queues: ["q"] });

      expect(await dibs.forceRelease(task)).toMatchObject({ id: task.id, state: "ready" });

      const { token } = claimed!.lease;
      const { results } = await dibs.settle([{ id: task.id, leaseToken: token, outcome: "complete" }]);
      expect(results[0]?.error).toBeInstanceOf(LeaseLostError);
      await expect(dibs.forceRelease(task)).rejects.toBeInstanceOf(WrongStateError);
    });

    it("shows its lease to a reader without the token", async () => {
      const task = await dibs.enqueue("q");
      const [claimed] = await dibs.claim({ queues: ["q"], worker: "me" });

      const { token, ...lease } = claimed!.lease;
      expect(token).not.toBe("");
      expect((await dibs.task(task)).lease).toEqual(lease);
    });
  });

  describe("a queue", () => {
    it("exists from its first task or configuration", async () => {
      const missing = dibs.queue("nobody").get();
      await expect(missing).rejects.toBeInstanceOf(QueueNotFoundError);
      await expect(dibs.queue("nobody").purge("ready")).rejects.toBeInstanceOf(QueueNotFoundError);

      await dibs.enqueue("b");
      await dibs.queue("a").configure({ leaseMs: 5_000, backoff: { type: "fixed", baseMs: 10 } });

      expect((await dibs.queues()).map(({ queue }) => queue)).toEqual(["a", "b"]);
      const { config, counts } = await dibs.queue("a").get();
      expect(config).toMatchObject({
        leaseMs: 5_000,
        backoff: { type: "fixed", baseMs: 10, jitter: "full" },
      });
      expect(counts).toEqual({ scheduled: 0, ready: 0, leased: 0, completed: 0, dead: 0, cancelled: 0 });
    });

    it("gives nothing while it is paused", async () => {
      await dibs.enqueue("q");

      expect((await dibs.queue("q").pause()).paused).toBe(true);
      expect(await dibs.claim({ queues: ["q"] })).toEqual([]);
      expect((await dibs.queue("q").resume()).paused).toBe(false);
      expect(await dibs.claim({ queues: ["q"] })).toHaveLength(1);
    });

    it("lists all its tasks of a state, page after page, in claim order", async () => {
      const payloads = Array.from({ length: 450 }, (_, index) => index);
      await dibs.enqueueMany("q", payloads, (index) => ({ priority: index % 2 }));

      const listed: unknown[] = [];
      for await (const task of dibs.queue("q").tasks({ state: "ready" })) listed.push(task.payload);
      const some: unknown[] = [];
      for await (const task of dibs.queue("q").tasks({ state: "ready", limit: 3 })) some.push(task.payload);

      const odd = payloads.filter((index) => index % 2 === 1);
      const even = payloads.filter((index) => index % 2 === 0);
      expect(listed).toEqual([...odd, ...even]);
      expect(some).toEqual([1, 3, 5]);
    });

    it("brings dead tasks back, and forgets those of a state", async () => {
      await dibs.enqueueMany("q", [1, 2, 3]);
      const claimed = await dibs.claim({ queues: ["q"], max: 3 });
      await dibs.settle(
        claimed.map(({ id, lease }) => ({ id, leaseToken: lease.token, outcome: "nack", retry: false })),
      );

      expect(await dibs.queue("q").requeueDead(2)).toBe(2);
      expect(await dibs.queue("q").requeueDead()).toBe(1);
      expect(await dibs.queue("q").purge("ready")).toBe(3);
      expect((await dibs.queue("q").get()).counts.ready).toBe(0);
    });

    it("is found by a definition too", async () => {
      await dibs.enqueue(welcome, { to: "a@b.c" });

      expect((await dibs.queue(welcome).get()).counts.ready).toBe(1);
    });
  });

  describe("claim, settle and heartbeat", () => {
    it("takes tasks by priority, and the next ones with the settle of the last", async () => {
      await dibs.enqueueMany("q", [1, 2, 3], (n) => ({ priority: n }));

      const first = await dibs.claim({ queues: ["q"], max: 2, leaseMs: 5_000, worker: "w1" });
      const { results, tasks } = await dibs.settle(
        first.map(({ id, lease }) => ({ id, leaseToken: lease.token, outcome: "complete" })),
        { queues: ["q"], max: 5 },
      );

      expect(first.map(({ payload }) => payload)).toEqual([3, 2]);
      expect(first[0]?.lease).toMatchObject({ ms: 5_000, worker: "w1" });
      expect(results).toEqual(first.map(({ id }) => ({ id, state: "completed" })));
      expect(tasks.map(({ payload }) => payload)).toEqual([1]);
    });

    it("says for each outcome what became of it", async () => {
      await dibs.enqueueMany("q", [1, 2, 3, 4], { maxAttempts: 2 });
      const [a, b, c, d] = await dibs.claim({ queues: ["q"], max: 4 });

      const { results } = await dibs.settle([
        { id: a!.id, leaseToken: a!.lease.token, outcome: "nack", delayMs: 60_000, error: "later" },
        { id: b!.id, leaseToken: b!.lease.token, outcome: "nack", delayMs: 0 },
        { id: c!.id, leaseToken: c!.lease.token, outcome: "release" },
        { id: d!.id, leaseToken: a!.lease.token, outcome: "complete" },
        { id: "q~0123456789abcdef", leaseToken: "x", outcome: "complete" },
        { id: "what", leaseToken: "x", outcome: "complete" },
      ]);

      expect(results[0]).toMatchObject({ id: a!.id, state: "scheduled", runAt: expect.any(Number) });
      expect(results.slice(1, 3)).toEqual([
        { id: b!.id, state: "ready" },
        { id: c!.id, state: "ready" },
      ]);
      expect(results.map(({ error }) => error?.code)).toEqual([
        undefined,
        undefined,
        undefined,
        "lease_lost",
        "task_not_found",
        "task_not_found",
      ]);
    });

    it("completes twice with the same token, and refuses another one", async () => {
      const task = await dibs.enqueue("q");
      const [claimed] = await dibs.claim({ queues: ["q"] });
      const outcome = { id: task.id, leaseToken: claimed!.lease.token, outcome: "complete" } as const;

      const once = await dibs.settle([outcome]);
      const twice = await dibs.settle([outcome]);
      const forged = await dibs.settle([{ ...outcome, leaseToken: "forged" }]);

      expect(twice.results).toEqual(once.results);
      expect(forged.results[0]?.error).toMatchObject({ code: "lease_lost", details: { state: "completed" } });
    });

    it("renews leases, and tells a holder whose task was cancelled", async () => {
      await dibs.enqueueMany("q", [1, 2]);
      const [a, b] = await dibs.claim({ queues: ["q"], max: 2, leaseMs: 2_000 });
      await dibs.cancel(b!.id);

      const [renewed, lost] = await dibs.heartbeat([
        { id: a!.id, leaseToken: a!.lease.token, leaseMs: 60_000 },
        { id: b!.id, leaseToken: b!.lease.token },
      ]);

      expect(renewed).toMatchObject({ id: a!.id, expiresAt: expect.any(Number) });
      expect((renewed as { expiresAt: number }).expiresAt).toBeGreaterThan(a!.lease.expiresAt);
      expect(lost?.error).toBeInstanceOf(LeaseLostError);
      expect(lost?.error?.details).toMatchObject({ state: "cancelled" });
    });

    it("waits for a task that comes later", async () => {
      const waiting = dibs.claim({ queues: ["empty", "q"], waitMs: 10_000 });
      await dibs.enqueue("q", "here");

      expect((await waiting)[0]?.payload).toBe("here");
    });

    it("loses nothing when a waiting claim is aborted", async () => {
      await dibs.queue("q").configure({});
      const stop = new AbortController();
      const waiting = dibs.claim({ queues: ["q"], waitMs: 10_000, signal: stop.signal });
      const ended = expect(waiting).rejects.toThrow("enough");
      await expect.poll(async () => (await dibs.queue("q").get()).waiting).toBe(1);

      stop.abort(new Error("enough"));
      await ended;
      await expect.poll(async () => (await dibs.queue("q").get()).waiting).toBe(0);
      await dibs.enqueue("q");

      expect(await dibs.claim({ queues: ["q"], waitMs: 1_000 })).toHaveLength(1);
    });
  });

  it("refuses every call once it is closed, and closes twice", async () => {
    const waiting = dibs.claim({ queues: ["q"], waitMs: 10_000 });
    const ended = expect(waiting).rejects.toThrow(/closed/);

    await dibs.close();
    await dibs.close();

    await ended;
    await expect(dibs.enqueue("q")).rejects.toThrow(/client of .* is closed/);
    await expect(dibs.queues()).rejects.toBeInstanceOf(InvalidRequestError);
    expect(() => dibs.work("q", () => {})).toThrow(/closed/);
  });

  it("waits many times at once, without a warning", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on("warning", note);
    closing.add(async () => process.off("warning", note));

    const waits = Array.from({ length: 30 }, () => dibs.claim({ queues: ["q"], waitMs: 10_000 }));
    await dibs.enqueueMany(
      "q",
      Array.from({ length: 30 }, (_, index) => index),
    );
    const claimed = (await Promise.all(waits)).flat();

    expect(new Set(claimed.map(({ id }) => id)).size).toBe(30);
    expect(warnings).toEqual([]);
  });

  it("is closed at the end of its scope", async () => {
    const place = await open();
    closing.add(() => place.close());
    let inner: Dibs;
    {
      await using scoped = await closing.connect(place);
      inner = scoped;
    }

    await expect(inner.queues()).rejects.toThrow(/closed/);
  });

  it("throws nothing but errors with a code", async () => {
    const calls = [
      dibs.enqueue("no/slash"),
      dibs.enqueue("q", 1, { priority: 10 }),
      dibs.task("?"),
      dibs.claim({ queues: [] }),
      dibs.settle([]),
      dibs.heartbeat([]),
    ];

    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: expect.any(DibsError) });
    }
  });
});
