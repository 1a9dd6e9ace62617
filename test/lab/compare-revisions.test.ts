import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Comparison } from "../../src/lab/compare/comparison.ts";
import { Command, dibs } from "../command.ts";

/** The command on revisions of a checkout of its own: this source, and on top of it a change that slows claims down. */
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CLAIM = "return this.#parts.claims.one(request, signal);";
/** Ten times what a claim takes: no machine is so busy that it would not be seen. */
const SLOW = `const until = performance.now() + 0.2; while (performance.now() < until); ${CLAIM}`;
const TWICE_BUILT_MS = 180_000;

let folder: string;
let checkout: string;
let temporary: string;

const git = (...args: string[]) =>
  execFileSync("git", ["-C", checkout, "-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
    encoding: "utf8",
  });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-test-revisions-"));
  checkout = join(folder, "checkout");
  mkdirSync(checkout);
  for (const name of [
    "src",
    "scripts",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.build.json",
  ])
    cpSync(join(ROOT, name), join(checkout, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(checkout, "node_modules"), "junction");
  writeFileSync(join(checkout, ".gitignore"), "/node_modules\n/dist\n");
  git("init", "-q");
  git("add", ".");
  git("commit", "-qm", "Claim as ever");
  git("tag", "fast");
  const broker = join(checkout, "src", "broker", "broker.ts");
  const source = readFileSync(broker, "utf8");
  expect(source.split(CLAIM)).toHaveLength(2);
  writeFileSync(broker, source.replace(CLAIM, SLOW));
  git("commit", "-qam", "Claim more slowly");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  temporary = await mkdtemp(join(folder, "tmp-"));
});

function compareArgs(...more: string[]): [string[], { cwd: string; env: { TMPDIR: string } }] {
  return [["compare", ...more], { cwd: checkout, env: { TMPDIR: temporary } }];
}

async function expectNoLeftovers(): Promise<void> {
  expect(await readdir(temporary)).toEqual([]);
  expect(git("worktree", "list").trim().split("\n")).toHaveLength(1);
  expect(git("status", "--porcelain")).toBe("");
}

const SHORT = ["--pairs", "8", "--seconds", "0.1", "--warmup", "0.05", "--depth", "100"];

describe("dibs compare of two revisions", () => {
  it(
    "builds both aside, finds the one that slows claims down, and leaves nothing behind",
    async () => {
      const { code, stdout, stderr } = await dibs(
        ...compareArgs("--rev", "fast", "--rev", "HEAD", ...SHORT, "--json"),
      );

      expect(stderr).toBe("");
      const comparison = JSON.parse(stdout) as Comparison;
      expect(comparison.verdict).toBe("worse");
      expect(comparison.sentences[0]).toContain("P50 up");
      expect(comparison.errors).toMatchObject({ base: { errors: 0 }, candidate: { errors: 0 } });
      expect(comparison.runs).toEqual({ base: 8, candidate: 8 });
      expect(comparison.base).toMatchObject({ label: "fast", commit: git("rev-parse", "fast").trim() });
      expect(code).toBe(1);
      await expectNoLeftovers();
    },
    TWICE_BUILT_MS,
  );

  it(
    "measures over HTTP, each revision behind a server of its own",
    async () => {
      const flags = ["--serve", "--concurrency", "4", "--pairs", "1", "--seconds", "0.2", "--json"];
      const { code, stdout } = await dibs(...compareArgs("--rev", "fast", "--rev", "fast", ...flags));

      const { measures, base, verdict, sentences } = JSON.parse(stdout) as Comparison;
      expect({ code, verdict }).toEqual({ code: 3, verdict: "not judged" });
      expect(sentences[0]).toContain("1 pairs cannot tell a change from noise");
      expect(base.settings).toMatchObject({ transport: "http", concurrency: 4 });
      expect(base.runs[0]?.operations).toBeGreaterThan(0);
      expect(measures.map(({ name }) => name)).toContain("perSecond");
      await expectNoLeftovers();
    },
    TWICE_BUILT_MS,
  );

  it(
    "ends at Ctrl-C with what it has, and leaves nothing behind",
    async () => {
      const [args, options] = compareArgs("--rev", "fast", "--rev", "fast", "--pairs", "500");
      const command = new Command(args, options);
      try {
        await command.says(/measuring 500 pairs/);
        command.send("SIGINT");
        const { code, stdout } = await command.ended();

        expect(code).toBe(130);
        expect(stdout === "" || stdout.includes("Not judged")).toBe(true);
        await expectNoLeftovers();
      } finally {
        await command.stop();
      }
    },
    TWICE_BUILT_MS,
  );

  it("ends at Ctrl-C while it builds", async () => {
    const [args, options] = compareArgs("--rev", "fast", "--rev", "HEAD");
    const command = new Command(args, options);
    try {
      await command.says(/building fast/);
      command.send("SIGINT");

      expect(await command.ended()).toMatchObject({ code: 130, stdout: "" });
      await expectNoLeftovers();
    } finally {
      await command.stop();
    }
  });

  it("says what is wrong with a revision, and with a folder that is no checkout", async () => {
    const unknown = await dibs(...compareArgs("--rev", "fast", "--rev", "no-such"));
    expect(unknown).toMatchObject({ code: 2, stdout: "" });
    expect(unknown.stderr).toContain("There is no revision no-such");

    const nowhere = await dibs(["compare", "--rev", "a", "--rev", "b"], {
      cwd: temporary,
      env: { GIT_DIR: "/nowhere" },
    });
    expect(nowhere).toMatchObject({ code: 2, stdout: "" });
    expect(nowhere.stderr).toContain("is in no checkout");
    await expectNoLeftovers();
  });
});
