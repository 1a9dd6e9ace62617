import * as diagnostics from "node:diagnostics_channel";
import { once } from "node:events";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { ConnectionLostError, InternalError, StorageUnavailableError } from "../task/errors.ts";
import { HttpTransport, type HttpTransportOptions } from "./http-transport.ts";

describe("the HTTP transport", () => {
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const it of open.splice(0)) it.close();
  });

  async function to(
    serve: (request: http.IncomingMessage, response: http.ServerResponse, count: number) => void,
    options?: HttpTransportOptions,
    path = "",
  ): Promise<{ transport: HttpTransport; seen: http.IncomingMessage[]; sockets: Set<unknown> }> {
    const seen: http.IncomingMessage[] = [];
    const sockets = new Set<unknown>();
    const server = http.createServer((request, response) => {
      seen.push(request);
      sockets.add(request.socket);
      serve(request, response, seen.length);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const transport = new HttpTransport(new URL(`http://127.0.0.1:${port}${path}`), options);
    open.push(transport, { close: () => void server.close().closeAllConnections() });
    return { transport, seen, sockets };
  }

  const get = { method: "GET", path: "/v1/queues", repeatable: true } as const;
  const post = { method: "POST", path: "/v1/claims", body: "{}" } as const;

  it("sends JSON with the token, below the path of its base, over one connection", async () => {
    const { transport, seen, sockets } = await to(
      (_, response) => response.end('{"ok":1}'),
      { token: "t" },
      "/base/",
    );

    const { body } = await transport.send(post);
    await transport.send({ method: "POST", path: "/v1/tasks/x/cancel" });

    expect(body).toEqual({ ok: 1 });
    expect(seen[0]).toMatchObject({ method: "POST", url: "/base/v1/claims" });
    expect(seen[0]?.headers).toMatchObject({ authorization: "Bearer t", "content-type": "application/json" });
    expect(seen[1]?.headers).toMatchObject({ "content-length": "0" });
    expect(seen[1]?.headers["content-type"]).toBeUndefined();
    expect(sockets.size).toBe(1);
  });

  it("gives no body for 204", async () => {
    const { transport } = await to((_, response) => response.writeHead(204).end());

    expect(await transport.send(post)).toEqual({ status: 204, body: undefined });
  });

  it("rebuilds the server's error, with the request's id", async () => {
    const { transport } = await to((_, response) => {
      response.writeHead(503, { "x-request-id": "r-1", "retry-after": "2" });
      response.end(
        '{"error":{"code":"storage_unavailable","message":"disk full","details":{"free":0}},"requestId":"r-1"}',
      );
    });

    const error: unknown = await transport.send(post).catch((thrown) => thrown);

    expect(error).toBeInstanceOf(StorageUnavailableError);
    expect(error).toMatchObject({
      message: "disk full",
      requestId: "r-1",
      retryable: true,
      details: { free: 0, retryAfter: "2" },
    });
  });

  it.each([
    [502, "<html>Bad gateway</html>", "connection_lost", /Unexpected answer 502: <html>Bad gateway/],
    [404, "Not found", "not_found", /Unexpected answer 404/],
    [413, "", "payload_too_large", /Unexpected answer 413/],
    [500, '{"what":1}', "internal_error", /Unexpected answer 500: {"what":1}/],
    [200, "<html>", "internal_error", /Unexpected answer 200: <html>/],
    [400, '"text"', "internal_error", /Unexpected answer 400/],
  ])("makes sense of %d %s, which is not a server of Dibs", async (status, text, code, message) => {
    const { transport } = await to((_, response) => response.writeHead(status).end(text));

    const error: unknown = await transport.send(post).catch((thrown) => thrown);

    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("sends a repeatable call again when the connection breaks, and another one never", async () => {
    const cutTwice = (request: http.IncomingMessage, response: http.ServerResponse, count: number) => {
      if (count < 3) request.socket.destroy();
      else response.end("{}");
    };
    const repeatable = await to(cutTwice);
    const other = await to(cutTwice);

    expect((await repeatable.transport.send(get)).status).toBe(200);
    expect(repeatable.seen).toHaveLength(3);
    await expect(other.transport.send(post)).rejects.toBeInstanceOf(ConnectionLostError);
    expect(other.seen).toHaveLength(1);
  });

  it("gives up after three tries, naming the place and the reason", async () => {
    const { transport, seen } = await to((request) => request.socket.destroy());

    await expect(transport.send(get)).rejects.toThrow(
      /^No connection to http:\/\/127\.0\.0\.1:\d+: socket hang up/,
    );
    expect(seen).toHaveLength(3);
  });

  it("does not wait longer than the call's own wait and the time for an answer", async () => {
    const { transport } = await to(() => {}, { answerMs: 30 });

    await expect(transport.send({ ...post, waitMs: 20 })).rejects.toThrow(/no answer within 50 ms/);
  });

  it("tells an answer that is cut from one that is whole", async () => {
    const { transport } = await to((_, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write('{"tasks":[');
      setImmediate(() => response.destroy());
    });

    await expect(transport.send(post)).rejects.toThrow(/broke in the middle of the answer/);
  });

  it("ends a call whose signal aborts, before and while it waits", async () => {
    const stop = new AbortController();
    const { transport, seen } = await to(() => stop.abort(new Error("enough")));

    await expect(transport.send({ ...post, signal: stop.signal })).rejects.toThrow("enough");
    await expect(transport.send({ ...post, signal: stop.signal })).rejects.toThrow("enough");
    expect(seen).toHaveLength(1);
  });

  it("reads an answer that has begun to its end, also when its signal aborts meanwhile", async () => {
    const stop = new AbortController();
    let end = () => {};
    const { transport } = await to((_, response) => {
      response.writeHead(200, { "content-length": 12 });
      response.write('{"tasks"');
      end = () => response.end(":[]}");
    });
    // Node tells here when the head of an answer has come, just before the transport hears of it.
    const begun = () => {
      setImmediate(() => {
        stop.abort(new Error("enough"));
        end();
      });
    };
    diagnostics.subscribe("http.client.response.finish", begun);
    open.push({ close: () => diagnostics.unsubscribe("http.client.response.finish", begun) });

    expect((await transport.send({ ...post, signal: stop.signal })).body).toEqual({ tasks: [] });
    expect(stop.signal.aborted).toBe(true);
  });

  it("keeps large and split answers whole", async () => {
    const large = JSON.stringify({ text: "☃".repeat(400_000) });
    const { transport } = await to((_, response) => response.end(large));

    expect((await transport.send(post)).body).toEqual(JSON.parse(large));
  });

  it("fails with an internal error for a status without a meaning", async () => {
    const { transport } = await to((_, response) => response.writeHead(418).end("teapot"));

    await expect(transport.send(post)).rejects.toBeInstanceOf(InternalError);
  });
});
