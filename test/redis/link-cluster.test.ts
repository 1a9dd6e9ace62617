import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RedisLink, type RedisOptions } from "../../src/storage/redis/link/link.ts";
import { slotOf } from "../../src/storage/redis/link/slots.ts";
import { aScript, NOTE } from "./a-script.ts";
import { type RedisCluster, startCluster } from "./servers/redis-cluster.ts";
import type { RedisServer } from "./servers/redis-server.ts";
import { until } from "./servers/until.ts";

const PAIR = aScript('redis.call("INCR", KEYS[1]) return redis.call("INCR", KEYS[2])', "pair");
const SHOUT = aScript('return redis.call("PUBLISH", ARGV[1], ARGV[2])', "shout");

let cluster: RedisCluster;
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  cluster = await startCluster();
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(() => cluster.stop());

async function open(options: Partial<RedisOptions> = {}): Promise<RedisLink> {
  const link = await RedisLink.open({ url: cluster.url, ...options }, [NOTE, PAIR, SHOUT]);
  closers.push(() => link.close());
  return link;
}

function clientOf({ host, port }: RedisServer): Redis {
  const client = new Redis({ host, port });
  client.on("error", () => undefined); // Of a node that is killed.
  closers.push(async () => client.disconnect());
  return client;
}

/** A queue's tag whose slot is served by the node at `index` of the three. */
function tagOn(index: number, name: string): string {
  for (let at = 0; ; at += 1) {
    const tag = `{${name}${at}}`;
    if (Math.floor((slotOf(tag) * 3) / 16_384) === index) return tag;
  }
}

function places(nodes: readonly RedisServer[]): string {
  return `redis+cluster://${nodes.map(({ host, port }) => `${host}:${port}`).join(",")}`;
}

describe("a cluster", () => {
  it("is reached by way of any node: every queue where it belongs, scripts on all masters", async () => {
    const link = await open({ url: places(cluster.nodes.slice(2)), connections: 2 });

    const replies = await Promise.all(
      Array.from({ length: 300 }, (_, at) => link.run(PAIR, [`{a${at}}one`, `{a${at}}two`], [])),
    );

    expect(link.isCluster).toBe(true);
    expect(replies).toEqual(replies.map(() => 1));
    const sizes = await Promise.all(cluster.nodes.map((node) => clientOf(node).dbsize()));
    for (const size of sizes) expect(size).toBeGreaterThan(100);
    expect(link.trouble()).toBeUndefined();
  });

  it("is reached when some of the nodes of the URL are gone", async () => {
    const url = `redis+cluster://127.0.0.1:1,${cluster.nodes[1]?.host}:${cluster.nodes[1]?.port}`;

    const link = await open({ url });

    expect(await link.run(NOTE, ["{b}log"], ["x"])).toBe(1);
  });

  it("is told the scripts again where one node has forgotten them", async () => {
    const link = await open();
    const key = `${tagOn(1, "c")}log`;
    await clientOf(cluster.nodes[1] as RedisServer).script("FLUSH");

    const marks = ["one", "two", "three"];
    await Promise.all(marks.map((mark) => link.run(NOTE, [key], [mark])));

    expect(await link.command("LRANGE", key, 0, -1)).toEqual(marks);
  });

  it("carries what a script on one node publishes to subscribers on any", async () => {
    const link = await open();
    const heard: string[] = [];
    await link.subscribe("broker:1", (text) => heard.push(text));

    const tags = [0, 1, 2].map((index) => tagOn(index, "d"));
    await Promise.all(tags.map((tag) => link.run(SHOUT, [tag], ["broker:1", tag])));
    await until("all three are heard", () => heard.length === 3);

    expect(heard.sort()).toEqual(tags.sort());
  });
});

describe("a slot that moves", () => {
  it("is followed, its calls asked for at the new node in the middle and sent there after", async () => {
    const link = await open();
    const [from, to] = cluster.nodes as [RedisServer, RedisServer, RedisServer];
    const [source, target] = [clientOf(from), clientOf(to)];
    const tag = tagOn(0, "e");
    const slot = slotOf(tag);
    await link.run(NOTE, [`${tag}old`], ["before"]);
    const [sourceId, targetId] = [await source.call("CLUSTER", "MYID"), await target.call("CLUSTER", "MYID")];
    await target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", String(sourceId));
    await source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", String(targetId));

    // A key that the old node has not: it says to ask the new one.
    expect(await link.run(NOTE, [`${tag}new`], ["asked"])).toBe(1);
    expect(await target.call("CLUSTER", "COUNTKEYSINSLOT", slot)).toBe(1);
    // Of several keys one here and one there: neither node will do until all are at one.
    const split = link.run(PAIR, [`${tag}one`, `${tag}two`], []);
    const keys = (await source.call("CLUSTER", "GETKEYSINSLOT", slot, 100)) as string[];
    await source.call("MIGRATE", to.host, to.port, "", 0, 5_000, "KEYS", ...keys);
    for (const client of [target, source])
      await client.call("CLUSTER", "SETSLOT", slot, "NODE", String(targetId));
    expect(await split).toBe(1);

    expect(await link.run(NOTE, [`${tag}old`], ["after"])).toBe(2);
    expect(await link.command("LRANGE", `${tag}old`, 0, -1)).toEqual(["before", "after"]);
    await until("the slot's calls go straight to the new node", async () => {
      const before = await errors(source);
      await link.run(NOTE, [`${tag}old`], ["more"]);
      return (await errors(source)) === before;
    });
    expect(link.trouble()).toBeUndefined();
  });
});

/** How many redirections a node has answered. */
async function errors(client: Redis): Promise<string> {
  return /errorstat_MOVED:count=(\d+)/.exec(await client.info("errorstats"))?.[1] ?? "0";
}

describe("a master that dies", () => {
  it("is replaced by its replica; meanwhile its queues are refused and the others go on", async () => {
    const own = await startCluster({
      replicas: 1,
      nodeTimeoutMs: 500,
      args: ["--cluster-require-full-coverage", "no"],
    });
    closers.push(() => own.stop());
    const link = await open({ url: own.url });
    const heard: string[] = [];
    let reconnects = 0;
    link.onReconnect(() => {
      reconnects += 1;
    });
    await link.subscribe("broker:2", (text) => heard.push(text));
    const [dying, living] = [`${tagOn(0, "f")}log`, `${tagOn(1, "f")}log`];
    await link.run(NOTE, [dying], ["before"]);
    await clientOf(own.nodes[0] as RedisServer).call("WAIT", 1, 5_000);

    await own.nodes[0]?.kill();
    await until("it is noticed", () => link.trouble() !== undefined);
    // A call that took a connection whose end was not heard yet says "unknown": the next ones say "no".
    await until("its queue is refused before anything is sent", () =>
      link.run(NOTE, [dying], ["refused"]).then(
        () => false,
        (error) => error.code === "storage_unavailable" && error.details.applied === "no",
      ),
    );
    expect(await link.run(NOTE, [living], ["goes on"])).toBe(1);
    await until("the replica has taken over", () =>
      link.run(NOTE, [dying], ["after"]).then(
        () => true,
        () => false,
      ),
    );
    await until("all is well", () => link.trouble() === undefined);

    expect(await link.command("LRANGE", dying, 0, -1)).toEqual(["before", "after"]);
    await link.run(SHOUT, [living], ["broker:2", "heard"]);
    await until("the subscription hears, after a reconnect or without", () => heard.length === 1);
    expect(reconnects).toBeLessThanOrEqual(1);
  });

  it("costs all calls under way on it at their deadline when it stands still", async () => {
    const own = await startCluster({ replicas: 1, nodeTimeoutMs: 500 });
    closers.push(() => own.stop());
    const link = await open({ url: own.url, commandTimeoutMs: 300 });
    const key = `${tagOn(2, "g")}log`;

    own.nodes[2]?.signal("SIGSTOP");
    await expect(link.run(NOTE, [key], ["lost"])).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { applied: "unknown" },
    });
    await until("the replica has taken over", () =>
      link.run(NOTE, [key], ["after"]).then(
        () => true,
        () => false,
      ),
    );
    own.nodes[2]?.signal("SIGCONT");
    await until("all is well", () => link.trouble() === undefined);

    expect(await link.command("LRANGE", key, 0, -1)).toEqual(["after"]);
  });
});
