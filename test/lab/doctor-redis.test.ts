import { rm, writeFile } from "node:fs/promises";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { newTaskId, parseQueueName, type QueueName } from "../../src/task/ids.ts";
import { ownCertificate } from "../redis/own-certificate.ts";
import { freePort } from "../redis/servers/free-port.ts";
import { startCluster } from "../redis/servers/redis-cluster.ts";
import { startSentinel } from "../redis/servers/redis-sentinel.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "../redis/servers/redis-server.ts";
import { freshPrefix } from "../redis/servers/redis-url.ts";
import { until } from "../redis/servers/until.ts";
import { LookedAt } from "./doctor-look.ts";

const EMAILS = parseQueueName("emails") as QueueName;
const closers: (() => unknown)[] = [];
let shared: RedisServer;

beforeAll(async () => {
  shared = await startRedis({ appendonly: "everysec" });
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => shared.stop());

async function ownServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options);
  closers.push(() => server.stop());
  return server;
}

function clientOf({ host, port }: RedisServer): Redis {
  const client = new Redis({ host, port });
  closers.push(() => client.disconnect());
  return client;
}

/** A store with `ready` tasks in one queue. */
async function aStore(server: RedisServer, prefix: string, ready: number): Promise<RedisStorage> {
  const storage = await RedisStorage.open({ url: server.url, prefix });
  closers.push(() => storage.close());
  const tasks = Array.from({ length: ready }, () => ({ id: newTaskId(EMAILS), payload: "null" }));
  await storage.enqueue(EMAILS, tasks);
  return storage;
}

describe("a Redis that is set up as Dibs needs it", () => {
  it("is green in every line", async () => {
    const prefix = freshPrefix();
    await aStore(shared, prefix, 3);

    const look = await LookedAt.redis(shared.url, { prefix });

    expect(look.troubles).toEqual([]);
    expect(look.line("persistence").figure).toBe("a power cut costs a second or two");
    expect(look.line("counts").figure).toBe("3 tasks, as counted one by one");
    expect(look.line("script cache").figure).toMatch(/^(\d+) of the \1 scripts/);
    expect(look.line("watchdog").figure).toMatch(/^3 connections of Dibs/);
    expect(look.line("pool").figure).toMatch(/2 for commands to each master, 1 that hears/);
    expect(look.diagnosis.roundTrips).toMatchObject([{ where: `127.0.0.1:${shared.port}` }]);
  });

  it("holds after the look just what it held before", async () => {
    const server = await ownServer({ appendonly: "everysec" });
    await aStore(server, "dibs", 3);
    const client = clientOf(server);
    await client.set("somebody's", "else");
    const dumped = async () => {
      const keys = (await client.keys("*")).sort();
      const dumps = await Promise.all(keys.map((key) => client.dumpBuffer(key)));
      return keys.map((key, at) => `${key} ${dumps[at]?.toString("base64")}`);
    };
    const before = await dumped();

    const look = await LookedAt.redis(server.url);

    expect(look.checks).toContain("warm claim"); // It did claim somewhere.
    expect(await dumped()).toEqual(before);
  });

  it("is examined by a user who may touch no other keys", async () => {
    const rights = ["~mine:*", "&mine:*", "+@all", "-@dangerous", "+info", "+config|get"];
    const server = await ownServer({
      appendonly: "always",
      args: ["--user", "worker", "on", ">pw", ...rights],
    });

    const look = await LookedAt.redis(`redis://worker:pw@${server.host}:${server.port}`, { prefix: "mine" });

    expect(look.troubles).toEqual([]);
    expect(look.checks).toContain("warm claim");
    expect(JSON.stringify(look.diagnosis)).not.toContain("pw@");
  });

  it("makes no store where there is none", async () => {
    const server = await ownServer({ appendonly: "everysec" });

    const look = await LookedAt.redis(server.url);

    expect(look.line("store").figure).toBe("none with the prefix dibs yet");
    expect(await clientOf(server).keys("*")).toEqual([]);
  });
});

describe("a Redis that is badly set up", () => {
  const cases: readonly (readonly [
    what: string,
    options: RedisServerOptions,
    check: string,
    colour: string,
    figure: RegExp,
    advice: RegExp,
  ])[] = [
    [
      "throws tasks away when it is full",
      { appendonly: "everysec", args: ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"] },
      "eviction",
      "red",
      /^allkeys-lru, at 67\.1 MB$/,
      /set it to noeviction/,
    ],
    [
      "would throw tasks away if it had a maxmemory",
      { appendonly: "everysec", args: ["--maxmemory-policy", "allkeys-lru"] },
      "eviction",
      "yellow",
      /^allkeys-lru, no maxmemory$/,
      /set it to noeviction/,
    ],
    [
      "throws away keys that are to expire",
      { appendonly: "everysec", args: ["--maxmemory", "64mb", "--maxmemory-policy", "volatile-ttl"] },
      "eviction",
      "yellow",
      /^volatile-ttl/,
      /set it to noeviction/,
    ],
    [
      "keeps nothing on disk",
      {},
      "persistence",
      "red",
      /^nothing survives a restart of Redis$/,
      /a restart loses every task; set appendonly to yes/,
    ],
    [
      "keeps snapshots alone",
      { args: ["--save", "3600 1"] },
      "persistence",
      "yellow",
      /^Redis keeps only snapshots/,
      /loses the tasks of the last minutes; set appendonly to yes/,
    ],
    [
      "leaves its append-only file to the system",
      { args: ["--appendonly", "yes", "--appendfsync", "no"] },
      "persistence",
      "yellow",
      /^a power cut costs up to half a minute$/,
      /set it to everysec or always/,
    ],
    [
      "calls a script stuck too soon",
      { appendonly: "everysec", args: ["--busy-reply-threshold", "5"] },
      "stuck scripts",
      "yellow",
      /^called stuck after 5 ms$/,
      /set it from 100 to 10000/,
    ],
    [
      "is full",
      { appendonly: "everysec", args: ["--maxmemory", "500kb"] },
      "memory",
      "red",
      /\(maxmemory\)$/,
      /enqueues are refused: more memory/,
    ],
  ];

  it.each(cases)("that %s is told, with what to do", async (_, options, check, colour, figure, advice) => {
    const server = await ownServer(options);

    const line = (await LookedAt.redis(server.url)).line(check);

    expect(line).toMatchObject({ colour, figure: expect.stringMatching(figure) });
    expect(line.advice ?? "").toMatch(advice);
  });

  it("that is a replica is told, with its master, and nothing is tried in it", async () => {
    const master = await ownServer({ appendonly: "everysec" });
    const replica = await ownServer({
      appendonly: "everysec",
      args: ["--replicaof", master.host, String(master.port)],
    });

    const look = await LookedAt.redis(replica.url);

    expect(look.line("role")).toMatchObject({
      colour: "red",
      figure: "replica, standalone",
      advice: expect.stringMatching(
        new RegExp(`is a replica of 127.0.0.1:${master.port} .*connect to the master`),
      ),
    });
    expect(look.checks).not.toContain("warm claim");
    expect(look.diagnosis.roundTrips[0]?.samples).toBeGreaterThan(0);
  });

  it("that cannot save is told before its first refused write", async () => {
    const server = await ownServer({ args: ["--save", "3600 1"] });
    const client = clientOf(server);
    await client.set("a", "b");
    // The folder that it saves to is gone.
    await rm(server.folder, { recursive: true });
    await client.call("BGSAVE");
    await until("the save has failed", async () => /rdb_last_bgsave_status:err/.test(await client.info()));

    const look = await LookedAt.redis(server.url);

    expect(look.line("saving to disk")).toMatchObject({
      colour: "red",
      figure: "failed: rdb_last_bgsave_status",
    });
    expect(look.line("opening")).toMatchObject({ colour: "red", advice: expect.stringMatching(/MISCONF/) });
  });

  it("whose settings may not be read is no reason to think all is well", async () => {
    const rights = ["~*", "&*", "+@all", "-config"];
    const server = await ownServer({ args: ["--user", "worker", "on", ">pw", ...rights] });

    const look = await LookedAt.redis(`redis://worker:pw@${server.host}:${server.port}`);

    expect(look.line("settings").colour).toBe("yellow");
    expect(look.line("persistence")).toMatchObject({
      colour: "yellow",
      advice: expect.stringMatching(/CONFIG GET/),
    });
  });
});

describe("a Redis that is not there, or does not answer", () => {
  it("is one red line with the reason", async () => {
    const look = await LookedAt.redis(`redis://127.0.0.1:${await freePort()}`);

    expect(look.diagnosis.findings).toMatchObject([
      { check: "connecting", colour: "red", advice: expect.stringMatching(/nothing listens there/) },
    ]);
  });

  it("is told when it stands still in the middle", async () => {
    const server = await ownServer({ appendonly: "everysec" });
    let isStill = false;
    const onStep = (step: string) => {
      if (!step.startsWith("Measuring") || isStill) return;
      server.signal("SIGSTOP");
      isStill = true;
    };
    closers.push(() => server.signal("SIGCONT"));

    const look = await LookedAt.at({ kind: "redis", url: server.url }, { onStep });

    expect(isStill).toBe(true);
    expect(look.diagnosis.colour).toBe("red");
    expect(look.diagnosis.findings.at(-1)?.colour).toBe("red");
  });
});

describe("the store in a Redis", () => {
  it("that has taken more than it has is red, and says where", async () => {
    const prefix = freshPrefix();
    await aStore(shared, prefix, 3);
    await clientOf(shared).hincrby(`${prefix}:{emails}:meta`, "enqueued", 2);

    const line = (await LookedAt.redis(shared.url, { prefix })).line("counts");

    expect(line.colour).toBe("red");
    expect(line.figure).toBe("emails has taken 5, and states and removed sum to 3");
  });

  it("with a task that is nowhere is red", async () => {
    const prefix = freshPrefix();
    await aStore(shared, prefix, 3);
    await clientOf(shared).rpop(`${prefix}:{emails}:ready:0`);

    const line = (await LookedAt.redis(shared.url, { prefix })).line("counts");

    expect(line.colour).toBe("red");
    expect(line.figure).toMatch(/emails has 2 in its states, and 3 records$/);
  });

  it("is counted right while ready tasks were cancelled, and in every state", async () => {
    const prefix = freshPrefix();
    const storage = await aStore(shared, prefix, 6);
    const { tasks } = await storage.list(EMAILS, { state: "ready", limit: 6 });
    await storage.cancel(
      EMAILS,
      [tasks[2], tasks[3]].flatMap((task) => task?.id ?? []),
    );
    const { grants } = await storage.claim(EMAILS, [{ max: 3 }]);
    const [first, second] = (grants[0] ?? []).map(({ id, lease }) => ({ id, token: lease.token }));
    await storage.settle(EMAILS, [
      { outcome: "complete", ...(first as NonNullable<typeof first>) },
      { outcome: "refuse", ...(second as NonNullable<typeof second>) },
    ]);
    await storage.enqueue(EMAILS, [{ id: newTaskId(EMAILS), payload: "null", delayMs: 60_000 }]);

    const look = await LookedAt.redis(shared.url, { prefix });

    expect(look.line("counts").figure).toBe("7 tasks, as counted one by one");
    expect(look.line("leases").figure).toBe("1 held, 0 about to end");
    expect(look.line("dead letters")).toMatchObject({ colour: "yellow", figure: "1, most in emails" });
  });

  it("with leases about to end says so", async () => {
    const prefix = freshPrefix();
    const storage = await aStore(shared, prefix, 1);
    await storage.claim(EMAILS, [{ max: 1, leaseMs: 60_000 }]);
    const [member] = (await clientOf(shared).zrange(`${prefix}:{emails}:leases`, "0", "0")) as [string];
    // As if 55 of its 60 seconds had gone without a heartbeat.
    await clientOf(shared).call("ZINCRBY", `${prefix}:{emails}:leases`, -55_000, member);

    const line = (await LookedAt.redis(shared.url, { prefix })).line("leases");

    expect(line).toMatchObject({ colour: "yellow", figure: "1 held, 1 about to end (emails)" });
  });

  it("in the middle of a move is red", async () => {
    const prefix = freshPrefix();
    const storage = await aStore(shared, prefix, 1);
    await storage.writeMoveMark({ phase: "arriving", from: "./data" });

    const line = (await LookedAt.redis(shared.url, { prefix })).line("move");

    expect(line).toMatchObject({
      colour: "red",
      advice: expect.stringMatching(/run the same dibs move again/),
    });
  });

  it("of a later version is red, and is not touched", async () => {
    const prefix = freshPrefix();
    await clientOf(shared).set(`${prefix}:format`, "99");

    const look = await LookedAt.redis(shared.url, { prefix });

    expect(look.line("store")).toMatchObject({ colour: "red", figure: `format 99, prefix ${prefix}` });
    expect(look.checks).not.toContain("counts");
  });

  it("whose scripts were flushed says so", async () => {
    const server = await ownServer({ appendonly: "everysec" });
    await aStore(server, "dibs", 1);
    await clientOf(server).call("SCRIPT", "FLUSH");

    expect((await LookedAt.redis(server.url)).line("script cache")).toMatchObject({ colour: "yellow" });
  });
});

describe("TLS to a Redis", () => {
  it("shows how long the certificate still holds", async () => {
    const { key, cert } = ownCertificate();
    const { folder } = shared;
    await writeFile(`${folder}/own.key`, key);
    await writeFile(`${folder}/own.crt`, cert);
    const port = await freePort();
    const tls = ["--tls-port", String(port), "--tls-cert-file", `${folder}/own.crt`];
    await ownServer({
      appendonly: "everysec",
      args: [...tls, "--tls-key-file", `${folder}/own.key`, "--tls-auth-clients", "no"],
    });

    const url = `rediss://localhost:${port}`;
    const look = await LookedAt.at({ kind: "redis", url, tls: { ca: cert } });
    const distrusting = await LookedAt.redis(url);

    expect(look.line("TLS").figure).toMatch(/^TLSv1\.3, certificate until 2049-12-31 \(\d+ days\)$/);
    expect(look.troubles).toEqual([]);
    expect(distrusting.line("connecting").advice).toMatch(/certificate is self-signed/);
  });
});

describe("several servers", () => {
  it("of a cluster are looked at one by one, with their replicas", async () => {
    const cluster = await startCluster({ masters: 2, replicas: 1, appendonly: "everysec" });
    closers.push(() => cluster.stop());
    const storage = await RedisStorage.open({ url: cluster.url });
    closers.push(() => storage.close());
    for (const name of ["a", "b", "c", "d"].map((each) => parseQueueName(each) as QueueName))
      await storage.enqueue(name, [{ id: newTaskId(name), payload: "null" }]);

    const look = await LookedAt.redis(cluster.url);

    expect(look.troubles).toEqual([]);
    expect(look.line("cluster").figure).toBe("2 masters, 16,384 of 16,384 slots served");
    expect(look.lines("replica lag")).toHaveLength(2);
    expect(look.lines("clock of the replica")).toHaveLength(2);
    expect(look.line("queues").figure).toBe("4");
    expect(look.line("counts").figure).toBe("4 tasks, as counted one by one");
    expect(look.diagnosis.roundTrips).toHaveLength(2);
  });

  it("behind sentinels are found by them, and each sentinel is asked", async () => {
    const sentinel = await startSentinel({ appendonly: "everysec" });
    closers.push(() => sentinel.stop());

    const whole = await LookedAt.redis(sentinel.url);
    await sentinel.sentinels[0]?.kill();
    const without = await LookedAt.redis(sentinel.url);

    const { port } = sentinel.master;
    expect(whole.troubles).toEqual([]);
    expect(whole.line("sentinels").figure).toBe(`3 of 3 name the master 127.0.0.1:${port}`);
    expect(whole.line("replica lag").colour).toBe("green");
    expect(without.line("sentinels")).toMatchObject({
      colour: "yellow",
      figure: `2 of 3 name the master 127.0.0.1:${port}`,
    });
  });

  it("of which the replica stands still are red in its line", async () => {
    const master = await ownServer({ appendonly: "everysec", args: ["--repl-backlog-size", "16384"] });
    const replica = await ownServer({ args: ["--replicaof", master.host, String(master.port)] });
    const client = clientOf(master);
    await until("the replica follows", async () => /state=online/.test(await client.info("replication")));
    replica.signal("SIGSTOP");
    closers.push(() => replica.signal("SIGCONT"));
    await client.set("big", "x".repeat(1_000_000));

    const line = (await LookedAt.redis(master.url)).line("replica lag");

    expect(line).toMatchObject({ colour: "red", advice: expect.stringMatching(/A failover now would lose/) });
  });
});
