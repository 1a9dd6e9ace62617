import { describe, expect, it } from "vitest";
import { type Json, RawConnection, Serving } from "../../test/http/serving.ts";
import type { ServerLogger } from "./logger.ts";

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Json;
}

/** A logger that keeps its lines. */
function recording(level: "info" | "debug"): { lines: Line[]; logger: ServerLogger } {
  const lines: Line[] = [];
  const at = (name: string) => (fields: object, message: string) =>
    lines.push({ level: name, message, fields });
  const logger = {
    debug: level === "debug" ? at("debug") : () => {},
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    isLevelEnabled: (name: string) => level === "debug" || name !== "debug",
  };
  return { lines, logger };
}

describe("a request id", () => {
  it.each(["abc-123", "a".repeat(128), "trace:00-0af7651916cd43dd8448eb211c80319c/1"])(
    "is echoed: %s",
    async (id) => {
      await using serving = await Serving.start();

      expect((await serving.get("/healthz", { "x-request-id": id })).headers.get("x-request-id")).toBe(id);
      const refused = await serving.get("/nowhere", { "x-request-id": id });
      expect([refused.json.requestId, refused.headers.get("x-request-id")]).toEqual([id, id]);
    },
  );

  it.each(["", "a".repeat(129), "with space", 'quo"te', "ümlaut".normalize("NFC")])(
    "is made anew when the one that came is not fit to be repeated: %j",
    async (id) => {
      await using serving = await Serving.start();
      const { headers } = await serving.get("/healthz", { "x-request-id": id });

      expect(headers.get("x-request-id")).toMatch(/^[\w-]{10,}$/);
    },
  );

  it("is another one for each request", async () => {
    await using serving = await Serving.start();
    const ids = await Promise.all(
      Array.from({ length: 20 }, async () => (await serving.get("/healthz")).headers.get("x-request-id")),
    );

    expect(new Set(ids).size).toBe(20);
  });
});

describe("the log", () => {
  it("has no line for what workers and producers do all day", async () => {
    const { lines, logger } = recording("info");
    await using serving = await Serving.start({ logger });
    const before = lines.length;

    const task = await serving.claimed();
    await serving.post("/v1/claims", { queues: ["q"] });
    await serving.post(`/v1/tasks/${task.id}/complete`, { leaseToken: task.lease.token });
    await serving.post(`/v1/tasks/${task.id}/complete`, { leaseToken: "stale" });
    await serving.post("/v1/claims", { queues: [] });
    await serving.get("/nowhere");
    expect(lines.slice(before)).toEqual([]);
  });

  it("has a line for what operators do", async () => {
    const { lines, logger } = recording("info");
    await using serving = await Serving.start({ logger });

    await serving.ask("PATCH", "/v1/queues/q", {}, { "x-request-id": "r-1" });
    expect(lines.at(-1)).toEqual({
      level: "info",
      message: "Done",
      fields: { requestId: "r-1", method: "PATCH", url: "/v1/queues/q", status: 200 },
    });
  });

  it("has a line for each request at debug, with its id and code", async () => {
    const { lines, logger } = recording("debug");
    await using serving = await Serving.start({ logger });

    await serving.post("/v1/claims", { queues: ["q"] }, { "x-request-id": "r-1" });
    await serving.post("/v1/claims", {}, { "x-request-id": "r-2" });
    expect(
      lines.slice(-2).map(({ level, fields }) => [level, fields.requestId, fields.status, fields.code]),
    ).toEqual([
      ["debug", "r-1", 204, undefined],
      ["debug", "r-2", 400, "invalid_request"],
    ]);
  });

  it("has an error for what the engine could not do", async () => {
    const { lines, logger } = recording("info");
    const serving = await Serving.start({ logger });
    await serving.storage.close();

    await serving.post("/v1/tasks", { queue: "q" }, { "x-request-id": "r-1" });
    expect(lines.at(-1)).toMatchObject({
      level: "error",
      fields: { requestId: "r-1", status: 503, code: "storage_unavailable", err: expect.any(Error) },
    });
    await serving.server.close();
  });

  it("says where the server listens, and that it drains", async () => {
    const { lines, logger } = recording("debug");
    const serving = await Serving.start({ logger });
    await serving[Symbol.asyncDispose]();

    expect(lines[0]?.fields).toEqual({ url: serving.url });
    expect(lines.map(({ message }) => message)).toContain("Draining");
  });
});

describe("a path or method without a route", () => {
  it.each(["/", "/v1", "/v1/", "/v1/nowhere", "//v1/tasks", "/v1/queues/q/nothing", "/V1/tasks"])(
    "GET %s is not_found",
    async (path) => {
      await using serving = await Serving.start();
      const { status, json } = await serving.get(path);

      expect([status, json.error.code]).toEqual([404, "not_found"]);
    },
  );

  it("says which methods the path takes", async () => {
    await using serving = await Serving.start();
    const { status, json, headers } = await serving.ask("PUT", "/v1/queues/q/tasks?state=ready");

    expect([status, json.error.code, json.error.details]).toEqual([
      404,
      "not_found",
      { allow: ["GET", "HEAD", "DELETE", "OPTIONS"] },
    ]);
    expect(headers.get("allow")).toBe("GET, HEAD, DELETE, OPTIONS");
  });

  it("answers OPTIONS with the methods, and HEAD with the headers of GET", async () => {
    await using serving = await Serving.start();
    const options = await serving.ask("OPTIONS", "/v1/tasks");
    expect([options.status, options.headers.get("allow"), options.text]).toEqual([204, "POST, OPTIONS", ""]);

    const [head, get] = await Promise.all([serving.ask("HEAD", "/v1/queues"), serving.get("/v1/queues")]);
    expect([head.status, head.text, head.headers.get("content-length")]).toEqual([
      200,
      "",
      get.headers.get("content-length"),
    ]);
    expect((await serving.ask("HEAD", "/v1/queues/nobody-made-it")).status).toBe(404);
    expect((await serving.ask("OPTIONS", "/nowhere")).status).toBe(404);
  });

  it.each(["PROPFIND", "TRACE", "MKCOL"])("refuses %s", async (method) => {
    await using serving = await Serving.start();
    const connection = await serving.connect();
    connection.write(RawConnection.request(method, "/v1/tasks"));

    expect(await connection.answers(1)).toEqual([404]);
  });

  it("refuses a path that is not percent-encoded", async () => {
    await using serving = await Serving.start();
    const { status, json } = await serving.get("/v1/tasks/%zz");

    expect([status, json.error.code]).toEqual([400, "invalid_request"]);
  });

  it("knows an id of any length, and ids with anything in them", async () => {
    await using serving = await Serving.start();

    for (const id of [
      "x".repeat(8_000),
      "%2Fetc%2Fpasswd",
      "%00",
      "%F0%9F%98%80",
      "..%2f",
      "q~AAAAAAAAAAAAAAA%3F",
    ]) {
      expect((await serving.get(`/v1/tasks/${id}`)).json.error.code, id).toBe("task_not_found");
    }
  });
});

describe("requests on one connection", () => {
  it("are answered in their order, and many of them", async () => {
    await using serving = await Serving.start();
    const connection = await serving.connect();
    const requests = Array.from({ length: 200 }, (_, n) =>
      RawConnection.request("POST", "/v1/tasks", `{"queue":"q","payload":${n}}`),
    );
    connection.write(requests.join(""));

    expect(await connection.answers(200)).toEqual(Array(200).fill(201));
    await connection.until(() => connection.received.includes('"payload":199'));
    const payloads = [...connection.received.matchAll(/"payload":(\d+)/g)].map(([, n]) => Number(n));
    expect(payloads).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  it("may wait for 100 Continue", async () => {
    await using serving = await Serving.start();
    const connection = await serving.connect();
    const request = RawConnection.request("POST", "/v1/tasks", '{"queue":"q"}', { expect: "100-continue" });
    const bodyAt = request.indexOf("{");
    connection.write(request.slice(0, bodyAt));
    await connection.until(() => connection.received.includes("100 Continue"));
    connection.write(request.slice(bodyAt));

    await connection.until(() => connection.received.includes("201 Created"));
  });

  it("may come over HTTP/1.0", async () => {
    await using serving = await Serving.start();
    const connection = await serving.connect();
    connection.write("GET /v1/queues HTTP/1.0\r\n\r\n");

    await connection.closed();
    expect(await connection.answers(1)).toEqual([200]);
  });
});

describe("requests that do not come from the network", () => {
  it("are served the same", async () => {
    await using serving = await Serving.start();
    const enqueued = await serving.server.inject({
      method: "POST",
      url: "/v1/tasks",
      payload: { queue: "q" },
    });
    const claimed = await serving.server.inject({
      method: "POST",
      url: "/v1/claims",
      payload: { queues: ["q"], waitMs: 10 },
    });

    expect([enqueued.statusCode, claimed.json().tasks[0].id]).toEqual([201, enqueued.json().id]);
  });
});
