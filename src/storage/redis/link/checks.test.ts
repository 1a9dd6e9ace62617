import { describe, expect, it } from "vitest";
import { type ServerFacts, survivalOf, versionFault, warningsOf } from "./checks.ts";

const GOOD = {
  "maxmemory-policy": "noeviction",
  appendonly: "yes",
  appendfsync: "everysec",
  save: "",
  "busy-reply-threshold": "5000",
};

function facts(config: Record<string, string> | undefined, info: Record<string, string> = {}): ServerFacts {
  return {
    where: "h:1",
    info: { redis_version: "7.2.4", ...info },
    config: config && { ...GOOD, ...config },
  };
}

describe("the version", () => {
  it.each([
    ["6.2.14", undefined],
    ["5.0.3", undefined],
    ["", undefined],
    ["unstable", undefined],
  ])("%s is refused", (redis_version) => {
    expect(versionFault(facts({}, { redis_version }))).toMatch(
      /Dibs needs Redis 7\.0 or later, or Valkey: upgrade it/,
    );
  });

  it("is named in the refusal", () => {
    expect(versionFault(facts({}, { redis_version: "6.2.14" }))).toBe(
      "The Redis at h:1 is Redis 6.2.14; Dibs needs Redis 7.0 or later, or Valkey: upgrade it",
    );
  });

  it.each([
    { redis_version: "7.0.0" },
    { redis_version: "8.2.1" },
    { redis_version: "10.0.0" },
    { redis_version: "7.2.4", valkey_version: "7.2.5" },
    { redis_version: "7.2.4", valkey_version: "8.1.0" },
    { redis_version: "255.255.255" },
  ])("is taken: %o", (info) => {
    expect(versionFault(facts({}, info))).toBeUndefined();
  });
});

describe("the settings", () => {
  it("give no warning when nothing can be lost", () => {
    expect(warningsOf(facts({}))).toEqual([]);
    expect(warningsOf(facts({ appendfsync: "always", save: "3600 1" }))).toEqual([]);
  });

  it.each([
    [
      { "maxmemory-policy": "volatile-ttl" },
      /throws keys away .*maxmemory-policy volatile-ttl.*set it to noeviction/,
    ],
    [{ appendonly: "no" }, /keeps nothing on disk: a restart loses every task/],
    [{ appendonly: "no", save: "3600 1 300 100" }, /keeps only snapshots on disk \(save 3600 1 300 100\)/],
    [{ appendfsync: "no" }, /appendfsync no.*set it to everysec or always/],
    [{ "busy-reply-threshold": "60000" }, /calls a script stuck after 60000 ms/],
    [{ "busy-reply-threshold": "0" }, /calls a script stuck after 0 ms/],
  ])("give one warning each: %o", (config, warning) => {
    expect(warningsOf(facts(config))).toEqual([expect.stringMatching(warning)]);
  });

  it("are read from INFO as far as they stand there when CONFIG is forbidden, with a note", () => {
    const info = { maxmemory_policy: "allkeys-lfu", aof_enabled: "1" };

    expect(warningsOf(facts(undefined, info))).toEqual([
      expect.stringMatching(/maxmemory-policy allkeys-lfu/),
      expect.stringMatching(/does not let us read its settings \(CONFIG GET\)/),
    ]);
  });
});

describe("what survives", () => {
  it.each([
    [{ appendfsync: "always" }, "all survives a power cut"],
    [{ appendfsync: "everysec" }, "a power cut costs a second or two"],
    [{ appendfsync: "no" }, "a power cut costs up to half a minute"],
    [{ appendonly: "no" }, "nothing survives a restart of Redis"],
    [{ appendonly: "no", save: "3600 1" }, "Redis keeps only snapshots of them"],
  ])("follows from the settings: %o", (config, text) => {
    expect(survivalOf(facts(config))).toBe(text);
  });

  it("is told as far as it is known", () => {
    expect(survivalOf(facts(undefined, { aof_enabled: "1" }))).toBe(
      "Redis keeps an append-only file of them",
    );
    expect(survivalOf(facts(undefined))).toBe("how durable they are is Redis's to say");
  });
});
