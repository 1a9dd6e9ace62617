import { spawn } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { root } from "./source-tree.ts";

// A clone in small: the real scripts and settings, two sources.
let clone: string;

beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), "dibs-clone-"));
  const settings = ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"];
  for (const name of ["scripts", "vitest.config.ts", ...settings]) {
    await cp(join(root, name), join(clone, name), { recursive: true });
  }
  await symlink(join(root, "node_modules"), join(clone, "node_modules"));
  await write("src/cli/main.ts", '#!/usr/bin/env node\nconsole.log("served");\n');
  await write("src/pages/page.html", "<p>");
  await write("src/storage/redis/scripts/claim.lua", "return 1");
});

afterEach(() => rm(clone, { recursive: true, force: true }));

async function write(path: string, text: string): Promise<void> {
  await mkdir(join(clone, path, ".."), { recursive: true });
  await writeFile(join(clone, path), text);
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(command: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: clone, env: { ...process.env, ...env } });
    let [out, err] = ["", ""];
    child.stdout.on("data", (bytes) => (out += bytes));
    child.stderr.on("data", (bytes) => (err += bytes));
    child.on("error", reject).on("close", (code) => resolve({ code, out, err }));
  });
}

const setUp = (env?: NodeJS.ProcessEnv) => run(process.execPath, ["scripts/setup.mjs"], env);
const quiet = { code: 0, out: "", err: "" };

describe("set-up", () => {
  it("builds what can be run, with pages and scripts, and then has nothing to say", async () => {
    expect(await setUp()).toMatchObject({ code: 0, err: expect.stringContaining("Building dist") });
    expect(await setUp()).toEqual(quiet);

    expect(await run(join(clone, "dist/cli/main.js"))).toMatchObject({ code: 0, out: "served\n" });
    expect(await readFile(join(clone, "dist/pages/page.html"), "utf8")).toBe("<p>");
    expect(await readFile(join(clone, "dist/storage/redis/scripts/claim.lua"), "utf8")).toBe("return 1");
  });

  it("builds again after a change of a source or a setting, not of a test", async () => {
    await setUp();
    await write("src/cli/main.test.ts", "export {};");
    expect(await setUp()).toEqual(quiet);

    await write("src/cli/main.ts", 'console.log("changed");');
    await setUp();

    expect(await run(process.execPath, ["dist/cli/main.js"])).toMatchObject({ out: "changed\n" });
    await write("src/storage/redis/scripts/claim.lua", "return 2");
    await setUp();
    expect(await readFile(join(clone, "dist/storage/redis/scripts/claim.lua"), "utf8")).toBe("return 2");
    await write("tsconfig.build.json", `${await readFile(join(clone, "tsconfig.build.json"), "utf8")}\n`);
    expect((await setUp()).err).toContain("Building dist");
  });

  it("is done once when four start together, also where an earlier one was killed", async () => {
    await write(".setup.lock", "4194304"); // Beyond the largest process number.

    const ended = await Promise.all([setUp(), setUp(), setUp(), setUp()]);

    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(ended.filter(({ err }) => err.includes("Building"))).toHaveLength(1);
    expect(await setUp()).toEqual(quiet);
  });

  it("shows the compiler's words and fails, each time until they are heeded", async () => {
    await write("src/wrong.ts", 'export const n: number = "one";');

    for (const _ of [1, 2]) {
      const { code, err } = await setUp();
      expect(code).toBe(1);
      expect(err).toContain("src/wrong.ts(1,14): error TS2322");
    }
  });

  it("says what to do when npm cannot reach its registry", async () => {
    await rm(join(clone, "node_modules"));

    const { code, err } = await setUp({
      npm_config_registry: "http://127.0.0.1:1",
      npm_config_cache: join(clone, "cache"),
      npm_config_fetch_retries: "0",
    });

    expect(code).toBe(1);
    expect(err).toContain("npm could not reach its registry");
  });

  it("names the Node that it needs when it is run by an older one", async () => {
    const manifest = JSON.parse(await readFile(join(clone, "package.json"), "utf8"));
    await write("package.json", JSON.stringify({ ...manifest, engines: { node: ">=99.1" } }));

    const { code, err } = await setUp();

    expect(code).toBe(1);
    expect(err).toContain(`Dibs needs Node 99.1 or later; this is ${process.version}`);
  });
});

describe("set-up for the tests", () => {
  // All that the set-up finds on PATH; what is tested here must not install anything on this machine.
  const path = () => join(clone, "bin");
  const setUpForTests = (env?: NodeJS.ProcessEnv) =>
    run(process.execPath, ["scripts/setup.mjs", "--test"], {
      PATH: path(),
      DIBS_TEST_REDIS_URL: "",
      ...env,
    });

  beforeEach(async () => {
    await setUp();
    await mkdir(path());
    for (const name of ["sh", "rm", "chmod", "cat"]) await symlink(await placeOf(name), join(path(), name));
  });

  async function placeOf(name: string): Promise<string> {
    return (await run("sh", ["-c", `command -v ${name}`])).out.trim();
  }

  async function putOnPath(name: string, script: string): Promise<void> {
    await write(`bin/${name}`, `#!/bin/sh\n${script}\n`);
    await chmod(join(path(), name), 0o755);
  }

  it("has nothing to do where a Redis or a Valkey can be started, or is named", async () => {
    expect(await setUpForTests({ DIBS_TEST_REDIS_URL: "redis://127.0.0.1:1" })).toEqual(quiet);

    for (const program of ["redis-server", "valkey-server"]) {
      await putOnPath(program, "exit 1");
      expect(await setUpForTests()).toEqual(quiet);
      await rm(join(path(), program));
    }
  });

  it("says how to get a Redis where it may not install one", async () => {
    const { code, err } = await setUpForTests();

    expect(code).toBe(1);
    expect(err).toContain("neither redis-server nor valkey-server is on PATH");
    expect(err).toContain("apt-get install redis-server");
    expect(err).toContain("DIBS_TEST_REDIS_URL");
  });

  it("builds and installs without Redis when no test is wanted", async () => {
    expect(await run(process.execPath, ["scripts/setup.mjs"], { PATH: path() })).toEqual(quiet);
  });

  describe.runIf(process.getuid?.() === 0)("as root, with apt-get", () => {
    it("installs Debian's package once, and no more than that", async () => {
      await write("calls", "");
      const install = `case "$*" in *install*) echo > bin/redis-server; chmod +x bin/redis-server;; esac`;
      await putOnPath("apt-get", `echo "$*" >> calls; ${install}`);

      expect((await setUpForTests()).err).toContain("Installing Redis");
      expect(await setUpForTests()).toEqual(quiet);

      const calls = (await readFile(join(clone, "calls"), "utf8")).trim().split("\n");
      expect(calls).toEqual([
        expect.stringMatching(/^update /),
        expect.stringMatching(/^install .*--no-install-recommends redis-server$/),
      ]);
    });

    it("shows the words of an apt-get that cannot, and what else to do", async () => {
      await putOnPath("apt-get", "echo E: no network >&2; exit 100");

      const { code, err } = await setUpForTests();

      expect(code).toBe(1);
      expect(err).toMatch(/E: no network[\s\S]*brew install redis/);
    });
  });
});

describe("the test command", () => {
  const test = () => run(process.execPath, ["scripts/test.mjs"]);
  const lastLine = ({ out }: Ended) => out.trimEnd().split("\n").at(-1);

  it("ends with the count of what passed, and code 0", async () => {
    await write("src/good.test.ts", 'import { it } from "vitest"; it("a", () => {}); it("b", () => {});');

    const ended = await test();

    expect(lastLine(ended)).toBe("2 passed, 0 failed");
    expect(ended.code).toBe(0);
  });

  it("counts what failed in any way, and what was left out, and ends with code 1", async () => {
    // One is left out so that it is counted.
    const fails = 'it("fails", () => expect(1).toBe(2)); it.skip("left out", () => {});';
    await write("src/mixed.test.ts", `import { expect, it } from "vitest"; it("passes", () => {}); ${fails}`);
    await write("src/unreadable.test.ts", 'import "./none.ts";');

    const ended = await test();

    expect(lastLine(ended)).toBe("1 passed, 2 failed, 1 skipped");
    expect(ended.code).toBe(1);
  });

  it("fails when there was nothing to run", async () => {
    const ended = await test();

    expect(lastLine(ended)).toBe("0 passed, 0 failed");
    expect(ended.code).toBe(1);
  });
});
