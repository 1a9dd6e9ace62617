import { describe, expect, it } from "vitest";
import { eventually, RawConnection, Serving } from "../../test/http/serving.ts";
import type { QueueName, TaskId } from "../task/ids.ts";

const claim = RawConnection.request("POST", "/v1/claims", JSON.stringify({ queues: ["q"], waitMs: 60_000 }));

describe("a server that drains", () => {
  it("answers parked claims 204 at once, and closes their connections", async () => {
    const serving = await Serving.start();
    const connections = await Promise.all(Array.from({ length: 20 }, () => serving.connect()));
    for (const connection of connections) connection.write(claim);
    await serving.ask("PATCH", "/v1/queues/q", {});
    await eventually(
      () => serving.get("/v1/queues/q"),
      ({ json }) => json.waiting === 20,
    );

    await serving.server.close();
    for (const connection of connections) {
      await connection.closed();
      expect(await connection.answers(1)).toEqual([204]);
      expect(connection.received).toMatch(/^connection: close/im);
    }
    await serving.broker.close();
  });

  it("answers those who wait for a result with the present state", async () => {
    const serving = await Serving.start();
    const task = await serving.claimed();
    const connection = await serving.connect();
    connection.write(RawConnection.request("GET", `/v1/tasks/${task.id}/result?waitMs=60000`));
    await serving.get("/healthz");

    await serving.server.close();
    await connection.closed();
    expect(await connection.answers(1)).toEqual([202]);
    expect(connection.received).toContain('{"state":"leased"}');
    await serving.broker.close();
  });

  it("settles what a request that has begun settles, and claims nothing more for it", async () => {
    const serving = await Serving.start();
    const held = await serving.claimed();
    const outcomes = [{ id: held.id, leaseToken: held.lease.token, outcome: "complete" }];
    const body = JSON.stringify({ outcomes, claim: { queues: ["q"], waitMs: 60_000 } });
    const request = RawConnection.request("POST", "/v1/settle", body);
    const connection = await serving.connect();
    connection.write(request.slice(0, -10));
    await serving.get("/healthz");

    const closed = serving.server.close();
    connection.write(request.slice(-10));
    await connection.closed();
    expect(await connection.answers(1)).toEqual([200]);
    expect(connection.received).toContain(`{"results":[{"id":"${held.id}","state":"completed"}],"tasks":[]}`);
    await closed;
    await serving.broker.close();
  });

  it("finishes an enqueue whose body was still coming", async () => {
    const serving = await Serving.start();
    const request = RawConnection.request("POST", "/v1/tasks", '{"queue":"late"}');
    const connection = await serving.connect();
    connection.write(request.slice(0, -5));
    await serving.get("/healthz");

    const closed = serving.server.close();
    connection.write(request.slice(-5));
    expect(await connection.answers(1)).toEqual([201]);
    await closed;
    expect((await serving.broker.queue("late" as QueueName)).counts.ready).toBe(1);
    await serving.broker.close();
  });

  it("takes no new connections, and closes those that are idle or were never used", async () => {
    const serving = await Serving.start();
    const unused = await serving.connect();
    const idle = await serving.connect();
    idle.write(RawConnection.request("GET", "/healthz"));
    await idle.answers(1);

    await serving.server.close();
    await Promise.all([unused.closed(), idle.closed()]);
    await expect(serving.connect()).rejects.toThrow(/ECONNREFUSED/);
    await serving.broker.close();
  });

  it("leaves leases as they are", async () => {
    const serving = await Serving.start();
    const held = await serving.claimed();

    await serving.server.close();
    const [task] = await serving.storage.get(held.queue as QueueName, [held.id as TaskId]);
    expect(task).toMatchObject({ state: "leased", attempt: 1, lease: { fence: held.lease.fence } });
    await serving.broker.close();
  });

  it("waits only so long for a request that does not end", async () => {
    const serving = await Serving.start({ drainMs: 50 });
    const connection = await serving.connect();
    connection.write(RawConnection.request("POST", "/v1/tasks", '{"queue":"q"}').slice(0, -1));
    await serving.get("/healthz");

    await serving.server.close();
    await connection.closed();
    expect(connection.received).toBe("");
    await serving.broker.close();
  });

  it("may be closed twice, and before it ever listened", async () => {
    const serving = await Serving.start();
    await Promise.all([serving.server.close(), serving.server.close()]);
    await serving.server.close();
    await serving.broker.close();
  });
});

describe("a request that comes slowly", () => {
  it("is refused when it has not arrived in time, and its connection closed", async () => {
    await using serving = await Serving.start({ requestTimeoutMs: 100 });
    const [head, body] = await Promise.all([serving.connect(), serving.connect()]);
    head.write("POST /v1/tasks HTTP/1.1\r\nhost: a\r\n");
    body.write(RawConnection.request("POST", "/v1/tasks", '{"queue":"q"}').slice(0, -1));

    for (const connection of [head, body]) {
      await connection.closed();
      expect(await connection.answers(1)).toEqual([400]);
      expect(connection.received).toContain("did not arrive in time");
    }
  });
});

describe("what is no request", () => {
  it.each([
    ["another protocol", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["a header without end", `GET / HTTP/1.1\r\nx: ${"y".repeat(20_000)}`],
    ["a bad header", "GET / HTTP/1.1\r\nbad header\r\n\r\n"],
    ["two lengths", "POST /v1/tasks HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"],
    [
      "a length and chunks",
      "POST /v1/tasks HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
  ])("is answered 400 in the form of all errors, and its connection closed: %s", async (_, bytes) => {
    await using serving = await Serving.start();
    const connection = await serving.connect();
    connection.write(Buffer.from(bytes, "latin1"));

    await connection.closed();
    expect(await connection.answers(1)).toEqual([400]);
    const { error, requestId } = JSON.parse(connection.received.split("\r\n\r\n")[1] ?? "");
    expect([error.code, typeof requestId]).toEqual(["invalid_request", "string"]);
  });

  it("spoils no answer that is under way", async () => {
    await using serving = await Serving.start();
    const connection = await serving.connect();
    connection.write(`${RawConnection.request("GET", "/healthz")}nonsense\r\n\r\n`);

    await connection.closed();
    expect(await connection.answers(1)).toEqual([200]);
  });
});
