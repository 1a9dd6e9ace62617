import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../../src/connect.ts";
import { type Command, dibs, jsonLines, ServerProcess } from "../command.ts";
import { startRedis } from "./servers/redis-server.ts";
import { freshPrefix } from "./servers/redis-url.ts";
import { until } from "./servers/until.ts";

let url: string;
const running: Command[] = [];

beforeAll(async () => {
  url = (await startRedis({ appendonly: "everysec" })).url;
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((command) => command.stop()));
});

interface Ready {
  readonly url: string;
  readonly pid: number;
  readonly processes: readonly number[];
}

/** A server of several processes on a fresh store. */
async function serve(
  processes: number,
  ...flags: string[]
): Promise<{ server: ServerProcess; ready: Ready }> {
  const args = ["--processes", String(processes), "--prefix", freshPrefix(), ...flags];
  const server = await ServerProcess.start(url, args);
  running.push(server);
  const [ready] = jsonLines(server.stdout) as [Ready];
  return { server, ready };
}

/** One request on a connection of its own, so that the processes take turns. */
async function ask(path: string, body?: object): Promise<Response> {
  const how = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  return fetch(path, { ...how, headers: { connection: "close" } });
}

async function metric(server: ServerProcess, line: string): Promise<number> {
  const text = await (await ask(`${server.url}/metrics`)).text();
  return Number(
    text
      .split("\n")
      .find((each) => each.startsWith(`${line} `))
      ?.slice(line.length + 1) ?? 0,
  );
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // There is no such process.
  }
}

interface View {
  readonly waiting: number;
  readonly latency: { readonly claim: { readonly p99: number } };
}

const viewOf = async ({ url: at }: ServerProcess): Promise<View> =>
  (await (await ask(`${at}/v1/queues/q`)).json()) as View;

/** A request whose body never comes holds up a drain. */
async function stuckRequest(port: number): Promise<Socket> {
  const socket = createConnection(port, "127.0.0.1");
  socket.on("error", () => {}); // The end of its process.
  socket.write("POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n");
  await once(socket, "data");
  return socket;
}

const ENQUEUED = 'dibs_tasks_enqueued_total{queue="q"}';

describe("dibs serve --processes", () => {
  it("shares one port, and shows in /metrics and in the views of queues the sum over all, and each depth once", async () => {
    const { server, ready } = await serve(3);
    expect(new Set([...ready.processes, ready.pid, server.pid]).size).toBe(4);
    for (let at = 0; at < 9; at += 1) {
      expect((await ask(`${server.url}/v1/tasks`, { queue: "q" })).status).toBe(201);
    }
    for (let at = 0; at < 6; at += 1) await ask(`${server.url}/v1/claims`, { queues: ["q"] });

    // Whichever process answers, again and again.
    for (let at = 0; at < 4; at += 1) {
      expect(await metric(server, ENQUEUED)).toBe(9);
      expect(await metric(server, 'dibs_tasks_claimed_total{queue="q"}')).toBe(6);
      expect(await metric(server, 'dibs_claim_duration_seconds_count{outcome="hit"}')).toBe(6);
      expect(await metric(server, 'dibs_queue_depth{queue="q",state="ready"}')).toBe(3);
      expect(await metric(server, 'dibs_storage_connections{state="ready"}')).toBe(3);
    }
    const views = await Promise.all(Array.from({ length: 6 }, () => viewOf(server)));
    const latencies = new Set(views.map(({ latency }) => JSON.stringify(latency)));
    expect(latencies.size).toBe(1);
    expect(views[0]?.latency.claim.p99).toBeGreaterThan(0);
  });

  it("counts the claims that wait at all of them, and wakes them across", async () => {
    const { server } = await serve(2);
    await ask(`${server.url}/v1/tasks`, { queue: "q" });
    await ask(`${server.url}/v1/claims`, { queues: ["q"] });
    const waits = Array.from({ length: 4 }, () =>
      ask(`${server.url}/v1/claims`, { queues: ["q"], waitMs: 30_000 }),
    );
    const waiting = async () => (await viewOf(server)).waiting;
    await until("all claims wait", async () => (await waiting()) === 4);
    expect(await metric(server, "dibs_waiting_claims")).toBe(4);

    for (let at = 0; at < 4; at += 1) await ask(`${server.url}/v1/tasks`, { queue: "q" });

    for (const answer of await Promise.all(waits)) expect(answer.status).toBe(200);
    expect(await waiting()).toBe(0);
  });

  it("goes on when one of them is killed, starts another in its place, and no counter falls", async () => {
    const { server, ready } = await serve(3, "--log-level", "info");
    for (let at = 0; at < 12; at += 1) await ask(`${server.url}/v1/tasks`, { queue: "q" });
    expect(await metric(server, ENQUEUED)).toBe(12);
    const [victim = 0] = ready.processes;

    process.kill(victim, "SIGKILL");
    await until("it has ended", () => !isThere(victim));
    await using client = await connect(server.url);
    for (let at = 0; at < 12; at += 1) await client.enqueue("q", at);

    const [, started] = await server.says(
      /Process (\d+) serves"[\s\S]*ended \(SIGKILL\)[\s\S]*Process (\d+) serves/,
    );
    expect(ready.processes).toContain(Number(started));
    expect(await metric(server, ENQUEUED)).toBe(24);
    const starts = [...server.stderr.matchAll(/"msg":"Process (\d+) serves"/g)].map(([, pid]) => Number(pid));
    expect(starts).toHaveLength(4);
    const newcomer = starts.find((pid) => !ready.processes.includes(pid)) as number;
    expect(isThere(newcomer)).toBe(true);
    expect(await metric(server, 'dibs_storage_connections{state="ready"}')).toBe(3);
  });

  it("starts one again and again while Redis is away, until it serves", async () => {
    const fragile = await startRedis({ appendonly: "always" });
    const { server, ready } = await serve(2, "--store", fragile.url, "--log-level", "error");
    const [victim = 0, survivor = 0] = ready.processes;
    await fragile.kill();
    process.kill(victim, "SIGKILL");
    await server.says(/Cannot use Redis at [\s\S]*ended \(exit code 1\); another takes its place in 200 ms/);
    expect((await ask(`${server.url}/readyz`)).status).toBe(503);

    await fragile.start();

    await until(
      "two serve",
      async () => (await metric(server, 'dibs_storage_connections{state="ready"}')) === 2,
    );
    expect(isThere(survivor)).toBe(true);
    expect((await ask(`${server.url}/v1/tasks`, { queue: "q" })).status).toBe(201);
  });

  it.each([
    ["SIGTERM", 0],
    ["SIGINT", 130],
  ] as const)("drains all of them at %s and exits with %i", async (signal, code) => {
    const { server, ready } = await serve(2);
    const wait = ask(`${server.url}/v1/claims`, { queues: ["q"], waitMs: 30_000 });
    await until("the claim waits", async () => (await metric(server, "dibs_waiting_claims")) === 1);

    server.send(signal);

    expect((await wait).status).toBe(204);
    expect(await server.ended()).toMatchObject({ code, signal: null });
    expect(ready.processes.filter(isThere)).toEqual([]);
  });

  it("ends at once with the second signal", async () => {
    const { server, ready } = await serve(2, "--log-level", "info");
    const { port } = new URL(server.url);
    const socket = await stuckRequest(Number(port));

    server.send("SIGTERM");
    await server.says(/"msg":"Draining"/);
    server.send("SIGINT");

    expect(await server.ended()).toMatchObject({ code: 130 });
    await until("they have ended", () => ready.processes.every((pid) => !isThere(pid)));
    socket.destroy();
  });

  it("leaves none behind when it is killed itself", async () => {
    const { server, ready } = await serve(2);
    await server.kill();
    await until("they have ended", () => ready.processes.every((pid) => !isThere(pid)));
  });

  it("says once what keeps all of them from serving", async () => {
    const { server } = await serve(2);
    const { port } = new URL(server.url);
    const taken = await dibs(["serve", "--store", url, "--processes", "2", "--port", port]);
    expect(taken).toMatchObject({ code: 1, stdout: "" });
    expect(taken.stderr).toMatch(/^dibs: Port \d+ on 127\.0\.0\.1 is in use\..*\n$/);

    const away = await dibs(["serve", "--store", "redis://127.0.0.1:9", "--processes", "2", "--port", "0"]);
    expect(away).toMatchObject({ code: 1, stdout: "" });
    expect(away.stderr).toMatch(/^dibs: .*127\.0\.0\.1:9.*\(storage_unavailable\)\n$/);
  });
});
