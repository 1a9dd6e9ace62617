import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Broker } from "../../src/broker/broker.ts";
import { Claim } from "../../src/broker/claim.ts";
import { Turn as BrokerTurn } from "../../src/broker/turn.ts";
import { Turn as HttpTurn } from "../../src/http/turn.ts";
import { PARTS, type Part } from "../../src/lab/profile/parts.ts";
import type { Splits } from "../../src/lab/profile/split.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";
import { type OpenedPath, type ProfiledWish, profiled } from "./profiled.ts";

/** So much is put into one part of a claim, far more than all of it takes else. */
const DELAY_MS = 25;
const delay = vi.hoisted(() => ({ validationMs: 0 }));

// What nobody can reach into: the schema check of a claim's body.
vi.mock("../../src/protocol/validate.ts", async (original) => {
  const real = await original<typeof import("../../src/protocol/validate.ts")>();
  return {
    ...real,
    check: (name: never, value: unknown, whole: string) => {
      if (name === "ClaimBody") busyFor(delay.validationMs);
      return real.check(name, value, whole);
    },
  };
});

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
afterEach(() => {
  vi.restoreAllMocks();
  delay.validationMs = 0;
});

function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

type Method = (...args: never[]) => unknown;

/** Makes a method of a class slow: before it does what it does, at once or after others had their turn. */
function slowed(owner: object, name: string, how: "busy" | "later"): void {
  const target = owner as Record<string, Method>;
  const real = target[name] as Method;
  vi.spyOn(target, name).mockImplementation(function (this: unknown, ...args: never[]) {
    if (how === "later") return setTimeout(() => real.apply(this, args), DELAY_MS);
    busyFor(DELAY_MS);
    return real.apply(this, args);
  });
}

function slowCaller(path: OpenedPath): void {
  const { connection } = path;
  path.connection = {
    claim: async (body, signal) => {
      await sleep(DELAY_MS);
      return connection.claim(body, signal);
    },
  };
}

function slowJson(isSlow: (text: string) => boolean): void {
  const { parse } = JSON;
  vi.spyOn(JSON, "parse").mockImplementation((text, reviver) => {
    if (isSlow(text)) busyFor(DELAY_MS);
    return parse(text, reviver);
  });
}

interface Case {
  readonly part: Part;
  readonly slow?: NonNullable<ProfiledWish["slow"]>;
  readonly lua?: string;
}

const IN_BROKER: readonly Case[] = [
  { part: "client", slow: slowCaller },
  {
    part: "validation",
    slow: () => {
      delay.validationMs = DELAY_MS;
    },
  },
  { part: "broker queueing", slow: () => slowed(Claim.prototype, "proceed", "later") },
  { part: "merge wait", slow: () => slowed(BrokerTurn.prototype, "soon", "later") },
];

const OVER_HTTP: readonly Case[] = [
  ...IN_BROKER,
  { part: "socket there", slow: ({ httpProxy }) => Object.assign(httpProxy ?? {}, { thereMs: DELAY_MS }) },
  { part: "socket back", slow: ({ httpProxy }) => Object.assign(httpProxy ?? {}, { backMs: DELAY_MS }) },
  {
    part: "HTTP answer",
    slow: ({ server }) => {
      // Where the answer is given to Node.
      server?.app.server.prependListener("request", (_, response) => {
        const { end } = response;
        response.end = ((...args: never[]) => {
          busyFor(DELAY_MS);
          return Reflect.apply(end, response, args);
        }) as typeof end;
      });
    },
  },
  {
    part: "HTTP parse",
    slow: ({ server }) => void server?.app.server.prependListener("request", () => busyFor(DELAY_MS)),
  },
  { part: "held for the turn", slow: () => slowed(HttpTurn.prototype, "atEnd", "later") },
  { part: "JSON", slow: () => slowJson((text) => text.includes('"queues"')) },
  { part: "storage call: this side", slow: () => slowed(RedisStorage.prototype, "claim", "busy") },
  { part: "storage call: script", lua: "for i = 1, 4000000 do end" },
  {
    part: "storage call: way and queue of Redis",
    slow: ({ redisProxy }) => Object.assign(redisProxy ?? {}, { thereMs: DELAY_MS }),
  },
];

const IN_MEMORY: readonly Case[] = [
  ...IN_BROKER,
  { part: "JSON", slow: () => slowJson((text) => text.startsWith('{"n":')) },
  { part: "storage call: this side", slow: () => slowed(EmbeddedStorage.prototype, "claim", "busy") },
];

const named = (cases: readonly Case[]) => cases.map((each) => [each.part, each] as const);

/** The part holds the delay, and no other one, nor the remainder, a good part of it. */
function expectFound({ atP50, slowest }: Splits, part: Part | "remainder", leastMs = DELAY_MS): void {
  const partsUs: Record<string, number> = { ...atP50.partsUs, remainder: atP50.remainderUs };
  const { [part]: found = 0, ...others } = partsUs;
  const tooMuch = Object.entries(others).filter(([, us]) => us > (1_000 * leastMs) / 3);
  expect(tooMuch).toEqual([]);
  expect(found).toBeGreaterThan(900 * leastMs);
  if (part !== "remainder") expect(Math.abs(slowest.remainderUs)).toBeLessThan(slowest.totalUs / 10);
}

describe("a profile over HTTP on Redis", () => {
  it.each(named(OVER_HTTP))("finds a delay in %s there, and nowhere else", async (part, { slow, lua }) => {
    const wish = { redisUrl: redis.url, isHttp: true, ...(slow && { slow }), ...(lua && { lua }) };
    // A loop in Lua takes as long as the machine likes.
    expectFound(await profiled(wish), part, lua === undefined ? DELAY_MS : 10);
  });

  it("finds collections apart from the part in which they happen", async () => {
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    const ballast = Array.from({ length: 300_000 }, (_, n) => ({ n }));
    let collectedMs = 0;
    let calls = 0;
    const { claim } = RedisStorage.prototype;
    const slow = () =>
      vi.spyOn(RedisStorage.prototype, "claim").mockImplementation(function (this: RedisStorage, ...args) {
        const startedAt = performance.now();
        gc();
        collectedMs += performance.now() - startedAt;
        calls += 1;
        return claim.apply(this, args);
      });

    const { all } = await profiled({ redisUrl: redis.url, isHttp: true, slow: () => void slow() });

    const meanUs = (1_000 * collectedMs) / calls;
    expect(ballast).toHaveLength(300_000);
    expect(all.partsUs.GC).toBeGreaterThan(0.8 * meanUs);
    expect(all.partsUs["storage call: this side"]).toBeLessThan(meanUs / 3);
  });

  it("shows what no part covers as the remainder", async () => {
    const splits = await profiled({
      redisUrl: redis.url,
      isHttp: true,
      slow: () => slowed(Broker.prototype, "claim", "busy"),
    });

    expectFound(splits, "remainder");
  });
});

describe("a profile in process", () => {
  it.each(named(IN_MEMORY))("finds a delay in %s there, and nowhere else", async (part, { slow }) => {
    expectFound(await profiled({ isHttp: false, ...(slow && { slow }) }), part);
  });
});

describe("a profile", () => {
  it.each([
    ["over HTTP on Redis", true, true],
    ["in process on Redis", true, false],
    ["over HTTP in memory", false, true],
    ["in process in memory", false, false],
  ])(
    "accounts for nine tenths of a claim of many callers, at the median and at its slowest, %s",
    async (_, isRedis, isHttp) => {
      const place = isRedis ? { redisUrl: redis.url } : {};
      const { atP50, slowest, all } = await profiled({ ...place, isHttp, callers: 20, claims: 2_000 });

      for (const split of [atP50, slowest, all]) {
        const sum = PARTS.reduce((total, part) => total + split.partsUs[part], split.remainderUs);
        expect(sum).toBeCloseTo(split.totalUs, 3);
        expect(Math.abs(split.remainderUs)).toBeLessThan(split.totalUs / 10);
      }
    },
  );
});
