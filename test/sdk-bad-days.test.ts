import type { EventEmitter } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Broker } from "../src/broker/broker.ts";
import { createServer } from "../src/http/server.ts";
import { Dibs } from "../src/sdk/client.ts";
import { defineTask } from "../src/sdk/definition.ts";
import { HttpConnection } from "../src/sdk/http-connection.ts";
import type { Handler } from "../src/sdk/task-handler.ts";
import { Worker } from "../src/sdk/worker.ts";
import type { BlockedEvent, CompletedEvent, WorkerEvents } from "../src/sdk/worker-events.ts";
import { TIMINGS, type WorkerOptions, type WorkerTimings } from "../src/sdk/worker-options.ts";
import { EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import { ConnectionLostError, type DibsError } from "../src/task/errors.ts";
import { FaultyProxy } from "./faulty-proxy.ts";
import { Closing } from "./sdk-places.ts";

/** The next event; `once` of Node would reject at an `error`, which a worker lives with. */
function next<Name extends keyof WorkerEvents>(worker: Worker, name: Name): Promise<WorkerEvents[Name][0]> {
  return new Promise((resolve) => {
    (worker as EventEmitter).once(name, resolve);
  });
}

function block(ms: number): void {
  const endAt = performance.now() + ms;
  while (performance.now() < endAt);
}

/** As in earnest, only sooner. */
const SOON: WorkerTimings = {
  ...TIMINGS,
  waitMs: 300,
  claimMarginMs: 200,
  reconnect: { type: "fixed", baseMs: 20, capMs: 20, jitter: "none" },
};

// What networks, servers and handlers do to a worker. It must never stop, lose a task or hide what happened.
describe("a worker on a bad day", () => {
  const closing = new Closing();
  let folder: string;
  let proxy: FaultyProxy;
  /** Goes past the proxy: what the store really holds. */
  let direct: Dibs;
  let stop: () => Promise<void>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "dibs-bad-day-"));
    closing.add(() => rm(folder, { recursive: true, force: true }));
    closing.add(() => stop());
    const url = await serve(0);
    proxy = await FaultyProxy.open(url);
    closing.add(() => proxy.close());
    direct = new Dibs(new HttpConnection(new URL(url)));
    closing.add(() => direct.close());
  });
  afterEach(() => closing.all());

  /** A server on the folder, as after a restart when it is not the first. */
  async function serve(port: number): Promise<string> {
    const broker = await Broker.open(await EmbeddedStorage.open({ folder }));
    const server = await createServer(broker, { logger: pino({ level: "silent" }), drainMs: 200 });
    stop = async () => {
      await server.close();
      await broker.close();
    };
    return server.listen({ host: "127.0.0.1", port });
  }

  function work(handler: Handler, options: WorkerOptions = {}, timings: Partial<WorkerTimings> = {}): Worker {
    const connection = new HttpConnection(new URL(proxy.url));
    closing.add(() => connection.close());
    const handlers = [defineTask({ queue: "q" }).handler(handler)];
    const worker = new Worker(connection, handlers, { drainMs: 0, ...options }, { ...SOON, ...timings });
    closing.add(() => worker.close());
    worker.start();
    return worker;
  }

  /** Everything it says about trouble. */
  function troubleOf(worker: Worker): DibsError[] {
    const errors: DibsError[] = [];
    worker.on("error", (error) => errors.push(error as DibsError));
    return errors;
  }

  it("goes on when its connections are cut in the middle of a wait, again and again", async () => {
    const worker = work(() => "done", {}, { waitMs: 20_000 });
    const errors = troubleOf(worker);
    let back = 0;
    worker.on("reconnected", () => {
      back += 1;
    });

    for (let round = 1; round <= 5; round += 1) {
      await expect.poll(async () => (await direct.queue("q").configure({})).waiting).toBe(1);
      expect(proxy.cutAll()).toBeGreaterThan(0);
      await expect.poll(() => back).toBe(round);

      const task = await direct.enqueue("q", round);
      expect(await direct.waitForResult(task, { timeoutMs: 10_000 })).toBe("done");
    }

    expect(errors.length).toBeGreaterThanOrEqual(5);
    for (const error of errors) expect(error).toBeInstanceOf(ConnectionLostError);
    expect(errors[0]?.message).toMatch(/No claim from http:.*trying again in 20 ms \(failure 1\)/);
  });

  it("gives a claim up that never comes back, and claims anew", async () => {
    proxy.fateOf = (path, count) => (path === "/v1/claims" && count === 1 ? "hang" : "pass");
    const worker = work(() => "done");
    const errors = troubleOf(worker);
    await expect.poll(() => proxy.countOf("/v1/claims")).toBe(2);

    const task = await direct.enqueue("q");

    expect(await direct.waitForResult(task, { timeoutMs: 10_000 })).toBe("done");
    expect(errors.map(({ code }) => code)).toEqual(["connection_lost"]);
    expect(errors[0]?.message).toMatch(/A claim did not come back within 500 ms/);
  });

  it("goes on when the server restarts, and says for how long it was away", async () => {
    const worker = work(() => "done", {}, { waitMs: 20_000 });
    const errors = troubleOf(worker);
    await expect.poll(async () => (await direct.queue("q").configure({})).waiting).toBe(1);
    const port = Number(new URL(direct.place).port);

    await stop();
    await expect.poll(() => errors.length).toBeGreaterThan(2);
    const back = next(worker, "reconnected");
    await serve(port);

    expect(await back).toMatchObject({ failures: errors.length, awayMs: expect.any(Number) });
    const task = await direct.enqueue("q");
    expect(await direct.waitForResult(task, { timeoutMs: 10_000 })).toBe("done");
  });

  it("lets a restarting server neither lose a result nor run a task twice", async () => {
    let runs = 0;
    let finish: () => void = () => {};
    const worker = work(
      () =>
        new Promise((resolve) => {
          runs += 1;
          finish = () => resolve(runs);
        }),
    );
    const errors = troubleOf(worker);
    const task = await direct.enqueue("q");
    await expect.poll(() => runs).toBe(1);
    const port = Number(new URL(direct.place).port);

    await stop();
    finish();
    await expect.poll(() => errors.some(({ message }) => !message.startsWith("No claim"))).toBe(true);
    await serve(port);

    expect(await direct.waitForResult(task, { timeoutMs: 10_000 })).toBe(1);
    expect((await direct.task(task)).attempt).toBe(1);
  });

  it.each([
    ["503", { status: 503, body: '{"error":{"code":"storage_unavailable","message":"no"},"requestId":"r"}' }],
    ["a proxy's own 502", { status: 502, body: "<html>Bad gateway</html>" }],
    ["a broken connection", "cut-before"],
    ["an answer that is lost", "lose-answer"],
  ] as const)("sends a result again after %s", async (_, fate) => {
    proxy.fateOf = (path, count) => (path === "/v1/settle" && count < 3 ? fate : "pass");
    let runs = 0;
    const worker = work(() => {
      runs += 1;
      return "done";
    });
    const errors = troubleOf(worker);
    const completed: CompletedEvent[] = [];
    worker.on("completed", (event) => completed.push(event));

    const task = await direct.enqueue("q");

    await expect.poll(() => completed.length).toBe(1);
    expect(await direct.waitForResult(task)).toBe("done");
    expect(runs).toBe(1);
    expect(errors.length).toBe(3);
    expect(errors.every(({ retryable }) => retryable)).toBe(true);
  });

  it("tells a failure once when the answer to its nack is lost", async () => {
    proxy.fateOf = (path, count) => (path === "/v1/settle" && count === 0 ? "lose-answer" : "pass");
    const worker = work(() => {
      throw new Error("no");
    });
    troubleOf(worker);
    const lost: unknown[] = [];
    worker.on("lease-lost", (event) => lost.push(event));

    await direct.enqueue("q", 1, { maxAttempts: 1 });
    const failed = await next(worker, "failed");

    expect(failed).toMatchObject({ state: "dead" });
    expect(lost).toEqual([]);
  });

  it("reports a result that could not be sent before its lease ended", async () => {
    proxy.fateOf = (path) => (path === "/v1/settle" || path === "/v1/heartbeats" ? "cut-before" : "pass");
    const worker = work(() => "done", { leaseMs: 1_000 });
    const errors = troubleOf(worker);

    const task = await direct.enqueue("q", 1, { maxAttempts: 1 });
    const lost = await next(worker, "lease-lost");

    expect(lost).toMatchObject({ task: { id: task.id }, reason: { code: "lease-lost" } });
    expect(errors.some(({ message }) => message.startsWith(`How task ${task.id} ended was not stored`))).toBe(
      true,
    );
    expect(worker.held).toBe(0);
  });

  it("aborts a handler whose lease nobody confirms, before another worker can have the task", async () => {
    proxy.fateOf = (path) => (path === "/v1/heartbeats" ? "hang" : "pass");
    let leftMs = 0;
    const worker = work(
      ({ signal, task }) =>
        new Promise((resolve) => {
          signal.addEventListener("abort", () => {
            leftMs = task.lease.expiresAt - Date.now();
            resolve(undefined);
          });
        }),
      { leaseMs: 3_000 },
    );
    troubleOf(worker);

    await direct.enqueue("q");
    const { reason } = await next(worker, "lease-lost");

    expect(reason.code).toBe("lease-lost");
    expect(leftMs).toBeGreaterThan(0);
  });

  it("keeps the lease of a handler that takes three times as long", async () => {
    let aborted = false;
    work(
      async ({ signal, task }) => {
        const endAt = task.lease.claimedAt + 3 * task.lease.ms;
        await expect.poll(() => Date.now() > endAt, { timeout: 10_000 }).toBe(true);
        aborted = signal.aborted;
        return "late";
      },
      { leaseMs: 1_000 },
    );

    const task = await direct.enqueue("q");

    expect(await direct.waitForResult(task, { timeoutMs: 20_000 })).toBe("late");
    expect(aborted).toBe(false);
    expect((await direct.task(task)).attempt).toBe(1);
  });

  it("renews all its leases with one call", async () => {
    let finish: () => void = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    work(() => finished, { leaseMs: 1_000, concurrency: 50 });

    await direct.enqueueMany(
      "q",
      Array.from({ length: 50 }, (_, index) => index),
    );
    await expect.poll(() => proxy.countOf("/v1/heartbeats"), { timeout: 10_000 }).toBeGreaterThan(3);
    expect(proxy.countOf("/v1/heartbeats")).toBeLessThan(10);
    finish();

    await expect.poll(async () => (await direct.queue("q").get()).counts.completed).toBe(50);
    const { counts } = await direct.queue("q").get();
    expect(counts).toMatchObject({ ready: 0, leased: 0, dead: 0 });
  });

  it.each<[string, Handler]>([
    ["at once", () => block(600)],
    ["after an await", () => turn().then(() => block(600))],
  ])("names the queue of a handler that blocks the event loop %s, once", async (_, handler) => {
    const worker = work(handler, { leaseMs: 1_000 });
    troubleOf(worker);
    const told: BlockedEvent[] = [];
    worker.on("blocked", (event) => told.push(event));

    await direct.waitForResult(await direct.enqueue("q"), { timeoutMs: 10_000 });
    await expect.poll(() => worker.held).toBe(0);

    expect(told).toEqual([
      {
        queues: ["q"],
        blockedMs: expect.any(Number),
        message: expect.stringMatching(/queue q blocked .*module/),
      },
    ]);
    expect(told[0]?.blockedMs).toBeGreaterThan(333);
  });

  it("starts no handler on a lease that ended while another one blocked the event loop, and tells no lost result", async () => {
    const [, second] = await direct.enqueueMany("q", ["blocks", "waits"]);
    const waiting = second?.task?.id;
    const begun: [unknown, boolean][] = [];
    const worker = work(
      ({ task }) => {
        begun.push([task.payload, task.lease.expiresAt > Date.now()]);
        if (begun.length === 1) block(1_100);
      },
      { leaseMs: 1_000, concurrency: 2 },
    );
    const errors = troubleOf(worker);

    await expect
      .poll(async () => (await direct.queue("q").get()).counts, { timeout: 10_000 })
      .toMatchObject({ ready: 0, scheduled: 0, leased: 0 });

    expect(begun.filter(([, isLeased]) => !isLeased)).toEqual([]);
    expect(begun.at(0)).toEqual(["blocks", true]);
    expect(begun).toContainEqual(["waits", true]);
    const told = errors.map(({ message }) => message).join("\n");
    expect(told).not.toContain(`${waiting} ended was not stored`);
  });

  it("closes within its lease when the server is gone, and says what was lost", async () => {
    const worker = work(() => "done", { leaseMs: 1_000 });
    const errors = troubleOf(worker);
    proxy.fateOf = (path) => (path === "/v1/claims" ? "pass" : "cut-before");
    await direct.enqueue("q");
    await expect.poll(() => worker.held).toBe(1);

    await worker.close();

    expect(errors.some(({ message }) => message.includes("was not stored"))).toBe(true);
  });

  it("goes on after a server that drains for a while", async () => {
    const worker = work(() => "done");
    const errors = troubleOf(worker);
    let refuse = true;
    proxy.fateOf = (path) =>
      refuse && path === "/v1/claims"
        ? { status: 503, body: '{"error":{"code":"shutting_down","message":"drains"},"requestId":"r"}' }
        : "pass";
    await expect.poll(() => errors.length).toBeGreaterThan(3);
    refuse = false;

    const task = await direct.enqueue("q");

    expect(await direct.waitForResult(task, { timeoutMs: 10_000 })).toBe("done");
    expect(errors.every(({ code }) => code === "shutting_down")).toBe(true);
  });

  it("hands back a task that comes while it closes", async () => {
    const ran: unknown[] = [];
    const worker = work(({ task }) => void ran.push(task.payload), { concurrency: 1 });
    let closed: Promise<void> | undefined;
    proxy.fateOf = (path) => {
      // The settle of the first task is on its way, and asks for the second.
      if (path === "/v1/settle") closed ??= worker.close();
      return "pass";
    };

    const outcomes = await direct.enqueueMany("q", ["first", "second"]);
    await expect.poll(() => closed !== undefined).toBe(true);
    await closed;

    expect(ran).toEqual(["first"]);
    expect(await direct.task(outcomes[1]?.task as { id: string })).toMatchObject({
      state: "ready",
      attempt: 0,
    });
  });

  it("does not storm a server that answers its claims at once with nothing", async () => {
    proxy.fateOf = (path) => (path === "/v1/claims" ? { status: 204, body: "" } : "pass");
    const startedAt = performance.now();
    work(() => {}, {}, { waitMs: 20_000 });

    await expect.poll(() => proxy.countOf("/v1/claims"), { interval: 5 }).toBeGreaterThan(12);

    // Ten pauses of 20 ms, which no machine makes shorter.
    expect(performance.now() - startedAt).toBeGreaterThan(190);
  });

  it("asks for as many tasks as it has slots, and settles each with the claim of the next", async () => {
    await direct.enqueueMany(
      "q",
      Array.from({ length: 100 }, (_, index) => index),
    );
    const worker = work(() => {}, { concurrency: 1, aheadMs: 0 }, { waitMs: 20_000 });

    await worker.whenIdle();

    expect(proxy.countOf("/v1/settle")).toBe(100);
    expect(proxy.countOf("/v1/claims")).toBe(2);
  });
});
