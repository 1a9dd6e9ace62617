import type { StandardSchemaV1 } from "@standard-schema/spec";
import { describe, expect, expectTypeOf, it } from "vitest";
import { z } from "zod";
import { InvalidRequestError } from "../task/errors.ts";
import type { Dibs, EnqueueOutcome } from "./client.ts";
import { defineTask } from "./definition.ts";
import { InvalidPayload } from "./errors.ts";
import type { TaskView } from "./task-view.ts";

const timed = defineTask({
  queue: "timed",
  schema: z.object({
    at: z.iso.datetime().transform((text) => new Date(text)),
    times: z.number().default(1),
  }),
  resultSchema: z.object({ done: z.boolean() }),
});

describe("a task definition", () => {
  it("writes a payload as it was given, once it fits", async () => {
    expect(await timed.payloadJson({ at: "2026-01-31T08:00:00Z" })).toBe('{"at":"2026-01-31T08:00:00Z"}');
  });

  it("reads a stored payload as the schema makes it", async () => {
    expect(await timed.readPayload({ at: "2026-01-31T08:00:00Z" })).toEqual({
      at: new Date("2026-01-31T08:00:00Z"),
      times: 1,
    });
  });

  it("checks what the worker will read, not what the caller holds", async () => {
    const dated = defineTask({ queue: "dated", schema: z.object({ at: z.date() }) });

    // JSON turns the date into text, which the schema would refuse at the worker.
    await expect(dated.payloadJson({ at: new Date(0) })).rejects.toThrow(/queue dated: at: .*date/);
  });

  it("names the place and the fault of a payload that does not fit", async () => {
    const deep = defineTask({
      queue: "deep",
      schema: z.object({ list: z.array(z.object({ n: z.number() })) }),
    });

    const error: unknown = await deep.payloadJson({ list: [{ n: 1 }, { n: "2" as never }] }).catch((e) => e);

    expect(error).toBeInstanceOf(InvalidPayload);
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error).toMatchObject({ name: "InvalidPayload", code: "invalid_request", retryable: false });
    expect((error as InvalidPayload).message).toMatch(/queue deep: list\.1\.n: /);
    expect((error as InvalidPayload).details["issues"]).toHaveLength(1);
  });

  it("waits for a schema that checks asynchronously", async () => {
    const slow = defineTask({ queue: "slow", schema: z.string().refine(async (text) => text !== "taken") });

    expect(await slow.payloadJson("free")).toBe('"free"');
    await expect(slow.payloadJson("taken")).rejects.toBeInstanceOf(InvalidPayload);
    await expect(slow.readPayload("taken")).rejects.toBeInstanceOf(InvalidPayload);
  });

  it("works with any Standard Schema", async () => {
    const even: StandardSchemaV1<number> = {
      "~standard": {
        version: 1,
        vendor: "home-made",
        validate: (value) =>
          typeof value === "number" && value % 2 === 0 ? { value } : { issues: [{ message: "is odd" }] },
      },
    };
    const definition = defineTask({ queue: "even", schema: even });

    expect(await definition.payloadJson(2)).toBe("2");
    await expect(definition.payloadJson(3)).rejects.toThrow("queue even: is odd");
  });

  it("checks results before they are sent", async () => {
    await expect(timed.checkResult({ done: 1 })).rejects.toThrow(/result .* queue timed: done:/);
    expect(await timed.checkResult({ done: true })).toBeUndefined();
  });

  it.each([
    ["no/slash", {}, /Expected queue to be 1 to 100 of A-Z .*got no\/slash/],
    ["", {}, /Expected queue/],
    ["q", { retries: 3 }, /defineTask has no option retries; it knows queue, schema/],
  ])("refuses the queue %o with the options %o", (queue, options, message) => {
    expect(() => defineTask({ queue, ...options })).toThrow(message);
  });
});

describe("the types of a task definition", () => {
  const dibs = undefined as unknown as Dibs;
  const plain = defineTask<{ to: string }, { messageId: string }>({ queue: "plain" });
  const schemaOnly = defineTask({ queue: "q", schema: z.object({ to: z.string() }) });

  it("come from the schemas", () => {
    type Enqueued = Parameters<typeof timed.payloadJson>[0];
    expectTypeOf<Enqueued>().toEqualTypeOf<{ at: string; times?: number | undefined }>();
    expectTypeOf<Awaited<ReturnType<typeof timed.readPayload>>>().toEqualTypeOf<{
      at: Date;
      times: number;
    }>();
  });

  it("reach the enqueue, the handler and the waiting for the result", () => {
    const uses = async () => {
      const task = await dibs.enqueue(plain, { to: "a@b.c" });
      expectTypeOf(await dibs.waitForResult(task)).toEqualTypeOf<{ messageId: string }>();
      expectTypeOf(await dibs.waitForResult(await dibs.enqueue(timed, { at: "" }))).toEqualTypeOf<{
        done: boolean;
      }>();
      expectTypeOf(await dibs.waitForResult(await dibs.enqueue(schemaOnly, { to: "" }))).toBeUnknown();
      expectTypeOf(await dibs.waitForResult("id")).toBeUnknown();
      expectTypeOf(await dibs.waitForResult<number>("id")).toBeNumber();
      if (task.state !== "pruned") expectTypeOf(task.payload).toEqualTypeOf<{ to: string }>();

      const outcomes = await dibs.enqueueMany(plain, [{ to: "a" }]);
      expectTypeOf(outcomes).toEqualTypeOf<EnqueueOutcome<{ to: string }, { messageId: string }>[]>();
      expectTypeOf(await dibs.task(task)).toEqualTypeOf<TaskView<unknown, { messageId: string }>>();

      dibs.work(plain, ({ task: { payload } }) => {
        expectTypeOf(payload).toEqualTypeOf<{ to: string }>();
        return { messageId: "m" };
      });
      dibs.work(timed, async ({ task: { payload }, signal, fence, attempt, heartbeat }) => {
        expectTypeOf(payload).toEqualTypeOf<{ at: Date; times: number }>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf([fence, attempt]).toEqualTypeOf<number[]>();
        expectTypeOf(heartbeat()).resolves.toBeNumber();
        return { done: true };
      });
      dibs.work("q", ({ task: { payload } }) => expectTypeOf(payload).toBeUnknown());
      dibs.work([plain.handler(() => ({ messageId: "m" })), timed.handler(new URL("file:///x.js"))]);
    };
    expectTypeOf(uses).toBeFunction();
  });

  it("refuse what does not fit", () => {
    const misuses = async () => {
      // @ts-expect-error: another payload.
      await dibs.enqueue(plain, { to: 1 });
      // @ts-expect-error: a payload is missing.
      await dibs.enqueue(plain);
      // @ts-expect-error: one of the payloads does not fit.
      await dibs.enqueueMany(plain, [{ to: "a" }, {}]);
      // @ts-expect-error: the result is another one.
      dibs.work(plain, () => ({ messageId: 1 }));
      // @ts-expect-error: the result is missing.
      dibs.work(plain, async () => ({}));
      // @ts-expect-error: the result is another one.
      plain.handler(async () => "m");
      // @ts-expect-error: there is no such option.
      dibs.work(plain, () => ({ messageId: "m" }), { threads: 4 });
    };
    expectTypeOf(misuses).toBeFunction();
  });
});
