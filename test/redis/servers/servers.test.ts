import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { Redis } from "ioredis";
import { afterAll, describe, expect, it } from "vitest";
import { root } from "../../source-tree.ts";
import { startCluster } from "./redis-cluster.ts";
import { startSentinel } from "./redis-sentinel.ts";
import { startRedis } from "./redis-server.ts";
import { freshPrefix, redisUrl } from "./redis-url.ts";
import { until } from "./until.ts";

const clients: Redis[] = [];
afterAll(() => {
  for (const client of clients) client.disconnect();
});

function connect(port: number, options = {}): Redis {
  const client = new Redis({ port, ...options });
  client.on("error", () => {}); // Its server is killed under it.
  clients.push(client);
  return client;
}

const isAlive = (pid: number) =>
  execFileSync("ps", ["-A", "-o", "pid="]).toString().split(/\s+/).includes(`${pid}`);

describe("a standalone Redis", () => {
  it("keeps with appendfsync always what it acknowledged before it was killed", async () => {
    const server = await startRedis({ appendonly: "always" });
    await connect(server.port).set("kept", "yes");
    const { pid, port } = server;

    await server.kill();
    expect(isAlive(pid)).toBe(false);
    await server.restart();

    expect(server).toMatchObject({ port, isRunning: true });
    expect(await connect(port).get("kept")).toBe("yes");
    await server.stop();
  });

  it("forgets all without persistence, and takes arguments such as a memory limit", async () => {
    const server = await startRedis({ args: ["--maxmemory", "20mb"] });
    const client = connect(server.port);
    await client.set("kept", "no");
    expect(await client.config("GET", "maxmemory")).toEqual(["maxmemory", "20971520"]);

    await server.restart();

    expect(await connect(server.port).get("kept")).toBeNull();
    await server.stop();
  });

  it("answers nothing while it is stopped by a signal, and can be ended then", async () => {
    const server = await startRedis();
    const client = connect(server.port);
    await client.ping();

    server.signal("SIGSTOP");
    const answer = client.ping().catch(() => "cut off");
    await server.stop();

    expect(await answer).toBe("cut off");
    expect(isAlive(server.pid)).toBe(false);
  });

  it("says in its own words why it does not start", async () => {
    await expect(startRedis({ args: ["--maxmemory", "plenty"] })).rejects.toThrow(/maxmemory/);
  });

  it("is the same for all tests of a file that ask for no other, each with a prefix of its own", async () => {
    expect(await redisUrl()).toBe(await redisUrl());
    expect(freshPrefix()).not.toBe(freshPrefix());
  });

  it("ends with the process that started it, even when that is killed, and leaves no folder behind", async () => {
    const module = new URL("redis-server.ts", import.meta.url).pathname;
    const program = `import { startRedis } from ${JSON.stringify(module)};
      const server = await startRedis();
      console.log(JSON.stringify({ pid: server.pid, folder: server.folder }));
      setInterval(() => {}, 1_000);`;
    const starter = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: root });
    const [line] = await once(starter.stdout, "data");
    const { pid, folder } = JSON.parse(String(line));
    expect(isAlive(pid) && existsSync(folder)).toBe(true);

    starter.kill("SIGKILL");

    await until("the server and its folder have gone", () => !isAlive(pid) && !existsSync(folder));
  });
});

describe("a cluster", () => {
  it("spreads keys over three masters and fails over to a replica", async () => {
    const cluster = await startCluster({ replicas: 1, nodeTimeoutMs: 500 });
    const [first, second, third, replica] = cluster.nodes;
    expect(cluster.url).toBe(
      `redis+cluster://${[first, second, third].map((node) => `127.0.0.1:${node?.port}`)}`,
    );
    const keys = await connect(first?.port as number).call("CLUSTER", "SLOTS");
    expect(keys).toHaveLength(3);

    await first?.kill();

    const client = connect(replica?.port as number);
    await until("the replica is a master", async () => (await client.role())[0] === "master");
    await cluster.stop();
    expect(cluster.nodes.filter((node) => node.isRunning)).toEqual([]);
  });
});

describe("sentinels", () => {
  it("make the replica the master when the master is gone", async () => {
    const { url, master, replica, sentinels, stop } = await startSentinel();
    expect(url).toMatch(/^redis\+sentinel:\/\/127\.0\.0\.1:\d+,127\.0\.0\.1:\d+,127\.0\.0\.1:\d+\/mymaster$/);
    await connect(master.port).set("kept", "yes");

    await master.kill();

    const asked = connect(sentinels[0]?.port as number, { enableReadyCheck: false });
    const masterPort = async () =>
      (await asked.call("SENTINEL", "get-master-addr-by-name", "mymaster")) as string[];
    await until("the replica is the master", async () => (await masterPort())[1] === String(replica.port));
    await stop();
  });
});
