import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClaimedTaskMessage, HeartbeatItemAnswer, HeartbeatsBody } from "../protocol/messages.ts";
import { StorageUnavailableError } from "../task/errors.ts";
import type { Connection } from "./connection.ts";
import { defineTask } from "./definition.ts";
import { HeldTask } from "./held-task.ts";
import { LeaseKeeper } from "./lease-keeper.ts";

type Answering = (leases: HeartbeatsBody["leases"]) => Promise<HeartbeatItemAnswer[]>;

const HANDLER = defineTask({ queue: "q" }).handler(() => {});

function aHeldTask({ id = "q~1", ms = 30_000, timeoutMs = Number.POSITIVE_INFINITY } = {}): HeldTask {
  const lease = { token: `token of ${id}`, expiresAt: 0, ms, fence: 1, claimedAt: 0 };
  const task = { id, queue: "q", state: "leased", lease } as ClaimedTaskMessage;
  const held = new HeldTask(task, HANDLER, performance.now());
  held.start(performance.now(), timeoutMs);
  return held;
}

const renewed: Answering = async (leases) => leases.map(({ id }) => ({ id, expiresAt: 1 }));

// Time moves only when told. The engine's side is a function: what counts here is the worker's own clock.
describe("the keeper of leases", () => {
  const calls: { at: number; ids: string[] }[] = [];
  const said: { at: number; what: string }[] = [];
  let answer: Answering;
  let keeper: LeaseKeeper;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "performance"], now: 0 });
    calls.length = 0;
    said.length = 0;
    answer = renewed;
    const say = (what: string) => said.push({ at: performance.now(), what });
    const connection = {
      heartbeats: ({ leases }: HeartbeatsBody) => {
        calls.push({ at: performance.now(), ids: leases.map(({ id }) => id) });
        return answer(leases);
      },
    } as Connection;
    keeper = new LeaseKeeper(
      connection,
      { graceMs: 1_000, stuckMs: 10_000 },
      {
        lost: (held, code) => {
          held.stage = "ended";
          held.abort(code, code, performance.now());
          say(`${held.task.id} ${code}`);
        },
        timedOut: (held) => {
          held.abort("timeout", "late", performance.now());
          say(`${held.task.id} timed out`);
        },
        graceIsOver: (held) => {
          held.stage = "settling";
          say(`${held.task.id} grace is over`);
        },
        stuck: (held) => say(`${held.task.id} stuck`),
        blocked: (queues, blockedMs) => say(`${queues} blocked ${blockedMs}`),
        failed: (error) => say(error.message),
      },
    );
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("renews a lease at a third of it, again and again", async () => {
    keeper.add(aHeldTask({ ms: 30_000 }));

    await vi.advanceTimersByTimeAsync(60_000);

    expect(calls.map(({ at }) => at)).toEqual([10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
    expect(said).toEqual([]);
  });

  it("renews all held leases with one call, and leaves short tasks alone", async () => {
    const held = Array.from({ length: 3 }, (_, index) => aHeldTask({ id: `q~${index}` }));
    keeper.add(held[0] as HeldTask);
    await vi.advanceTimersByTimeAsync(1_000);
    keeper.add(held[1] as HeldTask);
    keeper.add(held[2] as HeldTask);
    keeper.remove(held[2] as HeldTask);

    await vi.advanceTimersByTimeAsync(9_000);

    expect(calls.map(({ ids }) => ids)).toEqual([["q~0", "q~1"]]);
  });

  it("renews more than a thousand leases in calls of a thousand", async () => {
    for (let index = 0; index < 2_500; index += 1) keeper.add(aHeldTask({ id: `q~${index}` }));

    await vi.advanceTimersByTimeAsync(10_000);

    expect(calls.map(({ ids }) => ids.length)).toEqual([1_000, 1_000, 500]);
  });

  it("keeps the rhythm of each lease, short or long", async () => {
    keeper.add(aHeldTask({ id: "q~short", ms: 1_200 }));
    keeper.add(aHeldTask({ id: "q~long", ms: 120_000 }));

    await vi.advanceTimersByTimeAsync(1_200);

    expect(calls).toEqual([
      { at: 400, ids: ["q~short"] },
      { at: 800, ids: ["q~short"] },
      { at: 1_200, ids: ["q~short"] },
    ]);
  });

  it("gives an unconfirmed lease up at nine tenths of it, not sooner", async () => {
    answer = () => new Promise(() => {});
    keeper.add(aHeldTask({ ms: 30_000 }));

    await vi.advanceTimersByTimeAsync(26_999);
    expect(said.filter(({ what }) => what.includes("lease-lost"))).toEqual([]);
    await vi.advanceTimersByTimeAsync(10);

    expect(said.at(-1)).toMatchObject({ what: "q~1 lease-lost" });
  });

  it("counts a renewed lease from when its heartbeat was sent", async () => {
    answer = async (leases) => {
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      return calls.length === 1 ? renewed(leases) : new Promise(() => {});
    };
    keeper.add(aHeldTask({ ms: 30_000 }));

    // Sent at 10 s, answered at 15 s: good until 10 + 27 s.
    await vi.advanceTimersByTimeAsync(36_999);
    expect(said.filter(({ what }) => what.includes("lease-lost"))).toEqual([]);
    await vi.advanceTimersByTimeAsync(10);

    expect(said.at(-1)).toMatchObject({ what: "q~1 lease-lost" });
  });

  it("tries a heartbeat again soon when it fails, and says so", async () => {
    answer = async (leases) => {
      if (calls.length < 3) throw new StorageUnavailableError("disk full");
      return renewed(leases);
    };
    keeper.add(aHeldTask({ ms: 30_000 }));

    await vi.advanceTimersByTimeAsync(20_000);

    expect(calls.length).toBeGreaterThanOrEqual(3);
    expect(said.map(({ what }) => what)).toEqual(["disk full", "disk full"]);
  });

  it("believes the engine when it refuses a heartbeat", async () => {
    answer = async () => [
      { id: "q~1", error: { code: "lease_lost", message: "", details: { state: "cancelled" } } },
      { id: "q~2", error: { code: "lease_lost", message: "", details: { state: "ready" } } },
      { id: "q~3", error: { code: "task_not_found", message: "" } },
      { id: "q~4", error: { code: "storage_unavailable", message: "" } },
    ];
    for (const id of ["q~1", "q~2", "q~3", "q~4"]) keeper.add(aHeldTask({ id }));

    await vi.advanceTimersByTimeAsync(10_000);

    expect(said.map(({ what }) => what)).toEqual(["q~1 cancelled", "q~2 lease-lost", "q~3 lease-lost"]);
  });

  it("leaves a task whose outcome travels to the answer of that, and tries it to the lease's end", async () => {
    answer = async () => [
      { id: "q~1", error: { code: "lease_lost", message: "", details: { state: "completed" } } },
    ];
    const held = aHeldTask({ ms: 30_000 });
    held.isRunning = false;
    held.stage = "settling";
    keeper.add(held);

    await vi.advanceTimersByTimeAsync(29_999);
    expect(said).toEqual([]);
    await vi.advanceTimersByTimeAsync(10);

    expect(said).toMatchObject([{ what: "q~1 lease-lost" }]);
  });

  it("lets outcomes have the rest of their leases once it is told to stop renewing them", async () => {
    const held = aHeldTask({ ms: 30_000 });
    held.stage = "settling";
    keeper.add(held);
    keeper.stopBeatingSettling();

    await vi.advanceTimersByTimeAsync(30_010);

    expect(calls).toEqual([]);
    expect(said).toMatchObject([{ what: "q~1 lease-lost" }]);
  });

  it("ends an attempt at its time, its claim after the grace, and reports a handler that still runs", async () => {
    keeper.add(aHeldTask({ timeoutMs: 5_000 }));

    await vi.advanceTimersByTimeAsync(20_000);

    expect(said).toEqual([
      { at: 5_000, what: "q~1 timed out" },
      { at: 6_000, what: "q~1 grace is over" },
      { at: expect.any(Number), what: "q~1 stuck" },
    ]);
    expect(said[2]?.at).toBeGreaterThanOrEqual(15_000);
    expect(said[2]?.at).toBeLessThan(18_000);
  });

  it("has one timer, however many tasks come and go, and none once nothing is held", async () => {
    const held = aHeldTask();
    for (let time = 0; time < 3; time += 1) {
      keeper.add(held);
      expect(vi.getTimerCount()).toBe(1);
      keeper.remove(held);
      expect(vi.getTimerCount()).toBe(1);
    }

    await vi.advanceTimersByTimeAsync(held.task.lease.ms);

    expect(vi.getTimerCount()).toBe(0);
    keeper.lookAgain();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("renews one lease at its handler's wish, to another length", async () => {
    answer = async () => [{ id: "q~1", expiresAt: 77 }];
    const held = aHeldTask({ ms: 30_000 });
    keeper.add(held);

    expect(await keeper.beat(held, 300_000)).toBe(77);
    await vi.advanceTimersByTimeAsync(99_999);
    expect(calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(calls).toHaveLength(2);

    held.stage = "ended";
    await expect(keeper.beat(held)).rejects.toMatchObject({ code: "lease_lost" });
  });
});
