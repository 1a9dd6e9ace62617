import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawConnection, type Reply, Serving } from "../../test/http/serving.ts";
import { FILLINGS, pathOf, Witness } from "../../test/http/witness.ts";
import { errorsOf, ROUTE_NAMES, ROUTES, type Route, type RouteName } from "../protocol/routes.ts";
import { LIMITS } from "../task/limits.ts";

/**
 * Every answer of every route, met over a real socket. The table of routes says which there are; the last
 * test says which were not met.
 */
const witness = new Witness();
const routesWith = (code: string): RouteName[] =>
  ROUTE_NAMES.filter((name) => (errorsOf(ROUTES[name]) as readonly string[]).includes(code));

let serving: Serving;
const ask = (name: RouteName, filling: object = {}): Promise<Reply> => witness.ask(serving, name, filling);
const on = (task: { id: string }): { params: { id: string } } => ({ params: { id: task.id } });

beforeAll(async () => {
  serving = await Serving.start({ payloadBytesMax: 1_000 });
});
afterAll(() => serving[Symbol.asyncDispose]());

describe("producing", () => {
  it("answers 201 and the task for a new one", async () => {
    const { status, json } = await ask("enqueue", { body: { queue: "q", payload: { to: "a@b.c" } } });

    expect(status).toBe(201);
    expect(json).toMatchObject({ queue: "q", state: "ready", payload: { to: "a@b.c" } });
  });

  it("answers 200 and says so when the idempotency key was seen", async () => {
    const body = { queue: "keys", payload: { a: 1, b: 2 }, idempotencyKey: "order-17" };
    const first = await ask("enqueue", { body });
    const second = await ask("enqueue", { body: { ...body, payload: { b: 2, a: 1 } } });

    expect(second.status).toBe(200);
    expect(second.json).toEqual({ ...first.json, deduplicated: true });
    expect(first.json).not.toHaveProperty("deduplicated");
  });

  it("answers idempotency_conflict when the key's payload is another", async () => {
    const { status, json } = await ask("enqueue", {
      body: { queue: "keys", payload: 3, idempotencyKey: "order-17" },
    });

    expect(status).toBe(409);
    expect(json.error.code).toBe("idempotency_conflict");
  });

  it("says pruned when only the key is left", async () => {
    const body = { queue: "gone", idempotencyKey: "k" };
    const { json: task } = await ask("enqueue", { body });
    await ask("purge", { params: { queue: "gone" }, query: { state: "ready" } });

    const single = await ask("enqueue", { body });
    expect(single.status).toBe(200);
    expect(single.json).toEqual({ id: task.id, queue: "gone", state: "pruned", deduplicated: true });
    const batch = await ask("enqueueBatch", { body: { tasks: [body] } });
    expect(batch.json.results).toEqual([
      { task: { id: task.id, queue: "gone", state: "pruned" }, deduplicated: true },
    ]);
  });

  it("answers queue_full at the depth of the queue, with a hint when to try again", async () => {
    await ask("configure", { params: { queue: "narrow" }, body: { maxDepth: 1 } });
    await ask("enqueue", { body: { queue: "narrow" } });

    const full = await ask("enqueue", { body: { queue: "narrow" } });
    expect(full.status).toBe(429);
    expect(full.json.error).toMatchObject({ code: "queue_full", details: { limit: 1 } });
    expect(full.headers.get("retry-after")).toBe("1");
  });

  it("answers payload_too_large for a payload over the limit, counted in bytes of UTF-8", async () => {
    const fits = "ä".repeat(499); // with its quotes 1,000 bytes
    expect((await ask("enqueue", { body: { queue: "q", payload: fits } })).status).toBe(201);

    const over = await ask("enqueue", { body: { queue: "q", payload: `${fits}a` } });
    expect(over.status).toBe(413);
    expect(over.json.error.code).toBe("payload_too_large");
  });

  it("answers each task of a batch in its place, errors too", async () => {
    const tasks = [
      { queue: "q", payload: 1 },
      { queue: "q", payload: "x".repeat(1_001) },
      { queue: "narrow" },
      { queue: "keys", idempotencyKey: "order-17", payload: "other" },
      { queue: "keys", idempotencyKey: "order-17", payload: { a: 1, b: 2 } },
    ];
    const { status, json } = await ask("enqueueBatch", { body: { tasks } });

    expect(status).toBe(200);
    expect(json.results.map((item: { error?: { code: string } }) => item.error?.code)).toEqual([
      undefined,
      "payload_too_large",
      "queue_full",
      "idempotency_conflict",
      undefined,
    ]);
    expect(json.results[0].task).toMatchObject({ state: "ready", payload: 1 });
    expect(json.results[4]).toMatchObject({ task: { payload: { a: 1, b: 2 } }, deduplicated: true });
  });

  it("answers a task by its id", async () => {
    const { json: task } = await ask("enqueue", { body: { queue: "q" } });

    expect((await ask("task", on(task))).json).toEqual(task);
  });

  it("answers 202 with the state while there is no result, and 200 with it when there is", async () => {
    await ask("enqueue", { body: { queue: "results" } });
    const task = (await ask("claim", { body: { queues: ["results"] } })).json.tasks[0];
    const pending = await ask("result", { ...on(task), query: { waitMs: 0 } });
    expect([pending.status, pending.json]).toEqual([202, { state: "leased" }]);

    await ask("complete", { ...on(task), body: { leaseToken: task.lease.token, result: { sent: true } } });
    const done = await ask("result", on(task));
    expect(done.status).toBe(200);
    expect(done.json).toEqual({
      state: "completed",
      result: { sent: true },
      finishedAt: serving.clock.now(),
    });
  });

  it("hands a result to who waits for it", async () => {
    const task = await serving.claimed();
    const waiting = ask("result", { ...on(task), query: { waitMs: 60_000 } });
    await ask("complete", { ...on(task), body: { leaseToken: task.lease.token, result: [1] } });

    expect((await waiting).json).toMatchObject({ state: "completed", result: [1] });
  });

  it("cancels a task; its holder's next call gets lease_lost and the state", async () => {
    const task = await serving.claimed();
    const { status, json } = await ask("cancel", on(task));
    expect([status, json.state, json.finishedAt]).toEqual([200, "cancelled", serving.clock.now()]);

    const beat = await ask("heartbeat", { ...on(task), body: { leaseToken: task.lease.token } });
    expect([beat.status, beat.json.error.code, beat.json.error.details]).toMatchObject([
      409,
      "lease_lost",
      { state: "cancelled" },
    ]);
  });

  it("answers wrong_state and the state when a finished task is cancelled", async () => {
    const { json: task } = await ask("enqueue", { body: { queue: "q" } });
    await ask("cancel", on(task));

    const again = await ask("cancel", on(task));
    expect([again.status, again.json.error.code]).toEqual([409, "wrong_state"]);
    expect(again.json.error.details.state).toBe("cancelled");
  });
});

describe("working", () => {
  it("answers 204 without a body when there is no task", async () => {
    const { status, text, headers } = await ask("claim", { body: { queues: ["nothing-here"] } });

    expect([status, text, headers.get("content-type")]).toEqual([204, "", null]);
  });

  it("answers claimed tasks with their leases", async () => {
    const { json: task } = await ask("enqueue", { body: { queue: "lease", payload: 1 } });
    const { status, json } = await ask("claim", {
      body: { queues: ["nothing-here", "lease"], worker: "w1" },
    });

    const now = serving.clock.now();
    expect(status).toBe(200);
    expect(json.tasks).toEqual([
      {
        ...task,
        state: "leased",
        attempt: 1,
        lease: {
          token: expect.any(String),
          expiresAt: now + 30_000,
          ms: 30_000,
          fence: expect.any(Number),
          claimedAt: now,
          worker: "w1",
        },
      },
    ]);
  });

  it("shows a lease without its token to readers", async () => {
    const task = await serving.claimed();
    const { token, ...lease } = task.lease;

    expect(token).toBeTypeOf("string");
    expect((await ask("task", on(task))).json.lease).toEqual(lease);
    const page = await ask("list", { params: { queue: task.queue }, query: { state: "leased" } });
    expect(page.json.tasks).toEqual([{ ...task, lease }]);
  });

  it("completes a task, and answers the same again for the same token", async () => {
    const task = await serving.claimed();
    const body = { leaseToken: task.lease.token, result: null };

    for (const _ of ["first", "again"]) {
      const { status, json } = await ask("complete", { ...on(task), body });
      expect([status, json]).toEqual([200, { id: task.id, state: "completed" }]);
    }
    expect((await ask("task", on(task))).json).toMatchObject({ state: "completed", result: null });
  });

  it("answers payload_too_large for a result over the limit, and keeps the lease", async () => {
    const task = await serving.claimed();
    const body = { leaseToken: task.lease.token, result: "x".repeat(999) };

    const over = await ask("complete", { ...on(task), body });
    expect([over.status, over.json.error.code]).toEqual([413, "payload_too_large"]);
    expect((await ask("task", on(task))).json.state).toBe("leased");
  });

  it("answers where a nacked task is: ready at once, scheduled until when, or dead", async () => {
    const task = await serving.claimed();
    const nack = (token: string, fields: object) =>
      ask("nack", { ...on(task), body: { leaseToken: token, ...fields } });
    expect((await nack(task.lease.token, { error: "e1", delayMs: 0 })).json).toEqual({
      id: task.id,
      state: "ready",
    });

    const [second] = await serving.claim({ queues: [task.queue] });
    const runAt = serving.clock.now() + 500;
    expect((await nack(second.lease.token, { delayMs: 500 })).json).toEqual({
      id: task.id,
      state: "scheduled",
      runAt,
    });

    await serving.advance(500);
    const [third] = await serving.claim({ queues: [task.queue] });
    expect((await nack(third.lease.token, { error: "no", retry: false })).json).toEqual({
      id: task.id,
      state: "dead",
    });

    const { json } = await ask("task", on(task));
    expect(json).toMatchObject({ deadReason: "refused", lastError: "no", attempt: 3 });
    expect(json.failures.map((failure: { error: string }) => failure.error)).toEqual(["e1", "", "no"]);
  });

  it("releases a task to the head of its queue, its attempt uncounted", async () => {
    const task = await serving.claimed();
    const { status, json } = await ask("release", { ...on(task), body: { leaseToken: task.lease.token } });

    expect([status, json]).toEqual([200, { id: task.id, state: "ready" }]);
    expect((await ask("task", on(task))).json.attempt).toBe(0);
  });

  it("releases a leased task without a token by force, and refuses where there is nothing to release", async () => {
    const task = await serving.claimed();
    const forced = await ask("release", { ...on(task), body: { force: true, leaseToken: "ignored" } });
    expect([forced.status, forced.json]).toEqual([200, { id: task.id, state: "ready" }]);

    const again = await ask("release", { ...on(task), body: { force: true } });
    expect([again.status, again.json.error.code]).toEqual([409, "wrong_state"]);
    const stale = await ask("complete", { ...on(task), body: { leaseToken: task.lease.token } });
    expect([stale.status, stale.json.error.details.state]).toEqual([409, "ready"]);
  });

  it("extends a lease by the length asked for, once", async () => {
    const task = await serving.claimed();
    const beat = (fields: object) =>
      ask("heartbeat", { ...on(task), body: { leaseToken: task.lease.token, ...fields } });

    expect((await beat({ leaseMs: 120_000 })).json).toEqual({ expiresAt: serving.clock.now() + 120_000 });
    expect((await beat({})).json).toEqual({ expiresAt: serving.clock.now() + 30_000 });
  });

  it("answers lease_lost to every later write once a lease has expired", async () => {
    const task = await serving.claimed({ maxAttempts: 1 });
    await serving.advance(30_001);
    const body = { leaseToken: task.lease.token };

    for (const name of ["complete", "nack", "release", "heartbeat"] as const) {
      const { status, json } = await ask(name, { ...on(task), body });
      expect([status, json.error.code, json.error.details.state], name).toEqual([409, "lease_lost", "dead"]);
    }
    const { json } = await ask("task", on(task));
    expect(json).toMatchObject({
      deadReason: "attempts",
      failures: [{ attempt: 1, error: expect.any(String) }],
    });
  });

  it("settles many and claims the next in one call, each in its place", async () => {
    const tasks = await Promise.all([1, 2, 3].map(() => serving.claimed()));
    await serving.enqueue({ queue: "next", payload: "next" });
    const [one, two, three] = tasks.map(({ id, lease }) => ({ id, leaseToken: lease.token }));
    const outcomes = [
      { ...one, outcome: "complete", result: 1 },
      { ...two, outcome: "nack", delayMs: 1_000 },
      { ...three, outcome: "release", leaseToken: "stale" },
      { id: "no such id", leaseToken: "t", outcome: "complete" },
    ];
    const { status, json } = await ask("settle", { body: { outcomes, claim: { queues: ["next"] } } });

    expect(status).toBe(200);
    expect(json.results).toMatchObject([
      { id: one?.id, state: "completed" },
      { id: two?.id, state: "scheduled", runAt: serving.clock.now() + 1_000 },
      { id: three?.id, error: { code: "lease_lost", details: { state: "leased" } } },
      { id: "no such id", error: { code: "task_not_found" } },
    ]);
    expect(json.tasks).toMatchObject([{ payload: "next", lease: { token: expect.any(String) } }]);
  });

  it("settles without a claim", async () => {
    const task = await serving.claimed();
    const outcomes = [{ id: task.id, leaseToken: task.lease.token, outcome: "release" }];

    expect((await ask("settle", { body: { outcomes } })).json).toEqual({
      results: [{ id: task.id, state: "ready" }],
      tasks: [],
    });
  });

  it("extends many leases, each in its place", async () => {
    const task = await serving.claimed();
    const leases = [
      { id: "nonsense", leaseToken: "t" },
      { id: task.id, leaseToken: task.lease.token, leaseMs: 90_000 },
      { id: task.id, leaseToken: "stale" },
    ];
    const { json } = await ask("heartbeats", { body: { leases } });

    expect(json.results).toMatchObject([
      { id: "nonsense", error: { code: "task_not_found" } },
      { id: task.id, expiresAt: serving.clock.now() + 90_000 },
      { id: task.id, error: { code: "lease_lost", details: { state: "leased" } } },
    ]);
  });
});

describe("looking and operating", () => {
  it("lists queues with their counts, without configuration", async () => {
    await ask("enqueue", { body: { queue: "listed", delayMs: 1_000 } });
    const { json } = await ask("queues");

    const names = json.queues.map(({ queue }: { queue: string }) => queue);
    expect(names).toEqual([...names].sort());
    expect(json.queues.find(({ queue }: { queue: string }) => queue === "listed")).toEqual({
      queue: "listed",
      paused: false,
      counts: { scheduled: 1, ready: 0, leased: 0, completed: 0, dead: 0, cancelled: 0 },
      enqueued: 1,
      pruned: 0,
      waiting: 0,
    });
  });

  it("answers a queue with every effective value of its configuration", async () => {
    await ask("enqueue", { body: { queue: "fresh" } });
    const { status, json } = await ask("queue", { params: { queue: "fresh" } });

    const none = { p50: expect.any(Number), p99: expect.any(Number), p999: expect.any(Number) };
    expect(status).toBe(200);
    expect(json).toMatchObject({
      queue: "fresh",
      oldestReadyAt: serving.clock.now(),
      latency: { claim: none, wait: none },
    });
    expect(json.config).toEqual({
      maxAttempts: 5,
      backoff: { type: "exponential", baseMs: 1_000, capMs: 900_000, jitter: "full" },
      leaseMs: 30_000,
      maxDepth: null,
      retention: {
        completedMs: 3_600_000,
        completedMax: 10_000,
        deadMs: 1_209_600_000,
        deadMax: 100_000,
        bytesMax: 268_435_456,
      },
    });
  });

  it("creates a queue by its first configuration and merges later ones field by field", async () => {
    const queue = { params: { queue: "tuned" } };
    const first = await ask("configure", {
      ...queue,
      body: { maxDepth: 10, backoff: { type: "fixed" }, leaseMs: 5_000 },
    });
    expect(first.status).toBe(200);

    const { json } = await ask("configure", {
      ...queue,
      body: { maxDepth: null, retention: { deadMax: 0 }, maxAttempts: 2 },
    });
    expect(json.config).toMatchObject({
      maxDepth: null,
      leaseMs: 5_000,
      maxAttempts: 2,
      backoff: { type: "fixed", baseMs: 1_000 },
      retention: { deadMax: 0, completedMax: 10_000 },
    });
    await ask("enqueue", { body: { queue: "tuned" } });
    const task = (await ask("claim", { body: { queues: ["tuned"] } })).json.tasks[0];
    expect([task.lease.ms, task.maxAttempts]).toEqual([5_000, 2]);
  });

  it("pauses and resumes a queue: enqueues go on, claims give nothing", async () => {
    await ask("enqueue", { body: { queue: "pausing" } });
    const queue = { params: { queue: "pausing" } };
    expect((await ask("pause", queue)).json).toMatchObject({ queue: "pausing", paused: true, config: {} });

    expect((await ask("enqueue", { body: { queue: "pausing" } })).status).toBe(201);
    expect((await ask("claim", { body: { queues: ["pausing"] } })).status).toBe(204);
    expect((await ask("resume", queue)).json.paused).toBe(false);
    expect((await ask("claim", { body: { queues: ["pausing"] } })).status).toBe(200);
  });

  it("lists ready tasks in claim order, page by page", async () => {
    const queue = { params: { queue: "pages" } };
    for (const priority of [0, 9, 5, 0]) await ask("enqueue", { body: { queue: "pages", priority } });
    const first = await ask("list", { ...queue, query: { state: "ready", limit: 3 } });
    const second = await ask("list", {
      ...queue,
      query: { state: "ready", limit: 3, cursor: first.json.cursor },
    });

    expect(first.json.tasks.map(({ priority }: { priority: number }) => priority)).toEqual([9, 5, 0]);
    expect(second.json.tasks).toHaveLength(1);
    expect(second.json).not.toHaveProperty("cursor");
  });

  it("lists 50 tasks when nobody says how many", async () => {
    await ask("enqueueBatch", { body: { tasks: Array.from({ length: 51 }, () => ({ queue: "fifty" })) } });

    const { json } = await ask("list", { params: { queue: "fifty" }, query: { state: "ready" } });
    expect([json.tasks.length, typeof json.cursor]).toEqual([50, "string"]);
  });

  it("refuses a cursor that it did not make", async () => {
    const { status, json } = await ask("list", {
      params: { queue: "fifty" },
      query: { state: "ready", cursor: "made up" },
    });

    expect([status, json.error.code]).toEqual([400, "invalid_request"]);
  });

  it("requeues dead, cancelled and scheduled tasks, and no others", async () => {
    const { json: task } = await ask("enqueue", { body: { queue: "again", delayMs: 60_000 } });
    const now = await ask("requeue", on(task));
    expect([now.status, now.json.state, now.json.attempt]).toEqual([200, "ready", 0]);

    const again = await ask("requeue", on(task));
    expect([again.status, again.json.error.code, again.json.error.details.state]).toEqual([
      409,
      "wrong_state",
      "ready",
    ]);
  });

  it("requeues the dead of a queue, as many as asked for", async () => {
    const queue = { params: { queue: "graves" } };
    await ask("enqueueBatch", {
      body: { tasks: [1, 2, 3].map((payload) => ({ queue: "graves", payload })) },
    });
    const { tasks } = (await ask("claim", { body: { queues: ["graves"], max: 3 } })).json;
    const outcomes = tasks.map(({ id, lease }: { id: string; lease: { token: string } }) => ({
      id,
      leaseToken: lease.token,
      outcome: "nack",
      retry: false,
    }));
    await ask("settle", { body: { outcomes } });

    expect((await ask("requeueDead", { ...queue, body: { state: "dead", limit: 2 } })).json).toEqual({
      requeued: 2,
    });
    expect((await ask("requeueDead", { ...queue, body: { state: "dead" } })).json).toEqual({ requeued: 1 });
  });

  it("deletes the tasks of a state", async () => {
    await ask("enqueueBatch", { body: { tasks: [1, 2, 3].map(() => ({ queue: "emptied" })) } });
    const { status, json } = await ask("purge", { params: { queue: "emptied" }, query: { state: "ready" } });

    expect([status, json]).toEqual([200, { deleted: 3 }]);
    expect((await ask("queue", { params: { queue: "emptied" } })).json).toMatchObject({
      enqueued: 3,
      pruned: 3,
    });
  });

  it("refuses to delete leased tasks", async () => {
    const { status, json } = await ask("purge", { params: { queue: "emptied" }, query: { state: "leased" } });

    expect([status, json.error.details.field]).toEqual([400, "state"]);
  });
});

describe("the server", () => {
  it("is alive and ready", async () => {
    expect((await ask("healthz")).json).toEqual({ status: "ok" });
    expect((await ask("readyz")).json).toEqual({ status: "ok" });
    expect((await ask("healthz", { query: { probe: 1 } })).status).toBe(200);
  });

  it("answers metrics, its description and a page", async () => {
    const types = await Promise.all(
      (["metrics", "openapi", "docs"] as const).map(async (name) =>
        (await ask(name)).headers.get("content-type"),
      ),
    );

    expect(types).toEqual([
      expect.stringContaining("text/plain; version=0.0.4"),
      "application/json; charset=utf-8",
      "text/html; charset=utf-8",
    ]);
  });
});

describe("errors that many routes share", () => {
  it.each(routesWith("task_not_found"))(
    "%s answers task_not_found for an id without a task",
    async (name) => {
      for (const id of ["emails~AAAAAAAAAAAAAAAA", "x".repeat(200), "ä/ö", "%"]) {
        const { status, json } = await ask(name, { ...FILLINGS[name], params: { id } });
        expect([status, json.error.code]).toEqual([404, "task_not_found"]);
      }
    },
  );

  it.each(routesWith("queue_not_found"))(
    "%s answers queue_not_found for a queue that nobody made",
    async (name) => {
      const { status, json } = await ask(name, { ...FILLINGS[name], params: { queue: "nobody-made-it" } });

      expect([status, json.error.code]).toEqual([404, "queue_not_found"]);
    },
  );

  it.each(routesWith("invalid_request"))(
    "%s answers invalid_request for a field that it does not know",
    async (name) => {
      const { status, json } = await ask(name, {
        ...FILLINGS[name],
        query: { ...FILLINGS[name].query, colour: "red" },
      });

      expect([status, json.error.details]).toMatchObject([400, { field: "colour", value: "red" }]);
    },
  );

  it.each(routesWith("payload_too_large"))(
    "%s answers payload_too_large for a body over 16 MiB",
    async (name) => {
      const route: Route = ROUTES[name];
      const connection = await serving.connect();
      const tooLong = String(LIMITS.bodyBytesMax + 1);
      connection.write(
        RawConnection.request(route.method, pathOf(route, FILLINGS[name]), "", { "content-length": tooLong }),
      );

      await connection.until(() => connection.received.endsWith("}"));
      connection.vanish();
      expect(await connection.answers(1)).toEqual([413]);
      const json = JSON.parse(connection.received.split("\r\n\r\n")[1] ?? "");
      expect(json.error.details).toMatchObject({ field: "body", bound: LIMITS.bodyBytesMax });
      witness.note(name, { status: 413, json });
    },
  );

  it("answers unauthorized without a token where tokens are asked for", async () => {
    await using guarded = await Serving.start({ tokens: ["s3cret"] });

    for (const name of routesWith("unauthorized")) {
      const { status, headers } = await witness.ask(guarded, name, FILLINGS[name]);
      expect([status, headers.get("www-authenticate")], name).toEqual([
        401,
        expect.stringContaining('Bearer realm="dibs"'),
      ]);
    }
  });

  it("answers forbidden to the page of another site", async () => {
    for (const name of routesWith("forbidden")) {
      const headers = { origin: "https://evil.example" };
      expect((await ask(name, { ...FILLINGS[name], headers })).status, name).toBe(403);
    }
  });

  it("answers storage_unavailable when the engine cannot do its work", async () => {
    const broken = await Serving.start();
    await broken.storage.close();

    for (const name of routesWith("storage_unavailable")) {
      const { status, headers } = await witness.ask(broken, name, FILLINGS[name]);
      expect([status, headers.get("retry-after")], name).toEqual([503, "1"]);
    }
    await broken.server.close();
  });

  it("answers shutting_down to requests that come while it drains", async () => {
    const draining = await Serving.start();
    const names = routesWith("shutting_down");
    const requests = names.map((name) => requestOf(name));
    const connections = await Promise.all(requests.map((request) => halfAsked(draining, request)));
    await draining.get("/healthz"); // By now the beginnings are read.
    const closed = draining.server.close();

    for (const [index, name] of names.entries()) {
      const connection = connections[index] as RawConnection;
      connection.received = "";
      connection.write(requests[index]?.slice(BEGUN) ?? "");
      expect(await connection.answers(1), name).toEqual([503]);
      await connection.closed();
      expect(connection.received.toLowerCase()).toContain("connection: close");
      witness.note(name, { status: 503, json: JSON.parse(connection.received.split("\r\n\r\n")[1] ?? "") });
    }
    await closed;
    await draining.broker.close();
  });
});

it("has met every answer of every route", () => {
  expect(witness.unmet()).toEqual([]);
});

/** So many characters of a request have come when the drain begins. */
const BEGUN = 5;

function requestOf(name: RouteName): string {
  const filling = FILLINGS[name];
  const body = filling.body === undefined ? "" : JSON.stringify(filling.body);
  return RawConnection.request(ROUTES[name].method, pathOf(ROUTES[name], filling), body);
}

/** A connection that was answered once and has begun its next request: a server that drains waits for it. */
async function halfAsked(server: Serving, request: string): Promise<RawConnection> {
  const connection = await server.connect();
  connection.write(RawConnection.request("GET", "/healthz"));
  await connection.until(() => connection.received.includes('{"status":"ok"}'));
  connection.write(request.slice(0, BEGUN));
  return connection;
}
