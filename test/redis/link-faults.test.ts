import { setTimeout as wait } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RedisLink, type RedisOptions } from "../../src/storage/redis/link/link.ts";
import { aScript, NOTE } from "./a-script.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "./servers/redis-server.ts";
import { until } from "./servers/until.ts";
import { WireProxy } from "./wire-proxy.ts";

const SLOW = aScript(
  `local started = redis.call("TIME")
  local count = redis.call("RPUSH", KEYS[1], ARGV[1])
  repeat
    local now = redis.call("TIME")
    local passed_ms = (now[1] - started[1]) * 1000 + (now[2] - started[2]) / 1000
  until passed_ms > tonumber(ARGV[2])
  return count`,
  "slow",
);
const UNKNOWN = { code: "storage_unavailable", details: { applied: "unknown" } };
const NOT_APPLIED = { code: "storage_unavailable", details: { applied: "no" } };

let shared: RedisServer;
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  shared = await startRedis();
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(() => shared.stop());

async function open(options: Partial<RedisOptions> = {}): Promise<RedisLink> {
  const link = await RedisLink.open({ url: shared.url, ...options }, [NOTE, SLOW]);
  closers.push(() => link.close());
  return link;
}

async function ownServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options);
  closers.push(() => server.stop());
  return server;
}

async function proxied(server: RedisServer = shared): Promise<WireProxy> {
  const proxy = await WireProxy.open(server);
  closers.push(() => proxy.close());
  return proxy;
}

async function clientOf(server: RedisServer): Promise<Redis> {
  const client = new Redis({ host: server.host, port: server.port });
  closers.push(async () => client.disconnect());
  return client;
}

/** What was executed of NOTE and SLOW, as another client sees it. */
async function notes(server: RedisServer, key: string): Promise<string[]> {
  return (await clientOf(server)).lrange(key, 0, -1);
}

/** Resolves when the link works again. */
function works(link: RedisLink): Promise<void> {
  return until("the link works again", async () => {
    if (link.trouble() !== undefined) return false;
    return link.command("GET", "{works}").then(
      () => true,
      () => false,
    );
  });
}

describe("a socket that is cut", () => {
  it("before the call reached Redis: the call rejects, nothing ran, and the next one works", async () => {
    const proxy = await proxied();
    const link = await open({ url: proxy.url });
    proxy.fate = "cut-before";

    await expect(link.run(NOTE, ["{a}log"], ["lost"])).rejects.toMatchObject(UNKNOWN);
    proxy.fate = "pass";
    await works(link);
    await link.run(NOTE, ["{a}log"], ["next"]);

    expect(await notes(shared, "{a}log")).toEqual(["next"]);
  });

  it("when Redis answers: the call rejects, ran once, and is not sent again", async () => {
    const proxy = await proxied();
    const link = await open({ url: proxy.url });
    proxy.fate = "lose-answer";

    await expect(link.run(NOTE, ["{b}log"], ["ran"])).rejects.toMatchObject({
      ...UNKNOWN,
      message: /in the middle of note: it is not known whether it was applied/,
    });
    proxy.fate = "pass";
    await works(link);
    await link.run(NOTE, ["{b}log"], ["next"]);

    expect(await notes(shared, "{b}log")).toEqual(["ran", "next"]);
  });

  it("again and again under load: what was answered ran once, what was not ran at most once", async () => {
    const proxy = await proxied();
    const link = await open({ url: proxy.url, connections: 2 });
    const answered = new Set<string>();
    let cuts = 0;
    let sent = 0;
    const caller = async (name: number) => {
      for (let at = 0; cuts < 15; at += 1) {
        const mark = `${name}:${at}`;
        sent += 1;
        const call = link.run(NOTE, [`{c${name % 7}}log`], [mark]);
        const isAnswered = await call.then(
          () => true,
          () => false,
        );
        if (isAnswered) answered.add(mark);
        await wait(1);
      }
    };
    const callers = Array.from({ length: 30 }, (_, name) => caller(name));
    for (let seen = 0; cuts < 15; cuts += 1) {
      await until("calls are answered", () => answered.size > seen + 100 && link.trouble() === undefined);
      seen = answered.size;
      await wait(60); // Longer than the first wait before connecting again: a cut like any other, not a fault of the server.
      proxy.cutAll();
      await until("the cut is noticed", () => link.trouble() !== undefined);
    }
    await Promise.all(callers);

    const keys = Array.from({ length: 7 }, (_, at) => `{c${at}}log`);
    const ran = (await Promise.all(keys.map((key) => notes(shared, key)))).flat();
    const once = new Set(ran);
    expect(once.size).toBe(ran.length);
    expect([...answered].filter((mark) => !once.has(mark))).toEqual([]);
    expect(ran.length).toBeLessThanOrEqual(sent);
    expect(answered.size).toBeLessThan(sent);
  });
});

describe("one of two connections that is away", () => {
  it("costs no call: both lanes of a key go over the other until it is back", async () => {
    const link = await open();
    const admin = await clientOf(shared);
    await Promise.all([0, 1].map((lane) => link.run(NOTE, ["{o}log"], [`before ${lane}`], lane)));
    const ours = ((await admin.client("LIST")) as string)
      .split("\n")
      .filter((line) => / name=dibs .* cmd=evalsha/.test(line));
    expect(ours.length).toBe(2);

    await admin.client("KILL", "ID", Number(/id=(\d+)/.exec(ours[0] as string)?.[1]));
    await until("one is away", () => link.trouble() !== undefined);
    await Promise.all([0, 1].map((lane) => link.run(NOTE, ["{o}log"], [`during ${lane}`], lane)));
    await works(link);

    expect((await notes(shared, "{o}log")).sort()).toEqual(["before 0", "before 1", "during 0", "during 1"]);
  });
});

describe("a connection that is half open", () => {
  it("costs a call its deadline, and not those after it", async () => {
    const proxy = await proxied();
    const link = await open({ url: proxy.url, commandTimeoutMs: 300 });
    proxy.fate = "swallow";

    const calls = await Promise.allSettled(["one", "two"].map((mark) => link.run(NOTE, ["{d}log"], [mark])));
    proxy.fate = "pass";
    await works(link);
    await link.run(NOTE, ["{d}log"], ["next"]);

    for (const call of calls) expect(call).toMatchObject({ status: "rejected", reason: UNKNOWN });
    expect(await notes(shared, "{d}log")).toEqual(["next"]);
  });

  it("is found also when nothing is under way, the one that subscribes too", async () => {
    const proxy = await proxied();
    const link = await open({ url: proxy.url });
    let reconnects = 0;
    link.onReconnect(() => {
      reconnects += 1;
    });
    await link.subscribe("{e}channel", () => undefined);
    proxy.fate = "swallow";

    await until("both are found", () => link.trouble() !== undefined, 25_000);
    proxy.fate = "pass";
    await until("both are there again", () => reconnects === 1 && link.trouble() === undefined);

    expect(proxy.connections).toBeGreaterThanOrEqual(4);
  });
});

describe("a connection that takes no more", () => {
  it("holds a bounded number of bytes; further calls are refused at once, and all is well later", async () => {
    const proxy = await proxied();
    const link = await open({ url: proxy.url, commandTimeoutMs: 2_000 });
    proxy.fate = "stall";
    const million = "x".repeat(1_000_000);

    const ends = await Promise.allSettled(
      Array.from({ length: 200 }, async (_, at) => {
        await wait(at); // A socket is known to take no more once the tick has ended that wrote to it.
        return link.run(NOTE, ["{n}log"], [million]);
      }),
    );
    proxy.fate = "pass";
    await works(link);

    const reasons = ends.map((end) => (end.status === "rejected" ? end.reason.details.applied : "yes"));
    expect(new Set(reasons)).toEqual(new Set(["unknown", "no"]));
    expect(reasons.filter((reason) => reason === "unknown").length).toBeLessThan(100);
    await link.command("DEL", "{n}log");
  });
});

describe("a Redis that stands still", () => {
  it("costs the calls under way, which run at most once, and is used again when it goes on", async () => {
    const server = await ownServer();
    const link = await open({ url: server.url, commandTimeoutMs: 300 });
    const calls = ["one", "two", "three"];
    server.signal("SIGSTOP");

    const ends = await Promise.allSettled(calls.map((mark) => link.run(NOTE, ["{f}log"], [mark])));
    for (const end of ends) expect(end).toMatchObject({ status: "rejected", reason: UNKNOWN });
    await until("it is away", () => link.trouble() !== undefined);
    await expect(link.run(NOTE, ["{f}log"], ["refused"])).rejects.toMatchObject(NOT_APPLIED);
    server.signal("SIGCONT");
    await works(link);
    await link.run(NOTE, ["{f}log"], ["next"]);

    const ran = await notes(server, "{f}log");
    expect(ran.at(-1)).toBe("next");
    expect(new Set(ran).size).toBe(ran.length);
    expect(ran).not.toContain("refused");
  });

  it("for less than the deadline costs nothing", async () => {
    const server = await ownServer();
    const link = await open({ url: server.url });
    server.signal("SIGSTOP");
    const call = link.run(NOTE, ["{g}log"], ["late"]);
    setTimeout(() => server.signal("SIGCONT"), 400);

    expect(await call).toBe(1);
    expect(link.trouble()).toBeUndefined();
  });
});

describe("a Redis that is killed", () => {
  it("refuses calls at once, saying why, and works when it is back, its scripts forgotten", async () => {
    const server = await ownServer({ appendonly: "always" });
    const link = await open({ url: server.url });
    await link.run(NOTE, ["{h}log"], ["before"]);

    await server.kill();
    await until("it is noticed", () => link.trouble() !== undefined);
    expect(link.trouble()).toMatchObject({ reason: /127\.0\.0\.1:\d+.*trying again/, isFinal: false });
    await expect(link.run(NOTE, ["{h}log"], ["away"])).rejects.toMatchObject(NOT_APPLIED);
    await expect(link.subscribe("{h}", () => undefined)).rejects.toMatchObject(NOT_APPLIED);
    await server.restart();
    await works(link);
    await link.run(NOTE, ["{h}log"], ["after"]);

    expect(await notes(server, "{h}log")).toEqual(["before", "after"]);
  });

  it("keeps subscriptions: they hear again, and whoever asked is told that they may have missed", async () => {
    const server = await ownServer();
    const link = await open({ url: server.url });
    const heard: string[] = [];
    const times: number[] = [];
    await link.subscribe("{i}channel", (text) => heard.push(text));
    const stop = await link.subscribe("{i}other", (text) => heard.push(text));
    link.onReconnect(() => times.push(heard.length));
    await link.command("PUBLISH", "{i}channel", "before");
    await until("the first is heard", () => heard.length === 1);
    stop();

    await server.kill();
    await server.restart();
    await until("they are told", () => times.length === 1);
    await works(link);
    await link.command("PUBLISH", "{i}other", "nobody listens");
    await link.command("PUBLISH", "{i}channel", "after");
    await until("the second is heard", () => heard.length === 2);

    expect(heard).toEqual(["before", "after"]);
  });
});

describe("a Redis that refuses", () => {
  it("at maxmemory: says so, nothing is written, and reading goes on", async () => {
    const server = await ownServer();
    const link = await open({ url: server.url });
    const operator = await clientOf(server);
    await operator.set("filler", "x".repeat(2_000_000));
    await operator.config("SET", "maxmemory", "2mb");

    await expect(link.run(NOTE, ["{j}log"], ["x"])).rejects.toMatchObject({
      ...NOT_APPLIED,
      message: /Redis is at maxmemory/,
    });
    expect(await link.command("LLEN", "{j}log")).toBe(0);
    expect(link.trouble()).toBeUndefined();
  });

  it("while a script runs too long: says that it is busy, and works when the script is killed", async () => {
    const server = await ownServer({ args: ["--busy-reply-threshold", "100"] });
    const link = await open({ url: server.url });
    const [other, killer] = [await clientOf(server), await clientOf(server)];
    await killer.ping();
    const endless = other.eval("while true do end", 0).catch((error: Error) => error.message);

    await until("Redis says that it is busy", () =>
      link.run(NOTE, ["{k}log"], ["busy"]).then(
        () => false,
        (error: Error) => /Redis is busy with a script/.test(error.message),
      ),
    );
    await killer.call("SCRIPT", "KILL");
    expect(await endless).toMatch(/killed/);
    await works(link);
    await link.run(NOTE, ["{k}log"], ["next"]);

    expect((await notes(server, "{k}log")).at(-1)).toBe("next");
  });

  it("a slow script of our own does not cost the calls behind it", async () => {
    const link = await open({ commandTimeoutMs: 2_000 });

    const counts = await Promise.all([
      link.run(SLOW, ["{l}log"], ["slow", 500]),
      link.run(NOTE, ["{l}log"], ["behind"]),
    ]);

    expect(counts).toEqual([1, 2]);
  });
});

it("this process standing still for longer than the deadline costs no call that Redis answered", async () => {
  const link = await open({ commandTimeoutMs: 200 });
  const call = link.run(NOTE, ["{m}log"], ["answered"]);
  // Written by the end of this tick; the answer lies unread in the socket while this thread is held up.
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700));

  expect(await call).toBe(1);
  expect(link.trouble()).toBeUndefined();
});
