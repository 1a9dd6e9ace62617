import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connect } from "../../src/connect.ts";
import type { Dibs } from "../../src/sdk/client.ts";
import { Command, dibs, jsonLines, ServerProcess } from "../command.ts";
import { startCluster } from "./servers/redis-cluster.ts";
import { startSentinel } from "./servers/redis-sentinel.ts";
import { type RedisServer, startRedis } from "./servers/redis-server.ts";
import { freshPrefix } from "./servers/redis-url.ts";
import { until } from "./servers/until.ts";

const TASKS = 300;
let redis: RedisServer;
let prefix: string;
const running: Command[] = [];
const clients: Dibs[] = [];

beforeAll(async () => {
  redis = await startRedis({ appendonly: "everysec" });
});
beforeEach(() => {
  prefix = freshPrefix();
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await Promise.all(running.splice(0).map((command) => command.stop()));
});

async function serve(url = redis.url, ...flags: string[]): Promise<ServerProcess> {
  const server = await ServerProcess.start(url, ["--prefix", prefix, ...flags]);
  running.push(server);
  return server;
}

async function client(url: string, options?: object): Promise<Dibs> {
  const opened = await connect(url, options);
  clients.push(opened);
  return opened;
}

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Command {
  const command = new Command(args, { env });
  running.push(command);
  return command;
}

describe("two servers and a program on one Redis", () => {
  it("share a queue: each task is worked on once, whoever enqueued it", async () => {
    const servers = [await serve(), await serve()];
    const places = [
      ...(await Promise.all(servers.map(({ url }) => client(url)))),
      await client(redis.url, { prefix }),
    ];
    const handled = new Map<string, number>();
    const byPlace = places.map(() => 0);
    places.forEach((place, at) => {
      place.work(
        "shared",
        async ({ task }) => {
          handled.set(task.id, (handled.get(task.id) ?? 0) + 1);
          byPlace[at] = (byPlace[at] as number) + 1;
          await new Promise((resolve) => setTimeout(resolve, 2)); // As work does: the others get their turn.
          return { at };
        },
        { concurrency: 5 },
      );
    });

    const tasks = await Promise.all(
      Array.from({ length: TASKS }, (_, at) =>
        (places[at % places.length] as Dibs).enqueue("shared", { at }),
      ),
    );

    for (const [at, task] of tasks.entries()) {
      // Waited for at another place than where it was enqueued.
      await (places[(at + 1) % places.length] as Dibs).waitForResult(task, { timeoutMs: 30_000 });
    }
    expect([...handled.values()].filter((times) => times !== 1)).toEqual([]);
    expect(handled.size).toBe(TASKS);
    expect(byPlace.every((count) => count > 0)).toBe(true);
    const [queue] = await (places[0] as Dibs).queues();
    expect(queue?.counts).toMatchObject({ ready: 0, leased: 0, completed: TASKS });
  });

  it("wake a worker that waits at another, and give its task away when its server is killed", async () => {
    const [one, other] = [await serve(), await serve()];
    const producer = await client(redis.url, { prefix });
    const waiting = (await client(other.url)).claim({ queues: ["q"], waitMs: 30_000, leaseMs: 1_000 });
    await until("it waits", async () => {
      const text = await (await fetch(`${other.url}/metrics`)).text();
      return text.includes("dibs_waiting_claims 1");
    });

    const { id } = await producer.enqueue("q", "x");
    expect(await waiting).toMatchObject([{ id, attempt: 1 }]);
    await other.kill();

    const again = await (await client(one.url)).claim({ queues: ["q"], waitMs: 30_000 });
    expect(again).toMatchObject([{ id, attempt: 2 }]);
  });
});

describe("dibs serve --store redis://", () => {
  it("says where the tasks are and what they survive, and no password", async () => {
    await using admin = await client(redis.url, { prefix });
    await admin.enqueue("q");
    const url = redis.url.replace("redis://", "redis://default:hunter2@");
    const server = start(["serve", "--port", "0", "--prefix", prefix, "--log-level", "info"], {
      DIBS_STORE: url,
    });

    const [line] = await server.says(/^dibs is ready.*$/m);

    expect(line).toMatch(
      new RegExp(
        `^dibs is ready at http://127\\.0\\.0\\.1:\\d+ {2}\\(store redis://default@127\\.0\\.0\\.1:${redis.port}, prefix ${prefix}, a power cut costs a second or two; no authentication, loopback only; Ctrl-C stops\\)$`,
      ),
    );
    server.send("SIGTERM");
    const { code, stdout, stderr } = await server.ended();
    expect(code).toBe(0);
    expect(stdout + stderr).not.toContain("hunter2");
  });

  it("warns of a Redis that keeps nothing, in its log and to who started it, and refuses it with --strict", async () => {
    const forgetful = await startRedis();
    const server = start(["serve", "--store", forgetful.url, "--port", "0"]);
    await server.says(/nothing survives a restart of Redis/);
    expect(server.stderr).toMatch(/^dibs: warning: The Redis at 127\.0\.0\.1:\d+ keeps nothing on disk/m);
    expect(server.stderr).toMatch(/^\{"level":40,.*keeps nothing on disk/m);

    const refused = await dibs(["serve", "--store", forgetful.url, "--port", "0", "--strict"]);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^dibs: .*set appendonly to yes \(storage_unavailable\)\n$/);
  });

  it("says in one line what is wrong with a Redis that cannot be used", async () => {
    const guarded = await startRedis({ args: ["--requirepass", "s3cret"] });
    const replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
    const cluster = await startCluster();
    const [node] = cluster.nodes;
    const wrong = guarded.url.replace("redis://", "redis://:hunter2@");
    const cases: readonly (readonly [url: string, code: number, says: RegExp])[] = [
      [guarded.url, 1, /password/i],
      [wrong, 1, /password/i],
      [replica.url, 1, /replica/],
      // The address is of another kind of Redis: a setting is wrong.
      [node?.url as string, 2, /redis\+cluster:\/\//],
      [redis.url.replace("redis://", "redis+cluster://"), 2, /redis:\/\//],
    ];
    for (const [url, exit, says] of cases) {
      const { code, stdout, stderr } = await dibs([
        "serve",
        "--store",
        url,
        "--port",
        "0",
        "--log-level",
        "silent",
      ]);
      expect({ url, code, stdout }).toEqual({ url, code: exit, stdout: "" });
      expect(stderr).toMatch(says);
      expect(stderr).toMatch(/^dibs: .*\n$/); // One line.
      expect(stderr).not.toContain("hunter2");
    }
    await cluster.stop();
  });

  it("is not ready while Redis is away, says why, and is again when it is back", async () => {
    const fragile = await startRedis({ appendonly: "always" });
    const server = await serve(fragile.url);
    const readiness = async () => (await fetch(`${server.url}/readyz`)).status;
    expect(await readiness()).toBe(200);

    await fragile.kill();
    await until("it is not ready", async () => (await readiness()) === 503);
    const { error } = (await (await fetch(`${server.url}/readyz`)).json()) as {
      error: { code: string; message: string };
    };
    expect(error.code).toBe("storage_unavailable");
    expect(error.message).toMatch(/Redis/);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    const refused = await fetch(`${server.url}/v1/tasks`, { method: "POST", body: '{"queue":"q"}' });
    expect(refused.status).toBe(503);

    await fragile.start();
    await until("it is ready", async () => (await readiness()) === 200);
    const taken = await fetch(`${server.url}/v1/tasks`, { method: "POST", body: '{"queue":"q"}' });
    expect(taken.status).toBe(201);
  });
});

describe("dibs serve on several Redis servers", () => {
  it("works on a cluster, with queues on every node, and over several of them in one call", async () => {
    const cluster = await startCluster({ appendonly: "everysec" });
    const server = await serve(cluster.url.replace("redis+cluster:", "redis-cluster:"), "--strict");
    const [ready] = jsonLines(server.stdout) as [{ store: string }];
    expect(ready.store).toBe(cluster.url);
    const dibs = await client(server.url);
    const queues = Array.from({ length: 12 }, (_, at) => `q-${at}`);
    for (const queue of queues) await dibs.enqueue(queue, queue);

    const claimed = await dibs.claim({ queues, max: 100 });
    expect(claimed.map(({ payload }) => payload)).toEqual(queues);
    const settled = await dibs.settle(
      claimed.map(({ id, lease }) => ({ id, leaseToken: lease.token, outcome: "complete" as const })),
    );
    expect(settled.results.filter((each) => "error" in each)).toEqual([]);
    await server.stop();
    await cluster.stop();
  });

  it("follows the master that sentinels name", async () => {
    const watched = await startSentinel({ appendonly: "everysec" });
    const server = await serve(watched.url);
    const dibs = await client(server.url);
    await dibs.enqueue("q", "before");
    await watched.master.kill();

    await until("there is a new master", async () => (await fetch(`${server.url}/readyz`)).status === 503);
    await until("it is ready", async () => (await fetch(`${server.url}/readyz`)).ok, 40_000);
    await dibs.enqueue("q", "after");
    // What the replica had not received when its master died is gone, and nothing else.
    const claimed = await dibs.claim({ queues: ["q"], max: 3 });
    expect([["after"], ["before", "after"]]).toContainEqual(claimed.map(({ payload }) => payload));
    await server.stop();
    await watched.stop();
  });
});

describe("the client commands", () => {
  it("work on a store in Redis without a server", async () => {
    const store = ["--store", redis.url, "--prefix", prefix, "--json"];
    const enqueued = await dibs(["enqueue", "q", '{"to":"ada"}', ...store]);
    expect(enqueued.code).toBe(0);
    const [{ id }] = jsonLines(enqueued.stdout) as [{ id: string }];

    const listed = await dibs(["queues", "list", ...store]);
    expect(jsonLines(listed.stdout)).toMatchObject([{ queues: [{ queue: "q", counts: { ready: 1 } }] }]);

    const worker = start(["work", "q", "--exec", "cat", ...store]);
    await worker.says(/"completed"/);
    worker.send("SIGTERM");
    expect((await worker.ended()).code).toBe(0);
    const result = await dibs(["tasks", "result", id, ...store]);
    expect(jsonLines(result.stdout)).toMatchObject([{ id, state: "completed", result: { to: "ada" } }]);
  });
});
