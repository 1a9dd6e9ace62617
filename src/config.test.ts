import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flagOf, readConfig, SETTING_NAMES, variableOf } from "./config.ts";
import { ConfigError } from "./config-values.ts";

const EXAMPLE = new URL("../docs/dibs.config.example.jsonc", import.meta.url).pathname;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dibs-config-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(text: string): string {
  const path = join(folder, `${Math.random()}.json`);
  writeFileSync(path, text);
  return path;
}

function refusal(sources: Parameters<typeof readConfig>[0]): ConfigError {
  try {
    readConfig(sources);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("Nothing was refused");
}

describe("readConfig", () => {
  it("gives the documented defaults when nothing is set, frozen", () => {
    const { config, warnings } = readConfig({ env: {} });

    expect(config).toEqual({
      store: { kind: "folder", folder: "./data" },
      durability: "process",
      prefix: "dibs",
      redisConnections: 2,
      redisTlsCa: undefined,
      redisTlsCert: undefined,
      redisTlsKey: undefined,
      strict: false,
      cache: "auto",
      cacheTtlMs: 1_000,
      processes: 1,
      host: "127.0.0.1",
      port: 4510,
      tokens: [],
      insecure: false,
      logLevel: "info",
      payloadBytesMax: 1_048_576,
      tasksMax: 10_000_000,
      memoryBytesMax: "auto",
      url: "http://127.0.0.1:4510",
      token: undefined,
    });
    expect(warnings).toEqual([]);
    expect(Object.isFrozen(config) && Object.isFrozen(config.store) && Object.isFrozen(config.tokens)).toBe(
      true,
    );
  });

  it("reads the commented example file, which states every setting at its default", () => {
    const { config } = readConfig({ env: { DIBS_CONFIG: EXAMPLE } });

    expect(config).toEqual(readConfig({ env: {} }).config);
    const text = readFileSync(EXAMPLE, "utf8");
    for (const name of SETTING_NAMES) expect(text).toContain(`"${name}":`);
  });

  it("lets a flag beat the environment, the environment the file, and the file the default", () => {
    const path = file('{ "port": 1, "host": "file", "logLevel": "warn" }');
    const env = { DIBS_CONFIG: path, DIBS_PORT: "2", DIBS_HOST: "env" };

    const { config } = readConfig({ env, flags: { port: "3" } });

    expect([config.port, config.host, config.logLevel, config.payloadBytesMax]).toEqual([
      3,
      "env",
      "warn",
      1_048_576,
    ]);
  });

  it("prefers the config file of the flag to that of the environment", () => {
    const flags = { config: file('{ "port": 7 }') };
    expect(readConfig({ env: { DIBS_CONFIG: file('{ "port": 8 }') }, flags }).config.port).toBe(7);
  });

  it("reads every setting from all three places", () => {
    const values = {
      store: ["redis://db/1", { kind: "redis", url: "redis://db/1" }],
      durability: ["power", "power"],
      prefix: ["mail", "mail"],
      redisConnections: ["4", 4],
      redisTlsCa: ["ca.pem", "ca.pem"],
      redisTlsCert: ["cert.pem", "cert.pem"],
      redisTlsKey: ["key.pem", "key.pem"],
      strict: ["true", true],
      cache: ["off", "off"],
      cacheTtlMs: ["250", 250],
      processes: ["3", 3],
      host: ["0.0.0.0", "0.0.0.0"],
      port: ["0", 0],
      tokens: ["one, two", ["one", "two"]],
      insecure: ["true", true],
      logLevel: ["silent", "silent"],
      payloadBytesMax: ["1024", 1024],
      tasksMax: ["5", 5],
      memoryBytesMax: ["1048576", 1_048_576],
      url: ["https://dibs.example", "https://dibs.example"],
      token: ["secret", "secret"],
    } as const;
    expect(Object.keys(values)).toEqual(SETTING_NAMES);

    for (const [name, [text, expected]] of Object.entries(values)) {
      const inFile = name === "tokens" ? ["one", "two"] : text;
      // Each beside a store that has it.
      const store = name === "durability" ? "./data" : "redis://db";
      const beside = name === "store" ? {} : { DIBS_STORE: store };
      const path = file(JSON.stringify({ store, [name]: inFile }));
      const read = [
        readConfig({ env: beside, flags: { [name]: text } }),
        readConfig({ env: { ...beside, [variableOf(name)]: text } }),
        readConfig({ env: { DIBS_CONFIG: path } }),
      ];
      for (const { config } of read) expect(config[name as keyof typeof config]).toEqual(expected);
    }
  });

  it("spells a setting as a variable and as a flag", () => {
    expect([variableOf("payloadBytesMax"), flagOf("payloadBytesMax")]).toEqual([
      "DIBS_PAYLOAD_BYTES_MAX",
      "--payload-bytes-max",
    ]);
  });

  it("names the nearest known variable or key for an unknown one", () => {
    expect(refusal({ env: { DIBS_PROT: "1" } }).message).toBe(
      "Unknown variable: DIBS_PROT. Did you mean DIBS_PORT?",
    );
    const path = file('{ "durabilty": "power" }');
    expect(refusal({ env: { DIBS_CONFIG: path } }).message).toBe(
      `Unknown key in ${path}: durabilty. Did you mean durability?`,
    );
  });

  it.each([
    ["DIBS_PORT", "65536", 'Expected DIBS_PORT to be a whole number from 0 to 65535, got "65536"'],
    ["DIBS_PORT", "", 'Expected DIBS_PORT to be a whole number from 0 to 65535, got ""'],
    ["DIBS_PORT", "1e3", 'Expected DIBS_PORT to be a whole number from 0 to 65535, got "1e3"'],
    ["DIBS_DURABILITY", "disk", 'Expected DIBS_DURABILITY to be one of process, power, none, got "disk"'],
    ["DIBS_INSECURE", "yes", 'Expected DIBS_INSECURE to be true or false, got "yes"'],
    ["DIBS_HOST", "a b", 'Expected DIBS_HOST to be an IP address or a host name, got "a b"'],
    ["DIBS_URL", "127.0.0.1", 'Expected DIBS_URL to be an http:// or https:// address, got "127.0.0.1"'],
    ["DIBS_STORE", "", 'Expected DIBS_STORE to be a folder, memory: or the address of a Redis, got ""'],
    [
      "DIBS_STORE",
      "s3://bucket",
      'Expected DIBS_STORE to be a folder, memory: or the address of a Redis, got "s3:…"',
    ],
    [
      "DIBS_PAYLOAD_BYTES_MAX",
      "0",
      'Expected DIBS_PAYLOAD_BYTES_MAX to be a whole number from 1 to 16777216, got "0"',
    ],
  ])("refuses %s=%s, naming the bound and the value", (name, value, message) => {
    const error = refusal({ env: { [name]: value } });
    expect(error.message).toBe(message);
    expect(error.details).toMatchObject({ field: expect.any(String), bound: expect.any(String) });
  });

  it.each([
    "redis://:hunter2@db:6379",
    "rediss://user:p@db/2",
    "valkey://db",
    "redis-cluster://a:1,b:2",
    "redis+cluster://a",
    "rediss+sentinel://a,b/mymaster",
  ])("takes the Redis %s as a store", (url) => {
    expect(readConfig({ env: { DIBS_STORE: url } }).config.store).toEqual({ kind: "redis", url });
  });

  it("leaves durability to Redis", () => {
    const env = { DIBS_STORE: "redis://:hunter2@db" };
    const { message } = refusal({ env, flags: { durability: "power" } });
    expect(message).toContain("durability is Redis's own (its appendonly and appendfsync)");
    expect(message).not.toContain("hunter2");
  });

  it("lets one process open a folder, and several a Redis", () => {
    const flags = { processes: "2" };
    expect(refusal({ env: {}, flags }).message).toBe(
      "Expected --processes to be 1 while the store is a folder, which one process opens; several processes share a redis:// store, got 2",
    );
    expect(refusal({ env: { DIBS_STORE: "memory:" }, flags }).message).toContain(
      "while the store is memory:",
    );
    expect(readConfig({ env: { DIBS_STORE: "redis://db" }, flags }).config.processes).toBe(2);
  });

  it("refuses a flag of Redis beside another store, and leaves a variable to whom it concerns", () => {
    expect(refusal({ env: {}, flags: { prefix: "mail" } }).message).toBe(
      "Expected --prefix to be left out: it is for a redis:// store",
    );
    expect(readConfig({ env: { DIBS_PREFIX: "mail" } }).config.prefix).toBe("mail");
    expect(refusal({ env: { DIBS_PREFIX: "{mail}" } }).message).toContain("without spaces and braces");
  });

  it("never shows a token in a message", () => {
    const env = { DIBS_TOKENS: "good,hunter 2" };
    const error = refusal({ env });
    expect(JSON.stringify(error.details) + error.message).not.toContain("hunter");
    expect(refusal({ env: { DIBS_TOKENS: "" } }).details["field"]).toBe("tokens");
  });

  it("ignores what Kubernetes sets for a Service, with a warning", () => {
    const { config, warnings } = readConfig({
      env: {
        DIBS_PORT: "tcp://10.0.0.7:4510",
        DIBS_PORT_4510_TCP: "tcp://10.0.0.7:4510",
        DIBS_PORT_4510_TCP_ADDR: "10.0.0.7",
        DIBS_SERVICE_HOST: "10.0.0.7",
        DIBS_SERVICE_PORT_HTTP: "4510",
        DIBS_REDIS_SERVICE_HOST: "10.0.0.8",
        DIBS_REDIS_PORT: "tcp://10.0.0.8:6379",
        DIBS_REDIS_PORT_6379_TCP_PROTO: "tcp",
      },
    });

    expect(config.port).toBe(4510);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("DIBS_PORT, DIBS_PORT_4510_TCP,");
  });

  it("leaves alone what dibs work tells its command", () => {
    const env = { DIBS_TASK_ID: "a", DIBS_ATTEMPT: "1", DIBS_FENCE: "1", DIBS_QUEUE: "q" };
    expect(readConfig({ env })).toEqual(readConfig({ env: {} }));
  });

  it("leaves alone what the project's own tests are told", () => {
    const env = { DIBS_TEST_REDIS_URL: "redis://x", DIBS_CRASH_KILLS: "100", DIBS_MUTATIONS: "all" };
    expect(readConfig({ env })).toEqual(readConfig({ env: {} }));
    expect(refusal({ env: { DIBS_CRASHES: "1" } }).message).toContain("Unknown variable: DIBS_CRASHES");
  });

  it("knows that memory has no durability", () => {
    expect(readConfig({ env: { DIBS_STORE: "memory:" } }).config.durability).toBe("none");
    expect(refusal({ env: { DIBS_STORE: "memory:", DIBS_DURABILITY: "power" } }).message).toBe(
      'Expected DIBS_DURABILITY to be none while the store is memory:, which has no disk, got "power"',
    );
  });

  it("refuses a config file that is missing, broken or no object, naming it", () => {
    expect(refusal({ env: {}, flags: { config: "/nowhere/dibs.json" } }).message).toContain(
      "/nowhere/dibs.json",
    );
    const broken = file('{ "port": }');
    expect(refusal({ env: { DIBS_CONFIG: broken } }).message).toContain(broken);
    expect(refusal({ env: { DIBS_CONFIG: file("[]") } }).message).toContain("it holds an array");
  });
});
