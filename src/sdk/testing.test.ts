import { describe, expect, it } from "vitest";
import { defineTask } from "./definition.ts";
import { drain, testDibs } from "./testing.ts";

const greet = defineTask<{ name: string }, string>({ queue: "greetings" });

describe("the testing kit", () => {
  it("runs until nothing is ready", async () => {
    await using kit = await testDibs();
    const { dibs } = kit;
    const seen: string[] = [];
    const worker = dibs.work(greet, ({ task }) => {
      seen.push(task.payload.name);
      return "done";
    });

    await dibs.enqueueMany(greet, [{ name: "Ann" }, { name: "Bob" }]);
    await drain(worker);

    expect(seen.sort()).toEqual(["Ann", "Bob"]);
  });

  it("brings delayed tasks to their time, not before", async () => {
    await using kit = await testDibs();
    const { dibs, clock } = kit;
    const worker = dibs.work(greet, ({ task }) => `Hello ${task.payload.name}`);
    const task = await dibs.enqueue(greet, { name: "Ann" }, { delayMs: 3_600_000 });

    await clock.advance(3_599_999);
    await drain(worker);
    expect((await dibs.task(task)).state).toBe("scheduled");

    await clock.advance(1);
    await drain(worker);
    expect(await dibs.task(task)).toMatchObject({ state: "completed", result: "Hello Ann" });
  });

  it("lets a drain see a move that nobody waited for", async () => {
    await using kit = await testDibs();
    const { dibs, clock } = kit;
    const worker = dibs.work(greet, () => "done");
    const task = await dibs.enqueue(greet, { name: "Ann" }, { delayMs: 1_000 });

    void clock.advance(1_000);
    await drain(worker);

    expect((await dibs.task(task)).state).toBe("completed");
  });

  it("walks through the backoff of a failing task, to the dead letters", async () => {
    await using kit = await testDibs();
    const { dibs, clock } = kit;
    const attempts: number[] = [];
    const worker = dibs.work(greet, ({ attempt }) => {
      attempts.push(attempt);
      throw new Error("no");
    });
    const backoff = { type: "linear", baseMs: 60_000, jitter: "none" } as const;
    const task = await dibs.enqueue(greet, { name: "Ann" }, { maxAttempts: 3, backoff });

    await drain(worker);
    await clock.advance(59_999);
    await drain(worker);
    expect(attempts).toEqual([1]);
    await clock.advance(1);
    await drain(worker);
    await clock.advance(120_000);
    await drain(worker);

    expect(attempts).toEqual([1, 2, 3]);
    expect(await dibs.task(task)).toMatchObject({ state: "dead", deadReason: "attempts" });
  });

  it("takes a task from its worker when its lease has ended", async () => {
    await using kit = await testDibs();
    const { dibs, clock } = kit;
    const task = await dibs.enqueue(greet, { name: "Ann" });
    const [claimed] = await dibs.claim({ queues: ["greetings"], leaseMs: 30_000 });

    await clock.advance(30_000);

    expect(await dibs.task(task)).toMatchObject({ state: "ready", attempt: 1 });
    const { results } = await dibs.settle([
      { id: task.id, leaseToken: claimed!.lease.token, outcome: "complete" },
    ]);
    expect(results[0]?.error?.code).toBe("lease_lost");
  });

  it("tells its own time", async () => {
    await using kit = await testDibs();
    const { dibs, clock } = kit;
    const before = clock.now();

    await clock.advance(5);

    expect(clock.now()).toBe(before + 5);
    expect((await dibs.enqueue("q")) as { createdAt: number }).toMatchObject({ createdAt: before + 5 });
  });
});
