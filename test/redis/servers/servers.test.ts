import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { afterAll, describe, expect, it } from "vitest";
import { root } from "../../source-tree.ts";
import { startCluster } from "./redis-cluster.ts";
import { startSentinel } from "./redis-sentinel.ts";
import { startRedis } from "./redis-server.ts";
import { freshPrefix, redisUrl } from "./redis-url.ts";
import { until } from "./until.ts";

const tsc = join(root, "node_modules/typescript/bin/tsc");
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

/** Whether somebody listens there; a process number says less, it may be a zombie's. */
async function isOpen(port: number): Promise<boolean> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  const isConnected = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return isConnected;
}

describe("a standalone Redis", () => {
  it("keeps with appendfsync always what it acknowledged before it was killed", async () => {
    const server = await startRedis({ appendonly: "always" });
    await connect(server.port).set("kept", "yes");
    const { port } = server;

    await server.kill();
    expect([server.isRunning, await isOpen(port)]).toEqual([false, false]);
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
    const client = connect(server.port, { retryStrategy: null });
    await client.ping();

    server.signal("SIGSTOP");
    const answer = client.ping().catch(() => "cut off");
    await server.kill();
    expect(await answer).toBe("cut off");

    await server.restart();
    server.signal("SIGSTOP");
    await server.stop();
    expect([server.isRunning, await isOpen(server.port)]).toEqual([false, false]);
  });

  it("says in its own words why it does not start", async () => {
    await expect(startRedis({ args: ["--maxmemory", "plenty"] })).rejects.toThrow(/maxmemory/);
  });

  it("is the same for all tests of a file that ask for no other, each with a prefix of its own", async () => {
    expect(await redisUrl()).toBe(await redisUrl());
    expect(freshPrefix()).not.toBe(freshPrefix());
  });

  it("ends with the process that started it, even when that is killed, and leaves no folder behind", async () => {
    const built = await mkdtemp(join(tmpdir(), "dibs-guard-"));
    const module = new URL("redis-server.ts", import.meta.url).pathname;
    const options = ["--noEmit", "false", "--outDir", built, "--rootDir", dirname(module)];
    const common = ["--module", "nodenext", "--rewriteRelativeImportExtensions", "--types", "node"];
    await promisify(execFile)(process.execPath, [tsc, ...options, ...common, "--ignoreConfig", module]);
    await writeFile(join(built, "package.json"), '{ "type": "module" }');
    const program = `import { startRedis } from "./redis-server.js";
      const { port, folder } = await startRedis();
      console.log(JSON.stringify({ port, folder }));
      setInterval(() => {}, 1_000);`;
    const starter = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: built });
    const [line] = await once(starter.stdout, "data");
    const { port, folder } = JSON.parse(String(line));
    expect([await isOpen(port), existsSync(folder)]).toEqual([true, true]);

    starter.kill("SIGKILL");

    await until(
      "the server and its folder have gone",
      async () => !(await isOpen(port)) && !existsSync(folder),
    );
    await rm(built, { recursive: true });
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
