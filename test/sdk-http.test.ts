import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Broker } from "../src/broker/broker.ts";
import { connect } from "../src/connect.ts";
import { createServer } from "../src/http/server.ts";
import type { Dibs } from "../src/sdk/client.ts";
import { EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import { ConnectionLostError, UnauthorizedError } from "../src/task/errors.ts";
import { FaultyProxy } from "./faulty-proxy.ts";
import { Closing } from "./sdk-places.ts";

// What only a client across a network meets.
describe("a client over HTTP", () => {
  const closing = new Closing();
  let proxy: FaultyProxy;
  let dibs: Dibs;

  beforeEach(async () => {
    proxy = await FaultyProxy.open(await serve());
    closing.add(() => proxy.close());
    dibs = await connect(proxy.url);
    closing.add(() => dibs.close());
  });
  afterEach(() => closing.all());

  async function serve(tokens: readonly string[] = []): Promise<string> {
    const broker = await Broker.open(await EmbeddedStorage.open());
    const server = await createServer(broker, { tokens, logger: pino({ level: "silent" }), drainMs: 200 });
    closing.add(async () => {
      await server.close();
      await broker.close();
    });
    return server.listen({ host: "127.0.0.1", port: 0 });
  }

  it("shows its token, from the options or the URL", async () => {
    const url = await serve(["secret token?", "other"].map(encodeURIComponent));
    const withToken = [
      await connect(url as `http://${string}`, { token: "other" }),
      await connect(url.replace("//", "//:other@")),
      await connect(url.replace("//", "//other@")),
    ];
    const without = await connect(url);
    const wrong = await connect(url as `http://${string}`, { token: "wrong" });

    for (const client of withToken) expect(await client.queues()).toEqual([]);
    await expect(without.queues()).rejects.toBeInstanceOf(UnauthorizedError);
    await expect(wrong.queues()).rejects.toMatchObject({ code: "unauthorized", retryable: false });
    for (const client of [...withToken, without, wrong]) await client.close();
  });

  it("sends more than 16 MiB of tasks in several requests", async () => {
    const payloads = Array.from({ length: 40 }, (_, index) => `${index}`.padEnd(900_000, "."));

    const outcomes = await dibs.enqueueMany("large", payloads);

    expect(outcomes.every(({ error }) => error === undefined)).toBe(true);
    expect(proxy.countOf("/v1/tasks/batch")).toBe(3);
    const claimed = await dibs.claim({ queues: ["large"], max: 40 });
    expect(claimed.length).toBeGreaterThan(10);
    expect(claimed.map(({ payload }) => payload)).toEqual(payloads.slice(0, claimed.length));
  });

  it("refuses a payload larger than a request, and sends the others", async () => {
    const outcomes = await dibs.enqueueMany("q", ["a", "x".repeat(17 * 1024 * 1024), "b"]);

    expect(outcomes.map(({ error }) => error?.code)).toEqual([undefined, "payload_too_large", undefined]);
  });

  it("says which tasks were accepted when the connection is lost on the way", async () => {
    proxy.fateOf = (path, count) => (path === "/v1/tasks/batch" && count === 1 ? "cut-before" : "pass");

    const outcomes = await dibs.enqueueMany(
      "q",
      Array.from({ length: 2_500 }, (_, index) => index),
    );

    const accepted = outcomes.filter(({ task }) => task !== undefined);
    expect(accepted).toHaveLength(1_000);
    expect(outcomes[1_000]?.error).toBeInstanceOf(ConnectionLostError);
    expect(outcomes[2_499]?.error).toBeInstanceOf(ConnectionLostError);
    expect((await dibs.queue("q").get()).counts.ready).toBe(1_000);
  });

  it("rejects when nothing could be sent at all", async () => {
    proxy.fateOf = (path) => (path === "/v1/tasks/batch" ? "cut-before" : "pass");

    await expect(dibs.enqueueMany("q", [1, 2])).rejects.toBeInstanceOf(ConnectionLostError);
  });

  it("enqueues again by itself only what has a key", async () => {
    proxy.fateOf = (path, count) => (path === "/v1/tasks" && count % 2 === 0 ? "lose-answer" : "pass");

    await expect(dibs.enqueue("q", "without a key")).rejects.toBeInstanceOf(ConnectionLostError);
    proxy.fateOf = (path, count) => (path === "/v1/tasks" && count === 1 ? "lose-answer" : "pass");
    const keyed = await dibs.enqueue("q", "with a key", { idempotencyKey: "k" });

    expect(keyed.deduplicated).toBe(true);
    expect((await dibs.queue("q").get()).counts.ready).toBe(2);
  });

  it("never sends a claim again by itself", async () => {
    await dibs.enqueueMany("q", [1, 2]);
    proxy.fateOf = (path) => (path === "/v1/claims" ? "lose-answer" : "pass");

    await expect(dibs.claim({ queues: ["q"] })).rejects.toBeInstanceOf(ConnectionLostError);

    expect(proxy.countOf("/v1/claims")).toBe(1);
    expect((await dibs.queue("q").get()).counts).toMatchObject({ ready: 1, leased: 1 });
  });

  it("reads again when a connection breaks", async () => {
    await dibs.enqueue("q");
    proxy.fateOf = (path, count) => (path === "/v1/queues" && count < 2 ? "cut-before" : "pass");

    expect(await dibs.queues()).toHaveLength(1);
    expect(proxy.countOf("/v1/queues")).toBe(3);
  });

  it("waits for a result through a server that comes and goes", async () => {
    const task = await dibs.enqueue("q");
    const path = `/v1/tasks/${encodeURIComponent(task.id)}/result`;
    proxy.fateOf = (seen, count) => {
      if (seen !== path) return "pass";
      if (count < 4) return "cut-before";
      return count === 4
        ? { status: 503, body: '{"error":{"code":"shutting_down","message":"no"}}' }
        : "pass";
    };
    const waiting = dibs.waitForResult(task, { timeoutMs: 30_000 });
    const [claimed] = await dibs.claim({ queues: ["q"] });

    const { token } = claimed!.lease;
    await dibs.settle([{ id: task.id, leaseToken: token, outcome: "complete", result: "done" }]);

    expect(await waiting).toBe("done");
    expect(proxy.countOf(path)).toBeGreaterThan(5);
  });

  it("gives the waiting up at its time, also when no answer came", async () => {
    const task = await dibs.enqueue("q");
    proxy.fateOf = (path) => (path.endsWith("/result") ? "cut-before" : "pass");

    await expect(dibs.waitForResult(task, { timeoutMs: 400 })).rejects.toMatchObject({ code: "timeout" });

    const path = `/v1/tasks/${encodeURIComponent(task.id)}/result`;
    const before = proxy.countOf(path);
    proxy.fateOf = (seen) => (seen === path ? "hang" : "pass");
    await expect(dibs.waitForResult(task, { timeoutMs: 50 })).rejects.toMatchObject({ code: "timeout" });
    expect(proxy.countOf(path)).toBe(before + 1);
  });
});
