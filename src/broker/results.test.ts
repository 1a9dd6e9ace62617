import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  nacked,
  opened,
  settledDown,
} from "../../test/broker/opened.ts";
import { TaskNotFoundError } from "../task/errors.ts";
import { newTaskId } from "../task/ids.ts";

describe("waiting for a result", () => {
  it("is answered as soon as the task is completed", async () => {
    const { broker } = await opened();
    const { task } = await broker.enqueue(anEnqueue());
    const waiting = broker.result(task.id, 60_000);
    await settledDown();

    const [claimed] = await broker.claim(aClaim());
    await broker.settleOne({ ...completed(claimed!), result: "42" });

    expect(await waiting).toMatchObject({ state: "completed", result: "42" });
  });

  it("is answered when the task dies or is cancelled, and not by a failed attempt", async () => {
    const { broker } = await opened();
    const first = await broker.enqueue(anEnqueue({ maxAttempts: 2 }));
    const second = await broker.enqueue(anEnqueue({ delayMs: 60_000 }));
    const dies = broker.result(first.task.id, 60_000);
    const cancelled = broker.result(second.task.id, 60_000);
    await settledDown();

    const [once] = await broker.claim(aClaim());
    await broker.settleOne({ ...nacked(once!), error: "no" });
    const [twice] = await broker.claim(aClaim());
    await broker.settleOne({ ...nacked(twice!), error: "never" });
    await broker.cancel(second.task.id);

    expect(await dies).toMatchObject({ state: "dead", lastError: "never" });
    expect(await cancelled).toMatchObject({ state: "cancelled" });
  });

  it("is answered with the present state when the time is over, or was none", async () => {
    const { broker } = await opened();
    const { task } = await broker.enqueue(anEnqueue());

    expect(await broker.result(task.id, 0)).toMatchObject({ state: "ready" });
    expect(await broker.result(task.id, 5)).toMatchObject({ state: "ready" });
  });

  it("misses no end between the look and the wait", async () => {
    const { broker, witness } = await opened();
    const { task } = await broker.enqueue(anEnqueue());
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "get" && witness.count("get") === 1) await broker.cancel(task.id);
      return reply;
    };

    expect(await broker.result(task.id, 60_000)).toMatchObject({ state: "cancelled" });
  });

  it("ends with the caller, or a drain", async () => {
    const { broker } = await opened();
    const { task } = await broker.enqueue(anEnqueue());
    const caller = new AbortController();
    const left = broker.result(task.id, 60_000, caller.signal);
    const stays = broker.result(task.id, 60_000);
    await settledDown();

    caller.abort();
    expect(await left).toMatchObject({ state: "ready" });
    broker.drain();

    expect(await stays).toMatchObject({ state: "ready" });
  });

  it("says that there is no such task, or none any more", async () => {
    const { broker } = await opened();
    await expect(broker.result(newTaskId(EMAILS), 60_000)).rejects.toBeInstanceOf(TaskNotFoundError);
    const { task } = await broker.enqueue(anEnqueue());
    const waiting = broker.result(task.id, 60_000);
    await settledDown();

    const [answer] = await Promise.all([
      waiting.catch((error: unknown) => error),
      broker.purge(EMAILS, "ready"),
    ]);

    expect(answer).toBeInstanceOf(TaskNotFoundError);
  });

  it("wakes a thousand who wait for one task", async () => {
    const { broker } = await opened();
    const { task } = await broker.enqueue(anEnqueue());
    const waiting = Array.from({ length: 1_000 }, () => broker.result(task.id, 60_000));
    await settledDown();

    await broker.cancel(task.id);

    expect(new Set((await Promise.all(waiting)).map(({ state }) => state))).toEqual(new Set(["cancelled"]));
  });
});
