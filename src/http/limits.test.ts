import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Json, Serving } from "../../test/http/serving.ts";

/** Defaults, and the bounds that only show after many calls, much data or some time. */
let serving: Serving;
beforeEach(async () => {
  serving = await Serving.start();
});
afterEach(() => serving[Symbol.asyncDispose]());

const read = async ({ id }: Json): Promise<Json> => (await serving.get(`/v1/tasks/${id}`)).json;

describe("what nobody says", () => {
  it("of a task is: payload null, priority 0, five attempts, at once", async () => {
    const { json } = await serving.post("/v1/tasks", { queue: "q" });
    const now = serving.clock.now();

    expect(json).toEqual({
      id: expect.stringMatching(/^[\w.~-]{1,128}$/),
      queue: "q",
      state: "ready",
      priority: 0,
      payload: null,
      attempt: 0,
      maxAttempts: 5,
      createdAt: now,
      runAt: now,
    });
  });

  it("of a claim is: one task, thirty seconds, no waiting", async () => {
    await serving.post("/v1/tasks/batch", { tasks: [{ queue: "q" }, { queue: "q" }] });
    const tasks = await serving.claim();

    expect(tasks.map(({ lease }) => lease.ms)).toEqual([30_000]);
    expect((await serving.post("/v1/claims", { queues: ["none"] })).status).toBe(204);
  });

  it("of a backoff is: exponential from one second, anywhere in it", async () => {
    const task = await serving.claimed();
    const { json } = await serving.post(`/v1/tasks/${task.id}/nack`, { leaseToken: task.lease.token });

    const waitMs = json.state === "ready" ? 0 : json.runAt - serving.clock.now();
    expect(waitMs).toBeGreaterThanOrEqual(0);
    expect(waitMs).toBeLessThanOrEqual(1_000);
  });

  it("of a requeue of the dead is: ten thousand", async () => {
    const { json } = await serving.get("/openapi.json");
    const body = json.paths["/v1/queues/{queue}/requeue"].post.requestBody.content["application/json"].schema;

    expect(body.properties.limit).toMatchObject({ default: 10_000, maximum: 10_000 });
  });
});

describe("a task", () => {
  it("is released a hundred times without counting an attempt, and then counts", async () => {
    await serving.enqueue({ maxAttempts: 1 });
    for (let releases = 0; releases < 100; releases += 1) {
      const [task] = await serving.claim();
      expect(task.attempt).toBe(1);
      const { json } = await serving.post(`/v1/tasks/${task.id}/release`, { leaseToken: task.lease.token });
      expect(json.state).toBe("ready");
    }

    const [task] = await serving.claim();
    const { json } = await serving.post(`/v1/tasks/${task.id}/release`, { leaseToken: task.lease.token });
    expect(json).toEqual({ id: task.id, state: "dead" });
    expect(await read(task)).toMatchObject({ deadReason: "attempts", attempt: 1 });
  });

  it("keeps its last ten failures, each cut to a kilobyte at a whole character, and its last error whole", async () => {
    await serving.enqueue({ maxAttempts: 100 });
    let task: Json;
    for (let attempt = 1; attempt <= 12; attempt += 1) {
      [task] = await serving.claim({ worker: "w" });
      const error = `${attempt} ${"€".repeat(3_000)}`;
      await serving.post(`/v1/tasks/${task.id}/nack`, { leaseToken: task.lease.token, error, delayMs: 0 });
    }

    const { failures, lastError } = await read(task);
    expect(failures.map((failure: Json) => failure.attempt)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(failures.at(-1)).toEqual({
      attempt: 12,
      at: serving.clock.now(),
      worker: "w",
      error: `12 ${"€".repeat(340)}`,
    });
    expect(lastError).toBe(`12 ${"€".repeat(3_000)}`);
  });

  it("is not claimable before its time", async () => {
    await serving.enqueue({ delayMs: 5_000 });
    await serving.advance(4_999);
    expect(await serving.claim()).toEqual([]);

    await serving.advance(1);
    expect(await serving.claim()).toHaveLength(1);
  });

  it("is found by its key for twenty-four hours", async () => {
    const day = 24 * 60 * 60 * 1_000;
    const enqueue = async (): Promise<Json> =>
      (await serving.post("/v1/tasks", { queue: "q", idempotencyKey: "k" })).json;
    const first = await enqueue();
    await serving.advance(day - 1);
    expect((await enqueue()).id).toBe(first.id);

    await serving.advance(1);
    expect((await enqueue()).id).not.toBe(first.id);
  });

  it("is kept ten seconds after its end even where nothing is to be kept, unless an operator deletes it", async () => {
    await serving.ask("PATCH", "/v1/queues/q", {
      retention: { completedMs: 0, completedMax: 0, bytesMax: 0 },
    });
    const [one, two] = [await serving.claimed({ queue: "q" }), await serving.claimed({ queue: "q" })];
    for (const { id, lease } of [one, two])
      await serving.post(`/v1/tasks/${id}/complete`, { leaseToken: lease.token });
    serving.clock.advance(9_999);
    await serving.broker.prune();
    expect((await read(one)).state).toBe("completed");

    serving.clock.advance(2);
    await serving.broker.prune();
    expect((await read(one)).error.code).toBe("task_not_found");
    const again = await serving.post(`/v1/tasks/${one.id}/complete`, { leaseToken: one.lease.token });
    expect(again.json.error.code).toBe("task_not_found");

    const three = await serving.claimed({ queue: "q" });
    await serving.post(`/v1/tasks/${three.id}/complete`, { leaseToken: three.lease.token });
    expect((await serving.ask("DELETE", "/v1/queues/q/tasks?state=completed")).json).toEqual({ deleted: 1 });
  });
});

describe("sixteen mebibytes", () => {
  const payload = "x".repeat(1024 * 1024 - 2); // With its quotes 1 MiB.

  it("end a claim early, and the rest comes with the next one", async () => {
    for (let count = 0; count < 18; count += 1) await serving.enqueue({ payload });

    expect(await serving.claim({ max: 18 })).toHaveLength(16);
    expect(await serving.claim({ max: 18 })).toHaveLength(2);
  });

  it("end a page early, with a cursor", async () => {
    for (let count = 0; count < 18; count += 1) await serving.enqueue({ payload });
    const first = (await serving.get("/v1/queues/q/tasks?state=ready&limit=18")).json;
    const second = (await serving.get(`/v1/queues/q/tasks?state=ready&limit=18&cursor=${first.cursor}`)).json;

    expect(first.tasks.length).toBeLessThanOrEqual(16);
    expect(new Set([...first.tasks, ...second.tasks].map(({ id }: Json) => id)).size).toBe(18);
    expect(second.cursor).toBeUndefined();
  });
});

describe("a payload", () => {
  it("of one mebibyte is taken, and one byte more is not, unless the server is told otherwise", async () => {
    const send = (server: Serving, bytes: number) =>
      server.post("/v1/tasks", { queue: "q", payload: "x".repeat(bytes - 2) });
    expect((await send(serving, 1_048_576)).status).toBe(201);
    expect((await send(serving, 1_048_577)).json.error.code).toBe("payload_too_large");

    await using roomy = await Serving.start({ payloadBytesMax: 2_000_000 });
    expect((await send(roomy, 1_048_577)).status).toBe(201);
    expect((await send(roomy, 2_000_001)).status).toBe(413);
  });
});
