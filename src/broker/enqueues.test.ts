import { describe, expect, it, onTestFinished } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  opened,
  openedAtRest,
  RENDERS,
} from "../../test/broker/opened.ts";
import { EmbeddedStorage } from "../storage/embedded/embedded-storage.ts";
import { IdempotencyConflictError, PayloadTooLargeError, QueueFullError } from "../task/errors.ts";
import { parseTaskId, queueOf, type TaskId } from "../task/ids.ts";
import type { Task } from "../task/task.ts";
import { Broker } from "./broker.ts";

describe("an enqueue into a store at its bound on memory", () => {
  it("is refused as queue_full, with the bound, what is taken and by what", async () => {
    const broker = await Broker.open(await EmbeddedStorage.open({ memoryBytesMax: 6_500 }));
    onTestFinished(() => broker.close());
    await broker.enqueue(anEnqueue({ idempotencyKey: "k" }));

    const refusal = await broker.enqueue(anEnqueue()).catch((error: unknown) => error);

    expect(refusal).toBeInstanceOf(QueueFullError);
    expect((refusal as QueueFullError).message).toBe(
      "The store is full: 1 tasks and 1 idempotency keys of all queues, those of removed tasks included, take about 6501 bytes of memory, the limit is 6500 (memoryBytesMax)",
    );
    expect((refusal as QueueFullError).details).toEqual({
      queue: EMAILS,
      tasks: 1,
      keys: 1,
      memoryBytes: 6_501,
      limit: 6_500,
    });
  });
});

describe("an enqueue", () => {
  it("answers the task under a new id of its queue, with the queue's configuration filled in", async () => {
    const { broker } = await opened();
    await broker.configure(EMAILS, { maxAttempts: 7 });

    const { task, deduplicated } = await broker.enqueue(
      anEnqueue({ payload: '{"to":1}', priority: 3, tags: { k: "v" } }),
    );

    expect(deduplicated).toBe(false);
    expect(task).toMatchObject({
      state: "ready",
      queue: EMAILS,
      payload: '{"to":1}',
      priority: 3,
      maxAttempts: 7,
      tags: { k: "v" },
    });
    expect(queueOf(parseTaskId(task.id) as TaskId)).toBe(EMAILS);
    expect(await broker.get(task.id)).toEqual(task);
  });

  it("finds the first task by its key, whatever the order of the payload's fields", async () => {
    const { broker } = await opened();
    const first = await broker.enqueue(anEnqueue({ idempotencyKey: "k", payload: '{"a":1,"b":[2]}' }));

    const second = await broker.enqueue(
      anEnqueue({ idempotencyKey: "k", payload: '{ "b": [2.0], "a": 1 }' }),
    );

    expect(second).toMatchObject({
      deduplicated: true,
      task: { id: first.task.id, payload: '{"a":1,"b":[2]}' },
    });
  });

  it("is one task for two enqueues of one key in the same moment", async () => {
    const { broker, witness } = await opened();

    const [first, second] = await Promise.all([
      broker.enqueue(anEnqueue({ idempotencyKey: "k" })),
      broker.enqueue(anEnqueue({ idempotencyKey: "k" })),
    ]);

    expect(witness.count("enqueue")).toBe(1);
    expect([first.deduplicated, second.deduplicated]).toEqual([false, true]);
    expect(second.task.id).toBe(first.task.id);
  });

  it("refuses a key that belongs to another payload, and names key, queue and task", async () => {
    const { broker } = await opened();
    const first = await broker.enqueue(anEnqueue({ idempotencyKey: "k", payload: "1" }));

    const second = broker.enqueue(anEnqueue({ idempotencyKey: "k", payload: "2" }));

    await expect(second).rejects.toBeInstanceOf(IdempotencyConflictError);
    await expect(second).rejects.toMatchObject({
      code: "idempotency_conflict",
      details: { queue: EMAILS, idempotencyKey: "k", id: first.task.id },
    });
  });

  it("answers what is left of a task that was pruned while its key is remembered", async () => {
    const { broker, clock } = await openedAtRest();
    await broker.configure(EMAILS, { retention: { completedMax: 0 } });
    const { task } = await broker.enqueue(anEnqueue({ idempotencyKey: "k" }));
    const [claimed] = await broker.claim(aClaim());
    await broker.settleOne(completed(claimed!));
    clock.advance(10_000);
    expect(await broker.prune()).toBe(1);

    const again = await broker.enqueue(anEnqueue({ idempotencyKey: "k" }));

    expect(again).toEqual({ deduplicated: true, task: { id: task.id, queue: EMAILS, state: "pruned" } });
  });

  it("refuses a payload above the bound by its bytes, not its characters", async () => {
    const { broker } = await opened({ payloadBytesMax: 100 });

    await broker.enqueue(anEnqueue({ payload: `"${"x".repeat(98)}"` }));
    const tooLarge = broker.enqueue(anEnqueue({ payload: `"${"é".repeat(50)}"` }));

    await expect(tooLarge).rejects.toBeInstanceOf(PayloadTooLargeError);
    await expect(tooLarge).rejects.toMatchObject({ details: { field: "payload", bound: 100, value: 102 } });
  });

  it("is refused by a full queue, which says how full it is", async () => {
    const { broker } = await opened();
    await broker.configure(EMAILS, { maxDepth: 2 });
    await broker.enqueueMany([anEnqueue(), anEnqueue()]);

    const third = broker.enqueue(anEnqueue());

    await expect(third).rejects.toBeInstanceOf(QueueFullError);
    await expect(third).rejects.toMatchObject({ details: { queue: EMAILS, depth: 2, limit: 2 } });
  });
});

describe("an enqueue of many", () => {
  it("answers each in its place, over queues and errors", async () => {
    const { broker, witness } = await opened({ payloadBytesMax: 10 });
    await broker.configure(RENDERS, { maxDepth: 1 });
    witness.calls.length = 0;

    const answers = await broker.enqueueMany([
      anEnqueue({ queue: RENDERS, payload: "0" }),
      anEnqueue({ payload: "1", idempotencyKey: "k" }),
      anEnqueue({ payload: '"far too large"' }),
      anEnqueue({ queue: RENDERS, payload: "3" }),
      anEnqueue({ payload: "4", idempotencyKey: "k" }),
      anEnqueue({ payload: "5" }),
    ]);

    expect(answers[0]).toMatchObject({ task: { queue: RENDERS, payload: "0" } });
    expect(answers[1]).toMatchObject({ task: { queue: EMAILS, payload: "1" } });
    expect(answers[2]).toBeInstanceOf(PayloadTooLargeError);
    expect(answers[3]).toBeInstanceOf(QueueFullError);
    expect(answers[4]).toBeInstanceOf(IdempotencyConflictError);
    expect(answers[5]).toMatchObject({ task: { queue: EMAILS, payload: "5" } });
    expect(witness.count("enqueue")).toBe(2);
  });

  it("keeps the order of a queue over several storage calls", async () => {
    const { broker } = await opened();
    const payloads = Array.from({ length: 2_100 }, (_, index) => `${index}`);

    const answers = await broker.enqueueMany(payloads.map((payload) => anEnqueue({ payload })));

    expect(answers.map((answer) => ("task" in answer ? (answer.task as Task).payload : ""))).toEqual(
      payloads,
    );
    const claimed = [];
    for (let round = 0; round < 3; round += 1) claimed.push(...(await broker.claim(aClaim({ max: 1_000 }))));
    expect(claimed.map((task) => task.payload)).toEqual(payloads);
  });

  it("answers nothing for nothing", async () => {
    const { broker } = await opened();

    expect(await broker.enqueueMany([])).toEqual([]);
  });
});
