import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { TaskMessage } from "../src/protocol/messages.ts";
import { Command, dibs, ServerProcess } from "./command.ts";
import { until } from "./crash/until.ts";

let server: ServerProcess;
let folder: string;
const workers: Command[] = [];

beforeAll(async () => {
  server = await ServerProcess.start("memory:");
  folder = await mkdtemp(join(tmpdir(), "dibs-work-"));
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
});

function work(queues: string, command: string, ...flags: string[]): Command {
  const args = ["work", ...queues.split(" "), "--exec", command, "--url", server.url, ...flags];
  const worker = new Command(args, { env: { DIBS_TEST_PIDS: folder } });
  workers.push(worker);
  return worker;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const reply = await fetch(`${server.url}${path}`, init);
  expect(reply.ok, `${method} ${path}: ${reply.status}`).toBe(true);
  return (await reply.json()) as T;
}

const enqueue = async (queue: string, payload: unknown, more = {}): Promise<string> =>
  (await call<TaskMessage>("POST", "/v1/tasks", { queue, payload, ...more })).id;
const show = (id: string) => call<TaskMessage>("GET", `/v1/tasks/${id}`);

async function finished(id: string): Promise<TaskMessage> {
  await call("GET", `/v1/tasks/${id}/result?waitMs=30000`);
  return show(id);
}

/** Starts a process of its own and waits for it; tells its id in a file. */
const SLEEPER = 'sleep 300 & echo $! > "$DIBS_TEST_PIDS/$DIBS_QUEUE"; wait';

async function pidOf(queue: string): Promise<string> {
  const file = join(folder, queue);
  const read = () => (existsSync(file) ? readFileSync(file, "utf8") : "");
  await until(() => read().endsWith("\n"));
  return read().trim();
}

function isRunning(pid: string): boolean {
  try {
    return !execFileSync("ps", ["-o", "stat=", "-p", pid], { encoding: "utf8" }).startsWith("Z");
  } catch {
    return false; // ps knows no such process.
  }
}

describe("dibs work --exec", () => {
  it("gives the payload on stdin and the task in the environment; JSON on stdout is the result", async () => {
    const id = await enqueue("echo", { to: "a@b.c" });
    work(
      "echo",
      `read -r payload; printf '{"payload":%s,"env":"%s"}' "$payload" "$DIBS_QUEUE $DIBS_ATTEMPT $DIBS_TASK_ID"`,
    );

    const { state, result, attempt } = await finished(id);

    expect({ state, attempt }).toEqual({ state: "completed", attempt: 1 });
    expect(result).toEqual({ payload: { to: "a@b.c" }, env: `echo 1 ${id}` });
  });

  it("hands the fence of the lease to the command", async () => {
    const id = await enqueue("fenced", 1);
    work("fenced", `printf '%s' "$DIBS_FENCE"; sleep 1`);
    await until(async () => (await show(id)).lease !== undefined);
    const fence = (await show(id)).lease?.fence;
    expect((await finished(id)).result).toBe(fence);
  });

  it("takes other text as a text, and silence as no result", async () => {
    const [text, silent] = [await enqueue("texts", "echo hello"), await enqueue("texts", "true")];
    work("texts", `read -r payload; eval "$(echo "$payload" | tr -d '"')"`);
    expect((await finished(text)).result).toBe("hello");
    expect(await finished(silent)).not.toHaveProperty("result");
  });

  it("fails the attempt with the end of stderr for another exit code, and tries again", async () => {
    const id = await enqueue("failing", 1, { maxAttempts: 2, backoff: { type: "fixed", baseMs: 0 } });
    const worker = work("failing", `echo "attempt $DIBS_ATTEMPT went wrong" >&2; exit 3`);

    const { state, failures, deadReason } = await finished(id);

    expect({ state, deadReason }).toEqual({ state: "dead", deadReason: "attempts" });
    expect(failures?.map(({ error }) => error)).toEqual([
      "Exit code 3: attempt 1 went wrong",
      "Exit code 3: attempt 2 went wrong",
    ]);
    await worker.says(/failed in .*, now dead: Exit code 3: attempt 2 went wrong/);
  });

  it("refuses the task to the dead letters for exit code 100", async () => {
    const id = await enqueue("refusing", 1);
    work("refusing", "echo 'no such customer' >&2; exit 100");
    expect(await finished(id)).toMatchObject({
      state: "dead",
      deadReason: "refused",
      attempt: 1,
      lastError: expect.stringContaining("no such customer"),
    });
  });

  it("fails an attempt that writes more than a result may hold", async () => {
    const id = await enqueue("flooding", 1, { maxAttempts: 1 });
    work("flooding", "yes");
    expect((await finished(id)).lastError).toContain("More than 1048576 bytes on stdout");
  });

  it("keeps the lease while the command runs", async () => {
    const id = await enqueue("slow", 1);
    work("slow", "sleep 2.5; echo done", "--lease-ms", "1000");
    expect(await finished(id)).toMatchObject({ state: "completed", attempt: 1, result: "done" });
    expect(await show(id)).not.toHaveProperty("failures");
  });

  it("serves several queues in the order given, several commands at a time", async () => {
    const low = [await enqueue("low", 1), await enqueue("low", 2)];
    const high = [await enqueue("high", 1), await enqueue("high", 2)];
    const worker = work("high low", "echo ok", "--concurrency", "2", "--json");
    for (const id of [...low, ...high]) await finished(id);
    await until(() => worker.stdout.split("\n").length > 4);
    const order = worker.stdout
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { id: string }).id);
    expect(new Set(order.slice(0, 2))).toEqual(new Set(high));
    expect(new Set(order.slice(2))).toEqual(new Set(low));
  });

  it("ends the command and all that it started when the task is cancelled", async () => {
    const id = await enqueue("cancelled", 1);
    const worker = work("cancelled", SLEEPER, "--lease-ms", "1000");
    const pid = await pidOf("cancelled");
    expect(isRunning(pid)).toBe(true);

    await call("POST", `/v1/tasks/${id}/cancel`);

    await until(() => !isRunning(pid));
    await worker.says(/ lost: /);
    expect((await show(id)).state).toBe("cancelled");
  });

  it("ends the command on Ctrl-C and hands the task back, uncounted", async () => {
    const id = await enqueue("interrupted", 1);
    const worker = work("interrupted", SLEEPER);
    const pid = await pidOf("interrupted");

    worker.send("SIGINT");

    expect(await worker.ended()).toMatchObject({ code: 130, signal: null });
    expect(isRunning(pid)).toBe(false);
    expect(await show(id)).toMatchObject({ state: "ready", attempt: 0 });
  });

  it("kills what does not want to end with the second Ctrl-C", async () => {
    await enqueue("stubborn", 1);
    const worker = work(
      "stubborn",
      'trap "" TERM; sleep 300 & echo $! > "$DIBS_TEST_PIDS/$DIBS_QUEUE"; wait; wait',
    );
    const pid = await pidOf("stubborn");

    worker.send("SIGINT");
    await worker.says(/Stopping/);
    worker.send("SIGINT");

    expect(await worker.ended()).toMatchObject({ code: 130 });
    await until(() => !isRunning(pid));
  });

  it("ends when its server does not let it in", async () => {
    const guarded = await ServerProcess.start("memory:", ["--tokens", "s3cret"]);
    try {
      const args = ["work", "guarded", "--exec", "true", "--url", guarded.url];
      expect(await dibs([...args, "--token", "wrong"])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("(unauthorized)"),
      });
    } finally {
      await guarded.stop();
    }
  });

  it("goes on when its server was away, and exits with 0 at SIGTERM", async () => {
    const other = await ServerProcess.start("memory:");
    const { port } = new URL(other.url);
    const worker = new Command(["work", "away", "--exec", "echo ok", "--url", other.url]);
    workers.push(worker);
    await worker.says(/Working on away/);
    await other.kill();
    await worker.says(/warning: .*No connection/);
    const again = await ServerProcess.start("memory:", ["--port", port]);
    try {
      await worker.says(/Connected again/);
      await fetch(`${again.url}/v1/tasks`, { method: "POST", body: '{"queue":"away"}' });
      await worker.says(/away~\S+ completed/);
      worker.send("SIGTERM");
      expect(await worker.ended()).toMatchObject({ code: 0, signal: null });
    } finally {
      await again.stop();
    }
  });
});
