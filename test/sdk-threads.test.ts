import { threadId } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Dibs } from "../src/sdk/client.ts";
import { defineTask } from "../src/sdk/definition.ts";
import type { Worker } from "../src/sdk/worker.ts";
import type { WorkerOptions } from "../src/sdk/worker-options.ts";
import { Closing, servedPlace } from "./sdk-places.ts";

const work = defineTask<{ what: string; ms?: number }, unknown>({ queue: "threads", maxAttempts: 1 });
const HANDLER = new URL("./threads/handler.mjs", import.meta.url);

// Handlers that are modules: real threads, from the built package.
describe("a handler in a thread", () => {
  const closing = new Closing();
  let dibs: Dibs;

  beforeEach(async () => {
    dibs = await closing.connect(await servedPlace());
  });
  afterEach(() => closing.all());

  function start(options: WorkerOptions = {}): Worker {
    return dibs.work(work, HANDLER, { concurrency: 2, drainMs: 0, ...options });
  }

  async function lastErrorOf(what: string, ms?: number): Promise<string | undefined> {
    const task = await dibs.enqueue(work, { what, ...(ms !== undefined && { ms }) });
    await dibs.waitForResult(task).catch(() => {});
    return (await dibs.task(task)).lastError;
  }

  it("gets the task, and returns its result", async () => {
    start();

    const task = await dibs.enqueue(work, { what: "tell" });
    const told = (await dibs.waitForResult(task)) as Record<string, unknown>;

    expect(told).toMatchObject({ id: task.id, attempt: 1, fence: expect.any(Number), aborted: false });
    expect(told["threadId"]).not.toBe(threadId);
  });

  it("keeps its lease while it computes for three leases", async () => {
    const worker = start({ leaseMs: 1_000 });
    const trouble: unknown[] = [];
    worker.on("blocked", (event) => trouble.push(event));
    worker.on("lease-lost", (event) => trouble.push(event));

    const task = await dibs.enqueue(work, { what: "compute", ms: 3_000 });

    expect(await dibs.waitForResult(task, { timeoutMs: 30_000 })).toBe("computed");
    expect(await dibs.task(task)).toMatchObject({ state: "completed", attempt: 1 });
    expect(trouble).toEqual([]);
  });

  it("sees the abort of its signal, with its reason", async () => {
    start({ timeoutMs: 200 });

    expect(await lastErrorOf("wait")).toBe("The attempt took longer than timeoutMs 200");
  });

  it("is ended with its thread when it does not react, and the slot is free again", async () => {
    // Starting a thread counts too, and takes long on a busy machine.
    const worker = start({ concurrency: 1, timeoutMs: 2_000 });

    expect(await lastErrorOf("compute for ever")).toBe("The attempt took longer than timeoutMs 2000");

    await expect.poll(() => worker.held, { timeout: 10_000 }).toBe(0);
    const next = await dibs.enqueue(work, { what: "compute", ms: 1 }, { maxAttempts: 10 });
    expect(await dibs.waitForResult(next)).toBe("computed");
  });

  it("extends its lease when it asks", async () => {
    start({ leaseMs: 1_000 });

    const task = await dibs.enqueue(work, { what: "beat", ms: 600_000 });

    expect(await dibs.waitForResult(task)).toBeGreaterThan(590_000);
  });

  it("refuses, asks for a later try, and fails, as in the main thread", async () => {
    start();

    const refused = await dibs.enqueue(work, { what: "refuse" }, { maxAttempts: 5 });
    await expect(dibs.waitForResult(refused)).rejects.toThrow("no such customer");
    expect(await dibs.task(refused)).toMatchObject({ deadReason: "refused", attempt: 1 });

    const later = await dibs.enqueue(work, { what: "later", ms: 60_000 }, { maxAttempts: 5 });
    await expect.poll(async () => (await dibs.task(later)).state).toBe("scheduled");
    expect((await dibs.task(later)).lastError).toBe("the other side rests");

    const error = await lastErrorOf("throw");
    expect(error).toMatch(/^TypeError: no such mailbox\n\s+at .*handler\.mjs/);
    expect(error).toMatch(/Caused by: Error: socket closed/);
  });

  it("fails an attempt that returns what JSON cannot say, or ends its thread, and goes on", async () => {
    start();

    expect(await lastErrorOf("return a function")).toMatch(/cannot be written as JSON: it is a function/);
    expect(await lastErrorOf("exit")).toMatch(/exit/);
    expect(await dibs.waitForResult(await dibs.enqueue(work, { what: "compute", ms: 1 }))).toBe("computed");
  });

  it("hands its task back when the worker closes", async () => {
    const worker = start();
    const tasks = [
      await dibs.enqueue(work, { what: "wait" }),
      await dibs.enqueue(work, { what: "compute for ever" }),
    ];
    await expect.poll(() => worker.held).toBe(2);

    await worker.close();

    for (const task of tasks) expect(await dibs.task(task)).toMatchObject({ state: "ready", attempt: 0 });
  });

  it("must be a file whose default export is a function", async () => {
    const missing = new URL("./threads/missing.mjs", import.meta.url);
    expect(() => dibs.work(work, missing)).toThrow(
      /module to be the file: URL of a file, got file:.*missing/,
    );

    dibs.work(work, new URL("./threads/no-handler.mjs", import.meta.url));
    expect(await lastErrorOf("tell")).toMatch(/default export of .*no-handler.mjs is not a function/);
  });
});
