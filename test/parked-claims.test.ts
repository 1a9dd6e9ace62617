import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerProcess } from "./command.ts";
import { Http } from "./crash/http.ts";
import { eventually, type Json, RawConnection } from "./http/serving.ts";

/** Ten thousand claims that wait at once, each on a connection of its own; fewer where the system allows fewer. */
const FILES = Number(execFileSync("sh", ["-c", "ulimit -Hn"]).toString().replace("unlimited", "1000000"));
const CLAIMS = Math.min(10_000, FILES - 500);

let server: ServerProcess;
let http: Http;

beforeAll(async () => {
  server = await ServerProcess.start("memory:");
  http = new Http(server.url);
});

afterAll(async () => {
  http.close();
  await server.stop();
});

async function waiting(count: number): Promise<void> {
  await eventually(
    () => http.get("/v1/queues/q"),
    ({ body }) => (body as Json).waiting === count,
  );
}

async function parkedClaims(count: number): Promise<RawConnection[]> {
  const port = Number(new URL(server.url).port);
  const claim = RawConnection.request(
    "POST",
    "/v1/claims",
    '{"queues":["q"],"waitMs":60000,"leaseMs":600000}',
  );
  const connections: RawConnection[] = [];
  // As many at a time as the system's queue for new connections takes without a retry.
  for (let opened = 0; opened < count; opened += 200) {
    const some = Math.min(200, count - opened);
    const next = await Promise.all(Array.from({ length: some }, () => RawConnection.open(port)));
    for (const connection of next) connection.write(claim);
    connections.push(...next);
  }
  return connections;
}

describe(`${CLAIMS} parked claims`, () => {
  const half = Math.floor(CLAIMS / 2);
  const quarter = Math.floor(half / 2);
  let connections: RawConnection[];

  it("wait side by side, and hold up nobody else", async () => {
    await http.patch("/v1/queues/q", {});
    connections = await parkedClaims(CLAIMS);
    await waiting(CLAIMS);

    expect((await http.get("/healthz")).status).toBe(200);
    expect((await http.post("/v1/claims", { queues: ["other"] })).status).toBe(204);
  });

  it("are withdrawn when their clients vanish", async () => {
    for (const connection of connections.slice(half)) connection.vanish();

    await waiting(half);
  });

  it("are served one task each, first come first served", async () => {
    for (let sent = 0; sent < quarter; sent += 500) {
      const count = Math.min(500, quarter - sent);
      const tasks = Array.from({ length: count }, (_, index) => ({ queue: "q", payload: sent + index }));
      await http.post("/v1/tasks/batch", { tasks });
    }
    const served = connections.slice(0, quarter);
    await Promise.all(served.map((connection) => connection.until(() => connection.received.endsWith("]}"))));

    const payloads = served.map(({ received }) => Number(/"payload":(\d+)/.exec(received)?.[1]));
    expect(new Set(payloads).size).toBe(quarter);
    const { body } = await http.get("/v1/queues/q");
    expect(body).toMatchObject({ waiting: half - quarter, counts: { ready: 0, leased: quarter } });
  });

  it("are answered at once when the server drains", async () => {
    server.send("SIGTERM");
    await Promise.all(connections.slice(0, half).map((connection) => connection.closed()));

    const statuses = await Promise.all(connections.slice(0, half).map((connection) => connection.answers(1)));
    expect(statuses.slice(0, quarter).filter(([status]) => status !== 200)).toEqual([]);
    expect(statuses.slice(quarter).filter(([status]) => status !== 204)).toEqual([]);
    expect((await server.ended()).code).toBe(0);
  });
});
