import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { read, root } from "./source-tree.ts";

const run = promisify(execFile);
const MINUTES = 60_000;

// What a user of the README does: `npm pack` in the clone, `npm install` of that file in a folder of their own.
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-install-"));
  await run("npm", ["pack", "--pack-destination", folder], { cwd: root });
  const [packed] = await readdir(folder);
  await write("package.json", JSON.stringify({ name: "mine", private: true, type: "module" }));
  await run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", `./${packed}`], {
    cwd: folder,
  });
}, 5 * MINUTES);

afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), text);
}

async function typeCheck(name: string, text: string): Promise<string> {
  await write(name, text);
  const options = {
    module: "nodenext",
    target: "es2022",
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    typeRoots: [join(root, "node_modules/@types")],
    types: ["node"],
  };
  await write("tsconfig.json", JSON.stringify({ compilerOptions: options, files: [name] }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  return run(process.execPath, [tsc, "-p", folder]).then(
    () => "",
    (error: { stdout: string }) => error.stdout,
  );
}

describe("the packed package, installed in an empty folder", () => {
  it("has the sources' output, its documents and nothing else", async () => {
    const names = await readdir(join(folder, "node_modules/dibs"));

    expect(names.sort()).toEqual(["CHANGELOG.md", "LICENSE", "README.md", "dist", "package.json"]);
  });

  it("brings types that hold a payload and a result to the task's definition", async () => {
    const program = `
      import { connect, defineTask } from "dibs";

      const welcome = defineTask<{ to: string }, { messageId: string }>({ queue: "emails" });
      await using dibs = await connect("memory:");
      const task = await dibs.enqueue(welcome, { to: "a@b.c" }, { priority: 5, delayMs: 1_000 });
      await using worker = dibs.work(welcome, async ({ task }) => ({ messageId: task.payload.to }));
      const result = await dibs.waitForResult(task, { timeoutMs: 30_000 });
      export const messageId: string = result.messageId;
      // @ts-expect-error The payload has no such field.
      await dibs.enqueue(welcome, { at: "a@b.c" });
      // @ts-expect-error The handler owes a message id.
      dibs.work(welcome, async () => ({}));
    `;

    expect(await typeCheck("typed.ts", program)).toBe("");
  });

  it("brings types for each of its entries", async () => {
    const entries = Object.keys(JSON.parse(read("package.json")).exports).filter(
      (entry) => !/json$/.test(entry),
    );
    const program = entries.map((entry, at) => `export * as e${at} from "${entry.replace(/^\./, "dibs")}";`);

    expect(entries.length).toBeGreaterThan(3);
    expect(await typeCheck("entries.ts", program.join("\n"))).toBe("");
  });

  it("runs a queue and its worker in the process", async () => {
    await write(
      "run.mjs",
      `import { connect, defineTask } from "dibs";

      const double = defineTask({ queue: "numbers" });
      const dibs = await connect("memory:");
      const task = await dibs.enqueue(double, { n: 21 });
      const worker = dibs.work(double, async ({ task }) => task.payload.n * 2);
      console.log(await dibs.waitForResult(task, { timeoutMs: 30_000 }));
      await worker.close();
      await dibs.close();`,
    );

    expect((await run(process.execPath, ["run.mjs"], { cwd: folder })).stdout).toBe("42\n");
  });

  it("brings the Redis engine with its scripts", async () => {
    // The scripts are read when the module is; what a call without a server says shows that it has all it needs.
    await write(
      "redis.mjs",
      `import { RedisStorage } from "dibs/storage/redis";
      await RedisStorage.open({ url: "redis://127.0.0.1:1" }).catch((error) => console.log(error.code));`,
    );

    const { stdout } = await run(process.execPath, ["redis.mjs"], { cwd: folder });
    expect(stdout).toBe("storage_unavailable\n");
  });

  it("brings the command", async () => {
    const { stdout } = await run("npx", ["--no-install", "dibs", "--version"], { cwd: folder });

    expect(stdout.trim()).toBe(JSON.parse(read("package.json")).version);
  });
});
