import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Connection } from "../../src/storage/redis/link/connection.ts";
import { RedisLink, type RedisOptions } from "../../src/storage/redis/link/link.ts";
import type { Script } from "../../src/storage/redis/link/script.ts";
import { aScript, NOTE } from "./a-script.ts";
import { type RedisServer, startRedis } from "./servers/redis-server.ts";
import { until } from "./servers/until.ts";
import { WireProxy } from "./wire-proxy.ts";

const ECHO = aScript('return {KEYS[1], ARGV[1], 5, false, {"a", {}}, ARGV[2]}', "echo");
const ERROR = aScript('return redis.error_reply("ODD something")', "error");
const NUMBERED = aScript('return redis.call("INCR", KEYS[1])', "numbered");
const SCRIPTS = [ECHO, ERROR, NUMBERED, NOTE];

let server: RedisServer;
const links: RedisLink[] = [];
const proxies: WireProxy[] = [];

beforeAll(async () => {
  server = await startRedis();
});

afterEach(async () => {
  await Promise.all(links.splice(0).map((link) => link.close()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

afterAll(() => server.stop());

async function open(options: Partial<RedisOptions> = {}, scripts: readonly Script[] = SCRIPTS) {
  const link = await RedisLink.open({ url: server.url, ...options }, scripts);
  links.push(link);
  return link;
}

async function proxied(): Promise<WireProxy> {
  const proxy = await WireProxy.open(server);
  proxies.push(proxy);
  return proxy;
}

describe("a call", () => {
  it("is answered in texts, numbers, nulls and lists", async () => {
    const link = await open();

    const reply = await link.run(ECHO, ["{a}key"], ["é\r\n$5 ✓", 7]);

    expect(reply).toEqual(["{a}key", "é\r\n$5 ✓", 5, null, ["a", []], "7"]);
    expect(link.trouble()).toBeUndefined();
  });

  it("of a plain command gets what Redis says, a hash as a list of fields and values", async () => {
    const link = await open();

    expect(await link.command("HSET", "{b}hash", "one", 1, "two", "2")).toBe(2);
    expect(await link.command("HGETALL", "{b}hash")).toEqual(["one", "1", "two", "2"]);
    expect(await link.command("GET", "{b}none")).toBeNull();
  });

  it("may answer more than a megabyte, in thousands of texts, whole", async () => {
    const link = await open();
    const texts = Array.from({ length: 3_000 }, (_, at) => `${at} ${"ä".repeat(at % 700)}`);
    await link.command("RPUSH", "{c}list", ...texts);
    await link.command("SET", "{c}text", "€".repeat(1_000_000));

    const replies = await Promise.all([
      link.command("LRANGE", "{c}list", 0, -1),
      link.command("GET", "{c}text"),
      link.run(NUMBERED, ["{c}number"], []),
    ]);

    expect(replies).toEqual([texts, "€".repeat(1_000_000), 1]);
  });

  it("is answered in the order of the calls, whatever else is under way", async () => {
    const link = await open();

    const replies = await Promise.all(
      Array.from({ length: 5_000 }, () => link.run(NUMBERED, ["{d}number"], [])),
    );

    expect(replies).toEqual(Array.from({ length: 5_000 }, (_, at) => at + 1));
  });

  it("that Redis finds wrong rejects as a fault, not as something to try again", async () => {
    const link = await open();
    await link.command("SET", "{e}text", "x");

    await expect(link.command("LPUSH", "{e}text", 1)).rejects.toMatchObject({
      code: "internal_error",
      message: /Redis refused LPUSH: WRONGTYPE/,
    });
    await expect(link.run(ERROR, ["{e}"], [])).rejects.toMatchObject({ code: "internal_error" });
  });

  it("runs when Redis has forgotten the scripts, each call once", async () => {
    const link = await open();
    await link.run(NOTE, ["{f}log"], ["before"]);
    await link.command("SCRIPT", "FLUSH");

    const marks = Array.from({ length: 100 }, (_, at) => `after ${at}`);
    await Promise.all(marks.map((mark) => link.run(NOTE, ["{f}log"], [mark])));

    expect(await link.command("LRANGE", "{f}log", 0, -1)).toEqual(["before", ...marks]);
  });

  it("is refused at once when ten thousand are under way", async () => {
    const link = await open();
    const calls = Array.from({ length: 10_000 }, () => link.run(NUMBERED, ["{g}number"], []));

    await expect(link.run(NUMBERED, ["{g}number"], [])).rejects.toMatchObject({
      code: "storage_unavailable",
      details: { applied: "no" },
    });

    expect((await Promise.all(calls)).at(-1)).toBe(10_000);
    expect(await link.run(NUMBERED, ["{g}number"], [])).toBe(10_001);
  });
});

describe("opening", () => {
  it("leaves the first call one round trip, where a cold connection takes four and a connection", async () => {
    const proxy = await proxied();
    proxy.delayMs = 20;
    const link = await open({ url: proxy.url, connections: 2 });
    const counted = () => ({ connections: proxy.connections, turns: proxy.turns });
    const opened = counted();

    await Promise.all(["a", "b", "c", "d"].map((tag) => link.run(NOTE, [`{h${tag}}log`], ["warm"])));
    const warm = counted();
    expect(warm).toEqual({ connections: 3, turns: opened.turns + 2 }); // Two connections, a round trip each.

    await link.command("SCRIPT", "FLUSH");
    const before = counted();
    const cold = await Connection.open(proxy, { isTls: false, db: 0 });
    const said = cold.ask("EVALSHA", [NOTE.sha, 1, "{h}log", "cold"]);
    await expect(said).rejects.toMatchObject({ code: "NOSCRIPT" });
    await cold.ask("SCRIPT", ["LOAD", NOTE.source]);
    await cold.ask("EVALSHA", [NOTE.sha, 1, "{h}log", "cold"]);
    cold.end("done");
    expect(counted()).toEqual({ connections: before.connections + 1, turns: before.turns + 4 });
  });

  it("sends what is called in one tick as one packet", async () => {
    const proxy = await proxied();
    const link = await open({ url: proxy.url });
    const before = proxy.turns;

    await Promise.all(Array.from({ length: 50 }, () => link.run(NUMBERED, ["{i}number"], [])));

    expect(proxy.turns).toBe(before + 1);
  });

  it("spreads queues over the connections of the pool, and keeps the calls of each in order", async () => {
    const other = await startRedis();
    const link = await open({ url: other.url, connections: 4 });
    const queues = Array.from({ length: 40 }, (_, at) => `{j${at}}`);
    const rounds = Array.from({ length: 50 }, (_, at) => at + 1);

    const replies = await Promise.all(
      rounds.flatMap(() => queues.map((key) => link.run(NUMBERED, [key], []))),
    );

    expect(replies).toEqual(rounds.flatMap((round) => queues.map(() => round)));
    const clients = String(await link.command("CLIENT", "LIST")).split("\n");
    // One of the four is now saying CLIENT LIST.
    expect(clients.filter((client) => /cmd=(evalsha|client\|list)/.test(client))).toHaveLength(4);
    await other.stop();
  });

  it("uses the database of the URL", async () => {
    const link = await open({ url: `${server.url}/3` });
    await link.command("SET", "{k}", "in 3");

    expect(await (await open()).command("GET", "{k}")).toBeNull();
    expect(await (await open({ url: `${server.url}/3` })).command("GET", "{k}")).toBe("in 3");
  });
});

describe("a subscription", () => {
  it("hears what is published from when it resolves, until it is stopped", async () => {
    const link = await open();
    const heard: string[] = [];
    const stop = await link.subscribe("{l}channel", (text) => heard.push(text));
    await link.subscribe("{l}channel", (text) => heard.push(`too: ${text}`));
    await link.subscribe("{l}other", (text) => heard.push(`other: ${text}`));

    expect(await link.command("PUBLISH", "{l}channel", "one")).toBe(1);
    await until("both hear", () => heard.length === 2);
    stop();
    await link.command("PUBLISH", "{l}channel", "two");
    await link.command("PUBLISH", "{l}other", "three ✓");
    await until("the rest is heard", () => heard.length === 4);

    expect(heard).toEqual(["one", "too: one", "too: two", "other: three ✓"]);
  });

  it("is taken back at Redis when nobody listens any more", async () => {
    const link = await open();
    const stop = await link.subscribe("{m}channel", () => undefined);
    stop();

    await until("nobody is subscribed", async () => (await link.command("PUBLISH", "{m}channel", "x")) === 0);
  });
});

describe("closing", () => {
  it("lets calls under way finish, refuses what comes after, and may come twice", async () => {
    const link = await open();
    const calls = Array.from({ length: 100 }, () => link.run(NUMBERED, ["{n}number"], []));

    await Promise.all([link.close(), link.close()]);

    expect(await Promise.all(calls)).toHaveLength(100);
    await expect(link.run(NUMBERED, ["{n}number"], [])).rejects.toMatchObject({
      code: "storage_unavailable",
    });
    await expect(link.subscribe("{n}", () => undefined)).rejects.toMatchObject({
      code: "storage_unavailable",
    });
    expect(link.trouble()).toMatchObject({ isFinal: true });
  });
});
