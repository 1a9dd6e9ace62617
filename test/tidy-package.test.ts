import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ERROR_CODES } from "../src/task/errors.ts";
import { filesIn, linesWhere, read, root } from "./source-tree.ts";

const manifest: {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly files: readonly string[];
} = JSON.parse(read("package.json"));

/** The source that the build makes a file of dist from. */
function sourceOf(path: string): string {
  return path.replace(/^\.\/dist\/(.*?)(\.d\.ts|\.js)$/, "src/$1.ts");
}

const isThere = (path: string) => existsSync(join(root, path));

describe("the package", () => {
  it("promises only files that are there or that the build makes", () => {
    const entries = [...Object.values(manifest.exports), ...Object.values(manifest.bin)];
    const promised = entries.flatMap((entry) => (typeof entry === "string" ? [entry] : Object.values(entry)));

    expect(promised.map(sourceOf).filter((path) => !isThere(path))).toEqual([]);
  });

  it("loads every script that it ships, and every part of one", () => {
    const source = filesIn("src");
    const loaders = source.filter((path) => path.endsWith(".ts")).map(read);
    const scripts = source.filter((path) => path.endsWith(".lua"));
    const including = scripts.map(read);
    const isLoaded = (path: string) => {
      const name = path.replace(/.*\/|\.lua$/g, "");
      if (!path.includes("/lib/")) return loaders.some((text) => text.includes(`"${name}"`));
      return including.some((text) => text.includes(`--#include ${name}\n`));
    };

    expect(scripts.filter((path) => !isLoaded(path))).toEqual([]);
  });

  it("carries its documents", () => {
    const documents = manifest.files.filter((path) => !path.includes("dist"));

    expect(documents).toEqual(["README.md", "CHANGELOG.md", "LICENSE"]);
    expect(documents.filter((path) => !isThere(path))).toEqual([]);
  });
});

describe("the documents", () => {
  it("describe every error code in docs/protocol.md", () => {
    const protocol = read("docs/protocol.md");

    expect(ERROR_CODES.filter((errorCode) => !protocol.includes(`\`${errorCode}\``))).toEqual([]);
  });

  it("and the code name no path of the machine that they were written on", () => {
    const here = readdirSync(root).filter((name) => /\.(md|json|ts)$/.test(name));
    const all = [...here, ...filesIn("src", "test", "bench", "scripts", "examples", "docs", ".ci")];

    expect(linesWhere(all, (line) => line.includes(`${root}/`) || line.includes(`${homedir()}/`))).toEqual(
      [],
    );
  });
});
