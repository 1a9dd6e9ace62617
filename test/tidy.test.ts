import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { filesIn, linesWhere, read, root } from "./source-tree.ts";

// Reads the source tree and holds it to the rules of the house that no compiler knows.
const code = filesIn("src", "test", "bench", "scripts", "examples").filter(
  (path) => /\.(ts|mjs|js|lua|py|sh)$/.test(path) && path !== "test/tidy.test.ts",
);
const source = code.filter((path) => path.startsWith("src/") && !path.endsWith(".test.ts"));

/** Each layer and what it may import beside itself. Tests and the composition roots put all together. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  clock: [],
  "claim-marks": [],
  task: [],
  storage: ["task", "clock"],
  "storage/contract": ["task", "storage", "clock"],
  "storage/embedded": ["task", "storage", "clock"],
  "storage/redis": ["task", "storage", "clock", "claim-marks"],
  move: ["task", "storage"],
  broker: ["task", "storage", "clock", "claim-marks"],
  protocol: ["task"],
  processes: ["task", "broker"],
  http: ["task", "protocol", "broker", "claim-marks"],
  sdk: ["task", "protocol"],
  config: ["task"],
  lab: [
    "task",
    "clock",
    "claim-marks",
    "storage",
    "storage/embedded",
    "storage/redis",
    "broker",
    "protocol",
    "http",
    "sdk",
    "connect",
    "local-connection",
    "config",
  ],
  cli: ["task", "protocol", "sdk", "lab", "move", "connect", "config", "processes"],
  index: ["task", "sdk", "connect"],
};
const COMPOSITION_ROOTS = [
  "src/connect.ts",
  "src/local-connection.ts",
  "src/cli/serve.ts",
  "src/cli/move-place.ts",
  "src/cli/store.ts",
  "src/cli/store-report.ts",
  "src/sdk/testing.ts",
];

/** Packages that belong to one layer: its users need not know of them, and pay for them only when they use it. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  ioredis: ["storage/redis"],
  fastify: ["http"],
  ajv: ["http", "protocol"],
  commander: ["cli"],
  piscina: ["sdk"],
  "prom-client": ["broker"],
  "strip-json-comments": ["config"],
  "hdr-histogram-js": ["lab"],
  bullmq: [],
};

function layerOf(path: string): string {
  const place = /^src\/(storage\/\w+(?=\/)|[\w-]+)/.exec(path)?.[1] ?? path;
  return place === "config-values" ? "config" : place;
}

function importsOf(path: string): string[] {
  const found = read(path).matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]+)"/g);
  return [...found].map(([, target]) => relative(root, join(root, dirname(path), target as string)));
}

function packagesOf(path: string): string[] {
  const found = read(path).matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"((?:@\w+\/)?[a-z][\w-]*)(?:\/[^"]*)?"/g);
  return [...found].map(([, name]) => name as string);
}

describe("the house", () => {
  it("imports in one direction only", () => {
    const checked = source.filter((path) => !COMPOSITION_ROOTS.includes(path));
    const wrong = checked.flatMap((path) => {
      const allowed = [layerOf(path), ...(LAYERS[layerOf(path)] ?? [])];
      const strangers = importsOf(path).filter((target) => !allowed.includes(layerOf(target)));
      return strangers.map((target) => `${path} imports ${target}`);
    });

    expect(wrong).toEqual([]);
    expect(checked.flatMap(importsOf).length).toBeGreaterThan(100); // The pattern finds imports at all.
  });

  it("leaves a package to the one place that needs it", () => {
    const strangers = source.flatMap((path) => {
      const names = packagesOf(path).filter(
        (name) => !(HOMES[name] ?? [layerOf(path)]).includes(layerOf(path)),
      );
      return names.map((name) => `${path} imports ${name}`);
    });

    expect(strangers).toEqual([]);
    expect(new Set(source.flatMap(packagesOf)).size).toBeGreaterThan(5); // The pattern finds imports at all.
  });

  it("says task, never job, and has no bucket of things", () => {
    // What BullMQ calls its own, where it is measured against.
    const ours = (line: string) => line.replaceAll(/\bgetNextJob\(/g, "");
    const isForeign = (line: string) =>
      /\b[jJ]obs?(?![a-z])|[a-z]Jobs?(?![a-z])|\b(TODO|FIXME)\b/.test(ours(line));
    const isBucket = (path: string) =>
      /(^|[/-])(utils?|helpers?|common|misc|types|interfaces)([./-]|$)/.test(path);

    expect(linesWhere(code, isForeign)).toEqual([]);
    expect(code.filter(isBucket)).toEqual([]);
  });

  it("prints only in the command, and reads the environment only in its configuration", () => {
    const quiet = source.filter((path) => !path.startsWith("src/cli/"));
    const blind = source.filter((path) => path !== "src/config.ts");

    expect(linesWhere(quiet, (line) => /\bconsole\./.test(line))).toEqual([]);
    expect(linesWhere(blind, (line) => /\bprocess\.env\b/.test(line))).toEqual([]);
  });

  it("leaves no test out without a word why", () => {
    const tests = code.filter((path) => path.endsWith(".test.ts"));
    const isLeftOut = (line: string) => /\b(it|test|describe)\.(skip|todo)\b|\bskip\(\)/.test(line);

    expect(linesWhere(tests, (line) => /\b(it|test|describe)\.only\b/.test(line))).toEqual([]);
    expect(linesWhere(tests, (line, before) => isLeftOut(line) && !(before + line).includes("//"))).toEqual(
      [],
    );
  });

  it("keeps files to one noun, at most 400 lines; only the contract lists all cases of a verb", () => {
    const nouns = source.filter((path) => !path.startsWith("src/storage/contract/"));

    expect(nouns.filter((path) => read(path).split("\n").length > 401)).toEqual([]);
  });
});
