import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { RawHttpConnection, rawPost } from "./raw-http.ts";

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const resource of opened.splice(0)) resource.close();
});

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A real server on a free port and one connection to it. */
async function open(answer: Answer): Promise<{ url: string; connection: RawHttpConnection }> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = await request.toArray();
    answer(request, response, Buffer.concat(chunks).toString());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connection = await RawHttpConnection.open(url);
  opened.push(connection, server);
  return { url, connection };
}

function reply(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { "content-length": Buffer.byteLength(body) }).end(body);
}

describe("raw HTTP connection", () => {
  it("posts many requests over one connection and reads each answer", async () => {
    const ports = new Set<number | undefined>();
    const { url, connection } = await open((request, response, body) => {
      ports.add(request.socket.remotePort);
      reply(response, 201, `${request.url} ${body}`);
    });

    const answers: unknown[] = [];
    for (const n of [1, 2, 3]) answers.push(await connection.ask(rawPost(url, "/v1/tasks", `{"n":"ü${n}"}`)));

    expect(answers).toEqual([1, 2, 3].map((n) => ({ status: 201, body: `/v1/tasks {"n":"ü${n}"}` })));
    expect(ports.size).toBe(1);
  });

  it("reads an answer without a body and one that comes in many pieces", async () => {
    const large = "é".repeat(400_000);
    const { url, connection } = await open((request, response) => {
      if (request.url === "/empty") response.writeHead(204).end();
      else reply(response, 200, large);
    });

    expect(await connection.ask(rawPost(url, "/empty", "{}"))).toEqual({ status: 204, body: "" });
    expect(await connection.ask(rawPost(url, "/large", "{}"))).toEqual({ status: 200, body: large });
  });

  it("fails the request when the server hangs up, and every one after it", async () => {
    const { url, connection } = await open((request) => request.socket.destroy());

    await expect(connection.ask(rawPost(url, "/", "{}"))).rejects.toThrow();
    await expect(connection.ask(rawPost(url, "/", "{}"))).rejects.toThrow();
  });

  it("refuses an answer whose end it cannot know", async () => {
    const { url, connection } = await open((_, response) => {
      response.write("one");
      response.end("two");
    });

    await expect(connection.ask(rawPost(url, "/", "{}"))).rejects.toThrow("content length");
  });

  it("asks one thing at a time", async () => {
    const { url, connection } = await open((_, response) => reply(response, 200, "ok"));
    const first = connection.ask(rawPost(url, "/", "{}"));

    await expect(connection.ask(rawPost(url, "/", "{}"))).rejects.toThrow("still on its way");
    await expect(first).resolves.toEqual({ status: 200, body: "ok" });
  });
});
