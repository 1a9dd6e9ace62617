import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { connect } from "../src/connect.ts";
import type { Dibs } from "../src/sdk/client.ts";
import { ServerProcess } from "./command.ts";
import { compile } from "./compile.ts";
import { isInstalled, Program, userFolder } from "./program.ts";
import { root } from "./source-tree.ts";

// The examples as their readers start them, against a real server, on real files.
let user: Awaited<ReturnType<typeof userFolder>>;
let server: ServerProcess;
let dibs: Dibs;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  user = await userFolder();
  await cp(join(root, "examples"), user.path, { recursive: true });
  expect(await compile(user.path, "worker.ts", "web-app.ts")).toBe("");
  server = await ServerProcess.start("memory:");
  dibs = await connect(server.url);
  const backoff = { type: "fixed", baseMs: 10, jitter: "none" } as const;
  await dibs.queue("digests").configure({ leaseMs: 1_500, backoff });
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await dibs.queue("digests").purge("ready");
});

afterAll(async () => {
  await dibs.close();
  await server.stop();
  await user.remove();
});

function start(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Program {
  const program = new Program(command, args, { cwd: user.path, env });
  closing.push(() => program.stop());
  return program;
}

async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-examples-"));
  closing.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function serve(store: string, ...flags: string[]): Promise<ServerProcess> {
  const server = await ServerProcess.start(store, flags);
  closing.push(() => server.stop());
  return server;
}

/** A named pipe: whoever reads it waits until the test has written to it. */
async function pipe(): Promise<{ readonly path: string; write(text: string): Promise<void> }> {
  const path = join(await scratch(), "pipe");
  execFileSync("mkfifo", [path]);
  return { path, write: (text) => writeFile(path, text) };
}

function digestOf(content: string | Buffer): { bytes: number; sha256: string } {
  return {
    bytes: Buffer.byteLength(content),
    sha256: createHash("sha256").update(content).digest("hex"),
  };
}

async function until<T>(look: () => Promise<T>, isSo: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look();
    if (isSo(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const leased = (id: string) =>
  until(
    () => dibs.task(id),
    ({ state }) => state === "leased",
  );

interface Kind {
  readonly name: string;
  readonly command: string;
  readonly script: string;
  /** Its place is an argument, not a variable. */
  readonly takesPlace?: true;
  /** Tasks at a time. */
  readonly slots: number;
}

const KINDS: readonly Kind[] = [
  { name: "worker.ts", command: process.execPath, script: "worker.js", takesPlace: true, slots: 4 },
  { name: "worker.py", command: "python3", script: "worker.py", slots: 1 },
  { name: "worker.sh", command: "sh", script: "worker.sh", slots: 1 },
];

describe.each(KINDS)("$name", ({ command, script, takesPlace, slots }) => {
  const missing = [command, ...(command === "sh" ? ["curl"] : [])].filter((each) => !isInstalled(each));
  const why = missing.length === 0 ? "" : ` (left out: ${missing.join(", ")} is not installed)`;
  const works = it.skipIf(why !== "");

  function startWorker(url: string, token?: string): Program {
    const env = { DIBS_URL: url, ...(token !== undefined && { DIBS_TOKEN: token }) };
    return start(command, takesPlace ? [script, url] : [script, "digests"], env);
  }

  works(`computes what is asked, and says what it cannot do${why}`, async () => {
    const paths = ["LICENSE", "package.json", "README.md", "src/task/task.ts"].map((path) =>
      join(root, path),
    );
    startWorker(server.url);

    const tasks = await dibs.enqueueMany(
      "digests",
      paths.map((path) => ({ path })),
    );
    const absent = await dibs.enqueue("digests", { path: join(root, "absent") });

    for (const [at, outcome] of tasks.entries()) {
      const content = await readFile(paths[at] as string);
      expect(await dibs.waitForResult(outcome.task?.id as string)).toEqual(digestOf(content));
    }
    await expect(dibs.waitForResult(absent.id)).rejects.toThrow(/absent/);
    expect(await dibs.task(absent.id)).toMatchObject({ state: "dead", deadReason: "refused", attempt: 1 });
  });

  works(`tries again what failed, with the error in the task${why}`, async () => {
    startWorker(server.url);

    const folder = await scratch(); // It is there, and cannot be read as a file.
    const { id } = await dibs.enqueue("digests", { path: folder }, { maxAttempts: 2 });
    const error: Error = await dibs.waitForResult(id).then(
      () => new Error("It has a result"),
      (reason: Error) => reason,
    );

    expect(error.message).toMatch(/directory|EISDIR/i);
    expect(await dibs.task(id)).toMatchObject({ state: "dead", deadReason: "attempts", attempt: 2 });
  });

  works(`keeps its lease while it works, and ends on SIGTERM after the task in hand${why}`, async () => {
    const pipes = await Promise.all(Array.from({ length: slots }, pipe));
    const worker = startWorker(server.url);

    const slow = await dibs.enqueueMany(
      "digests",
      pipes.map(({ path }) => ({ path })),
    );
    const ids = slow.map(({ task }) => task?.id as string);
    for (const id of ids) await leased(id);
    const next = await dibs.enqueue("digests", { path: join(root, "LICENSE") });
    await until(
      () => dibs.task(ids[0] as string),
      ({ lease }) => lease !== undefined && lease.expiresAt > lease.claimedAt + 1.6 * lease.ms,
    );
    worker.send("SIGTERM");
    for (const { write } of pipes) await write("hello");

    expect(await worker.ended()).toBe(0);
    const done = { state: "completed", attempt: 1, result: digestOf("hello") };
    for (const id of ids) expect(await dibs.task(id)).toMatchObject(done);
    expect(await dibs.task(next.id)).toMatchObject({ state: "ready", attempt: 0 });
  });

  works(`ends at once on SIGTERM while it waits, and takes nothing with it${why}`, async () => {
    const worker = startWorker(server.url);
    await until(
      () => dibs.queue("digests").get(),
      ({ waiting }) => waiting === 1,
    );

    worker.send("SIGTERM");
    expect(await worker.ended()).toBe(0);
    await until(
      () => dibs.queue("digests").get(),
      ({ waiting }) => waiting === 0,
    );
    const { id } = await dibs.enqueue("digests", { path: join(root, "LICENSE") });

    expect(await dibs.task(id)).toMatchObject({ state: "ready", attempt: 0 });
  });

  works(`goes on after its task was cancelled under its hands${why}`, async () => {
    const { path, write } = await pipe();
    startWorker(server.url);

    const cancelled = await dibs.enqueue("digests", { path });
    await leased(cancelled.id);
    await dibs.cancel(cancelled.id);
    const next = await dibs.enqueue("digests", { path: join(root, "LICENSE") });
    await write("hello");

    expect(await dibs.waitForResult(next.id)).toEqual(digestOf(await readFile(join(root, "LICENSE"))));
    expect(await dibs.task(cancelled.id)).toMatchObject({ state: "cancelled" });
  });

  works(`comes back to a server that was away, and shows it its token${why}`, async () => {
    const folder = await scratch();
    const first = await serve(folder, "--tokens", "s3cret");
    const worker = startWorker(first.url, "s3cret");
    const before = await connect(first.url, { token: "s3cret" });
    const early = await before.enqueue("digests", { path: join(root, "LICENSE") });
    await before.waitForResult(early.id);
    await before.close();

    await first.kill();
    await worker.says(/No claim from/);
    const second = await serve(folder, "--tokens", "s3cret", "--port", new URL(first.url).port);
    const after = await connect(second.url, { token: "s3cret" });
    closing.push(() => after.close());
    const late = await after.enqueue("digests", { path: join(root, "package.json") });

    expect(await after.waitForResult(late.id)).toEqual(digestOf(await readFile(join(root, "package.json"))));
  });
});

describe("web-app.ts", () => {
  const TEXT = "To be, or not to be";
  const COUNTS = { to: 2, be: 2, or: 1, not: 1 };

  async function startApp(folder: string): Promise<{ readonly app: Program; readonly url: string }> {
    const app = start(process.execPath, ["web-app.js", folder, "0"]);
    const [, url] = await app.says(/^Listening on (http:\S+), /m);
    return { app, url: url as string };
  }

  function post(url: string, text: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${url}/texts`, { method: "POST", body: text, headers });
  }

  async function counts(url: string, location: string): Promise<unknown> {
    const response = await fetch(`${url}${location}?waitMs=20000`);
    expect(response.status).toBe(200);
    return response.json();
  }

  it("answers at once, and has the result when it is asked for", async () => {
    const { url } = await startApp(await scratch());

    const accepted = await post(url, TEXT);

    expect(accepted.status).toBe(202);
    expect(await counts(url, accepted.headers.get("location") as string)).toEqual(COUNTS);
    expect((await fetch(`${url}/texts/texts~0000000000000000`)).status).toBe(404);
    expect((await fetch(`${url}/nonsense`)).status).toBe(404);
    expect((await post(url, "x".repeat(100_001))).status).toBe(413);
  });

  it("makes one task of a text that is sent again with its key", async () => {
    const { url } = await startApp(await scratch());
    const headers = { "idempotency-key": "monologue" };

    const locations = await Promise.all(
      [1, 2, 3].map(async () => (await post(url, TEXT, headers)).headers.get("location")),
    );

    expect(new Set(locations).size).toBe(1);
    expect((await post(url, "Another text", headers)).status).toBe(409);
  });

  it("loses nothing that it has accepted when it is killed, and ends cleanly when it is asked to", async () => {
    const folder = await scratch();
    const { app, url } = await startApp(folder);
    const accepted = await Promise.all(Array.from({ length: 50 }, () => post(url, TEXT)));
    const locations = accepted.map((response) => response.headers.get("location") as string);
    app.send("SIGKILL");
    await app.ended();

    const again = await startApp(folder);
    for (const location of locations) expect(await counts(again.url, location)).toEqual(COUNTS);
    again.app.send("SIGTERM");

    expect(new Set(locations).size).toBe(50);
    expect(await again.app.ended()).toBe(0);
  });
});
