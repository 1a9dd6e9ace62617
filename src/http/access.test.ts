import { describe, expect, it } from "vitest";
import { RawConnection, Serving, SILENT } from "../../test/http/serving.ts";
import { createServer } from "./server.ts";

describe("tokens", () => {
  const basic = (password: string): string => `Basic ${Buffer.from(`anyone:${password}`).toString("base64")}`;

  it("open every route, in any case of the scheme's name", async () => {
    await using serving = await Serving.start({ tokens: ["first", "second"] });

    for (const authorization of ["Bearer first", "bearer second", "BEARER  first", "bEaReR second "]) {
      expect((await serving.get("/v1/queues", { authorization })).status, authorization).toBe(200);
    }
  });

  it.each([
    ["nothing", undefined],
    ["another token", "Bearer third"],
    ["a part of a token", "Bearer firs"],
    ["more than a token", "Bearer first second"],
    ["a token without scheme", "first"],
    ["an empty token", "Bearer "],
    ["a password", basic("first")],
    ["both tokens in one", "Bearer first,second"],
  ])("are refused: %s", async (_, authorization) => {
    await using serving = await Serving.start({ tokens: ["first", "second"] });
    const { status, json, headers } = await serving.get(
      "/v1/queues",
      authorization === undefined ? {} : { authorization },
    );

    expect([status, json.error.code]).toEqual([401, "unauthorized"]);
    expect(headers.get("www-authenticate")).toBe('Bearer realm="dibs"');
    expect(JSON.stringify(json)).not.toContain("first");
  });

  it("are asked for by routes that do not exist, whatever the method", async () => {
    await using serving = await Serving.start({ tokens: ["t"] });

    for (const [method, path] of [
      ["GET", "/nowhere"],
      ["PUT", "/v1/tasks"],
      ["OPTIONS", "/v1/tasks"],
      ["GET", "/%"],
    ] as const) {
      expect((await serving.ask(method, path)).status, `${method} ${path}`).toBe(401);
    }
  });

  it("are not asked for by health checks", async () => {
    await using serving = await Serving.start({ tokens: ["t"] });

    expect((await serving.get("/healthz")).status).toBe(200);
    expect((await serving.get("/readyz")).status).toBe(200);
  });

  it("are refused before the body is read", async () => {
    await using serving = await Serving.start({ tokens: ["t"] });
    const connection = await serving.connect();
    connection.write(RawConnection.request("POST", "/v1/tasks", "", { "content-length": "16777216" }));

    expect(await connection.answers(1)).toEqual([401]);
    connection.vanish();
  });

  it("open the page as the password that a browser asks for, and nothing else so", async () => {
    await using serving = await Serving.start({ tokens: ["t:with:colons"] });
    const authorization = basic("t:with:colons");

    expect((await serving.get("/docs")).headers.get("www-authenticate")).toContain("Basic");
    expect((await serving.get("/docs", { authorization })).status).toBe(200);
    expect((await serving.get("/openapi.json", { authorization })).status).toBe(200);
    expect((await serving.get("/metrics", { authorization })).status).toBe(401);
    expect((await serving.get("/docs", { authorization: basic("other") })).status).toBe(401);
  });

  it.each([[""], ["with space"], ["ümlaut"]])(
    "that no header can carry are refused at the start: %j",
    async (token) => {
      await using serving = await Serving.start();

      await expect(createServer(serving.broker, { tokens: [token], logger: SILENT })).rejects.toThrow(
        /tokens/,
      );
    },
  );
});

describe("a server without tokens", () => {
  it.each(["0.0.0.0", "::", "192.0.2.1", "dibs.example"])("does not listen on %s", async (host) => {
    await using serving = await Serving.start();
    const server = await createServer(serving.broker, { logger: SILENT });

    await expect(server.listen({ host, port: 0 })).rejects.toThrow(/DIBS_TOKENS.*--insecure/);
    await server.app.close();
  });

  it("listens beyond loopback with tokens, or when told that this is meant", async () => {
    await using serving = await Serving.start();

    for (const options of [{ tokens: ["t"] }, { insecure: true }]) {
      const server = await createServer(serving.broker, { ...options, logger: SILENT });
      expect(await server.listen({ host: "0.0.0.0", port: 0 })).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
      await server.app.close();
    }
  });

  it.each(["127.0.0.1", "localhost"])("listens on %s", async (host) => {
    await using serving = await Serving.start();
    const server = await createServer(serving.broker, { logger: SILENT });

    expect(await server.listen({ host, port: 0 })).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await server.app.close();
  });

  it.each([
    ["an address", "127.0.0.1:4510"],
    ["an IPv6 address", "[::1]:4510"],
    ["localhost", "localhost:4510"],
    ["a name of this network", "build-box"],
    ["a container's name for its host", "host.docker.internal:4510"],
  ])("answers when it is called by %s", async (_, host) => {
    await using serving = await Serving.start();

    expect(await statusFor(serving, { host })).toEqual([200]);
    expect(await statusFor(serving, { host, origin: `http://${host}` })).toEqual([200]);
  });

  it.each<[string, Record<string, string>]>([
    ["under a name that somebody else owns", { host: "evil.example:4510" }],
    ["under such a name with the dot of the root", { host: "evil.example.:4510" }],
    ["by the page of another site", { host: "127.0.0.1:4510", origin: "https://evil.example" }],
    ["by the page of another port", { host: "127.0.0.1:4510", origin: "http://127.0.0.1:3000" }],
    ["by a page without a site", { host: "127.0.0.1:4510", origin: "null" }],
  ])("refuses when it is called %s", async (_, headers) => {
    await using serving = await Serving.start();

    expect(await statusFor(serving, headers)).toEqual([403]);
  });

  it("answers every site when told that this is meant", async () => {
    await using serving = await Serving.start({ insecure: true });

    expect(await statusFor(serving, { host: "dibs.example", origin: "https://app.example" })).toEqual([200]);
  });
});

async function statusFor(serving: Serving, headers: Record<string, string>): Promise<number[]> {
  const connection = await serving.connect();
  connection.write(RawConnection.request("GET", "/v1/queues", "", headers));
  return connection.answers(1);
}
