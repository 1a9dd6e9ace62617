import { describe, expect, it } from "vitest";
import { isRedisUrl, parseRedisUrl } from "./redis-url.ts";

function errorOf(url: string): string {
  try {
    parseRedisUrl(url);
  } catch (error) {
    expect(error).toMatchObject({ code: "invalid_request" });
    return (error as Error).message;
  }
  throw new Error("It was taken");
}

describe("the URL of a Redis", () => {
  it("names one server, with defaults for what it leaves out", () => {
    expect(parseRedisUrl("redis://localhost")).toEqual({
      kind: "standalone",
      addresses: [{ host: "localhost", port: 6379 }],
      isTls: false,
      db: 0,
      shown: "redis://localhost:6379",
    });
    expect(parseRedisUrl("rediss://10.0.0.1:7001/15")).toMatchObject({
      addresses: [{ host: "10.0.0.1", port: 7001 }],
      isTls: true,
      db: 15,
    });
    expect(parseRedisUrl("redis://[::1]:7001/")).toMatchObject({
      addresses: [{ host: "::1", port: 7001 }],
      shown: "redis://[::1]:7001",
    });
  });

  it("names nodes of a cluster, or sentinels and their master", () => {
    expect(parseRedisUrl("redis+cluster://a:7000,b,[fe80::1]:7002")).toMatchObject({
      kind: "cluster",
      addresses: [
        { host: "a", port: 7000 },
        { host: "b", port: 6379 },
        { host: "fe80::1", port: 7002 },
      ],
    });
    expect(parseRedisUrl("rediss+sentinel://u:p@a,b:5000/my%20master/2")).toMatchObject({
      kind: "sentinel",
      addresses: [
        { host: "a", port: 26379 },
        { host: "b", port: 5000 },
      ],
      masterName: "my master",
      isTls: true,
      db: 2,
    });
  });

  it("may say valkey", () => {
    expect(parseRedisUrl("valkey://h")).toMatchObject({ kind: "standalone", isTls: false });
    expect(parseRedisUrl("valkeys+cluster://h")).toMatchObject({ kind: "cluster", isTls: true });
    expect(parseRedisUrl("VALKEY+SENTINEL://h/m")).toMatchObject({ kind: "sentinel", isTls: false });
  });

  it("may write its kind with a hyphen", () => {
    expect(parseRedisUrl("redis-cluster://h:1,i:2")).toEqual(parseRedisUrl("redis+cluster://h:1,i:2"));
    expect(parseRedisUrl("rediss-sentinel://h/m")).toEqual(parseRedisUrl("rediss+sentinel://h/m"));
  });

  it("is known by its scheme", () => {
    const urls = ["redis://h", "REDISS://h", "valkey:x", "redis-cluster://h", "valkeys+sentinel://h"];
    expect(urls.filter((url) => !isRedisUrl(url))).toEqual([]);
    expect(["./redis", "redis", "http://redis:1", "redisx://h"].filter(isRedisUrl)).toEqual([]);
  });

  it("has user and password percent-decoded, and shows no password", () => {
    const place = parseRedisUrl("redis://w%40rker:p%2Fa%3As%3As%25@h:1");

    expect(place).toMatchObject({ username: "w@rker", password: "p/a:s:s%" });
    expect(place.shown).toBe("redis://w%40rker@h:1");
    expect(parseRedisUrl("redis://:only@h")).toMatchObject({ password: "only" });
    expect(parseRedisUrl("redis://:only@h")).not.toHaveProperty("username");
    expect(parseRedisUrl("redis://:a:b@c@h")).toMatchObject({ password: "a:b@c" });
  });

  it.each([
    ["localhost:6379", /^A Redis URL starts with redis:\/\/\. Expected one like redis:\/\/host:6379\/0/],
    ["http://h", /^http:\/\/ is no URL of Redis/],
    ["redis://", /names no host/],
    ["redis://h:0", /has no port from 1 to 65535 after h:/],
    ["redis://h:65536", /has no port from 1 to 65535/],
    ["redis://h:port", /has no port from 1 to 65535/],
    ["redis://a,b", /names several servers: say redis\+cluster:\/\/ or redis\+sentinel:\/\//],
    ["redis://h/name", /has "name" where a database number such as 0 belongs/],
    ["redis://h/0/1", /has "0\/1" where a database number/],
    ["redis://h?db=1", /has options after \? or #/],
    ["redis+cluster://a,,b", /names no host/],
    ["redis+cluster://a/1", /asks for database 1, and a cluster has only database 0/],
    ["redis+sentinel://a", /lacks the name of the master/],
    ["redis+sentinel://a/m/x", /has "x" where a database number/],
    ["redis://user@h", /has a user but no password/],
  ])("is refused with a reason: %s", (url, reason) => {
    expect(errorOf(url)).toMatch(reason);
  });

  it("is refused without a word of its password", () => {
    const wrong = [
      "redis://u:hun%ter2@h",
      "redis://u:hunter2",
      "redis://u:hun?ter2@h",
      "redis://u:hun/ter2@h",
      "http://u:hunter2@h",
    ];

    for (const url of wrong) expect(errorOf(url)).not.toMatch(/hun|ter2/);
    expect(errorOf("redis://u:100%@h")).toMatch(
      /has a "%" in the password that starts no escape: write it as %25/,
    );
  });
});
