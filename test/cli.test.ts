import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { QueueMessage, TaskMessage } from "../src/protocol/messages.ts";
import { Command, dibs, jsonLines, piped, ServerProcess } from "./command.ts";
import { until } from "./crash/until.ts";

let server: ServerProcess;
let env: { readonly DIBS_URL: string };

beforeAll(async () => {
  server = await ServerProcess.start("memory:");
  env = { DIBS_URL: server.url };
});
afterAll(() => server.stop());

/** Runs a command that must succeed and gives its lines of JSON. */
async function json<T = Record<string, unknown>>(...args: string[]): Promise<T[]> {
  const { code, stdout, stderr } = await dibs([...args, "--json"], { env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return jsonLines(stdout) as T[];
}

/** What the tests prepare and look at goes over HTTP: only the command under test is a process. */
async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const reply = await fetch(`${server.url}${path}`, init);
  expect(reply.ok, `${method} ${path}: ${reply.status}`).toBe(true);
  return (await reply.json()) as T;
}

async function enqueued(queue: string, payload: unknown, fields = {}): Promise<string> {
  return (await call<TaskMessage>("POST", "/v1/tasks", { queue, payload, ...fields })).id;
}

const task = (id: string) => call<TaskMessage>("GET", `/v1/tasks/${id}`);
const queue = (name: string) => call<QueueMessage>("GET", `/v1/queues/${name}`);

async function claimed(name: string): Promise<TaskMessage> {
  const { tasks } = await call<{ tasks: TaskMessage[] }>("POST", "/v1/claims", {
    queues: [name],
    worker: "holder",
  });
  return tasks[0] as TaskMessage;
}

/** Claims the next task and lets it die. */
async function killed(name: string): Promise<string> {
  const { id, lease } = await claimed(name);
  const body = { leaseToken: lease?.token, retry: false, error: "beyond repair" };
  await call("POST", `/v1/tasks/${id}/nack`, body);
  return id;
}

describe("dibs enqueue", () => {
  it("adds a task with every field that its flags give", async () => {
    const { code, stdout } = await dibs(
      [
        ..."enqueue all-fields --priority 7 --delay-ms 60000 --max-attempts 3 --idempotency-key k1".split(
          " ",
        ),
        ..."--tag a=1 --tag b=x=y --backoff fixed --backoff-base-ms 5 --backoff-cap-ms 6 --backoff-jitter none".split(
          " ",
        ),
        '{"to":"a@b.c"}',
      ],
      { env },
    );

    expect(code).toBe(0);
    const id = (/^(\S+) is scheduled\n$/.exec(stdout) as RegExpExecArray)[1] as string;
    const fields = {
      priority: 7,
      maxAttempts: 3,
      idempotencyKey: "k1",
      tags: { a: "1", b: "x=y" },
      payload: { to: "a@b.c" },
    };
    const added = await task(id);
    expect(added).toMatchObject(fields);
    expect(added.runAt - added.createdAt).toBe(60_000);
  });

  it("says that a key was seen before", async () => {
    const id = await enqueued("keyed", 1, { idempotencyKey: "k" });
    const again = await dibs(["enqueue", "keyed", "1", "--idempotency-key", "k"], { env });
    expect(again.stdout).toBe(`${id} is ready; the key was seen before, nothing was added\n`);
    expect((await queue("keyed")).enqueued).toBe(1);
  });

  it("takes a time as ISO 8601 and as epoch milliseconds, and no payload as null", async () => {
    const [iso] = await json<TaskMessage>("enqueue", "times", "--run-at", "2999-01-01T00:00:00Z");
    const [epoch] = await json<TaskMessage>("enqueue", "times", "--run-at", "32472144000000");
    expect(iso).toMatchObject({ runAt: 32_472_144_000_000, payload: null });
    expect(epoch).toMatchObject({ runAt: 32_472_144_000_000 });
  });

  it("reports what the server refuses, with the code and the exit code of a usage error", async () => {
    const { code, stderr } = await dibs(["enqueue", "q", "1", "--priority", "11"], { env });
    expect(code).toBe(2);
    expect(stderr).toMatch(/priority.*9.*11.*\(invalid_request\)/);
  });

  it("hands payloads on as they were written", async () => {
    const [added] = await json<{ id: string }>("enqueue", "exact", '{"big":12345678901234567890,"e":1e2}');
    const text = await (await fetch(`${server.url}/v1/tasks/${added?.id}`)).text();
    expect(text).toContain('{"big":12345678901234567890,"e":1e2}');
  });
});

describe("dibs enqueue -", () => {
  it("adds a task for each line, in order, in batches", async () => {
    const input = Array.from({ length: 2_500 }, (_, at) => `{"n":${at}}\n`).join("");

    const { code, stdout, stderr } = await dibs(["enqueue", "lines", "-"], { env, input });

    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "2,500 enqueued\n", stderr: "" });
    const listed = await json<TaskMessage>("tasks", "list", "lines", "--state", "ready", "--limit", "9999");
    expect(listed.map(({ payload }) => (payload as { n: number }).n)).toEqual(
      Array.from({ length: 2_500 }, (_, at) => at),
    );
  });

  it("reports each line that fails with its number, and goes on", async () => {
    const input = '1\n\nnonsense\n"last"';

    const { code, stdout, stderr } = await dibs(["enqueue", "faulty", "-"], { env, input });

    expect({ code, stdout }).toEqual({ code: 1, stdout: "2 enqueued, 1 failed\n" });
    expect(stderr).toMatch(/^dibs: line 3: The line is not JSON: .*\n$/);
    expect((await queue("faulty")).counts.ready).toBe(2);
  });

  it("reports what the server refused by line, and all of it as JSON lines", async () => {
    await call("PATCH", "/v1/queues/small", { maxDepth: 1 });
    const { code, stdout } = await dibs(["enqueue", "small", "-", "--json"], { env, input: "1\n2\n" });

    expect(code).toBe(1);
    expect(jsonLines(stdout)).toMatchObject([
      { line: 1, state: "ready" },
      { line: 2, error: { code: "queue_full" } },
      { totals: { enqueued: 1, deduplicated: 0, failed: 1, interrupted: false } },
    ]);
  });

  it("takes whole tasks with --tasks; their fields beat the flags", async () => {
    const input = [
      '{"payload":{"big":12345678901234567890},"priority":9,"idempotencyKey":"a"}',
      '{"payload":2}',
      '{"payload":{"big":12345678901234567890},"idempotencyKey":"a"}',
      '{"payload":3,"color":"red"}',
      '{"payload":4,"delayMs":1,"runAt":"2999-01-01T00:00:00Z"}',
      "[]",
    ].join("\n");

    const { code, stdout } = await dibs(["enqueue", "whole", "-", "--tasks", "--priority", "3"], {
      env,
      input,
    });

    expect({ code, stdout }).toEqual({ code: 1, stdout: "2 enqueued, 1 known by their key, 3 failed\n" });
    const { tasks: listed } = await call<{ tasks: TaskMessage[] }>(
      "GET",
      "/v1/queues/whole/tasks?state=ready",
    );
    expect(listed.map(({ priority }) => priority)).toEqual([9, 3]);
    const text = await (await fetch(`${server.url}/v1/queues/whole/tasks?state=ready`)).text();
    expect(text).toContain("12345678901234567890");
  });

  it("refuses a flag that is wrong for every line before it reads one", async () => {
    const { code, stdout, stderr } = await dibs(["enqueue", "q", "-", "--priority", "11"], {
      env,
      input: "1\n",
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/`priority`.*9.*11/);
  });

  it("finishes what it has read on Ctrl-C, and says how far it came", async () => {
    const command = new Command(["enqueue", "cut", "-"], { env });
    command.write(Array.from({ length: 1_003 }, (_, at) => `${at}\n`).join(""));
    // A full batch is on its way; three lines wait for more.
    await until(async () => (await fetch(`${server.url}/v1/queues/cut`)).ok);
    command.send("SIGINT");
    const { code, stdout } = await command.ended();

    expect({ code, stdout }).toEqual({ code: 130, stdout: "1,003 enqueued, interrupted\n" });
    expect((await queue("cut")).enqueued).toBe(1_003);
  });
});

describe("dibs queues", () => {
  it("lists queues as an aligned table without colours, or as one document", async () => {
    await enqueued("listed", 1);

    const { code, stdout } = await dibs(["queues", "list"], { env });

    expect(code).toBe(0);
    const [titles, ...rows] = stdout.trimEnd().split("\n");
    expect(titles).toMatch(
      /^QUEUE +READY +SCHEDULED +LEASED +COMPLETED +DEAD +CANCELLED +WAITING +OLDEST READY$/,
    );
    const row = rows.find((each) => each.startsWith("listed ")) as string;
    expect(row.slice(0, (titles as string).indexOf("READY") + 5)).toMatch(/^listed +1$/);
    expect(stdout).not.toContain("\x1b");
    const [document] = await json<{ queues: QueueMessage[] }>("queues", "list");
    expect(document?.queues.find(({ queue: name }) => name === "listed")?.counts.ready).toBe(1);
  });

  it("lists them again and again with --watch, until Ctrl-C", async () => {
    const command = new Command(["queues", "list", "--watch", "--json"], { env });
    await until(() => jsonLinesSoFar(command.stdout) >= 2);
    command.send("SIGINT");
    expect(await command.ended()).toMatchObject({ code: 130, stderr: "" });
  });

  it("shows counts, latency and configuration of one", async () => {
    await enqueued("shown", 1);
    const { stdout } = await dibs(["queues", "show", "shown"], { env });
    expect(stdout).toMatch(/^QUEUE +shown\n/);
    expect(stdout).toMatch(/\nready +1\n/);
    expect(stdout).toMatch(/\nbackoff +exponential from 1 s to 15 min, jitter full\n/);
    expect(await json("queues", "show", "shown")).toMatchObject([
      { config: { leaseMs: 30_000 }, latency: { claim: {} } },
    ]);
  });

  it("sets every part of a configuration, and nothing else", async () => {
    await enqueued("left-alone", 1);
    const before = (await queue("left-alone")).config;
    const flags =
      "--max-attempts 9 --lease-ms 5000 --max-depth 7 --backoff linear --backoff-base-ms 1 --backoff-cap-ms 2 " +
      "--backoff-jitter equal --completed-ms 20000 --completed-max 1 --dead-ms 30000 --dead-max 2 --bytes-max 3";
    const [set] = await json<QueueMessage>("queues", "set", "configured", ...flags.split(" "));

    expect(set?.config).toEqual({
      maxAttempts: 9,
      leaseMs: 5_000,
      maxDepth: 7,
      backoff: { type: "linear", baseMs: 1, capMs: 2, jitter: "equal" },
      retention: { completedMs: 20_000, completedMax: 1, deadMs: 30_000, deadMax: 2, bytesMax: 3 },
    });
    const [unset] = await json<QueueMessage>("queues", "set", "configured", "--max-depth", "none");
    expect(unset?.config).toEqual({ ...set?.config, maxDepth: null });
    expect((await queue("left-alone")).config).toEqual(before);
  });

  it("pauses and resumes", async () => {
    await enqueued("paused", 1);
    expect((await json<QueueMessage>("queues", "pause", "paused"))[0]?.paused).toBe(true);
    expect((await dibs(["queues", "list"], { env })).stdout).toContain("paused (paused)");
    expect((await json<QueueMessage>("queues", "resume", "paused"))[0]?.paused).toBe(false);
  });

  it("purges only when it may", async () => {
    await enqueued("purged", 1);

    const asked = await dibs(["queues", "purge", "purged", "--state", "ready"], { env });
    expect(asked).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("add --yes") });
    expect((await queue("purged")).counts.ready).toBe(1);
    expect(await json("queues", "purge", "purged", "--state", "ready", "--yes")).toEqual([
      { queue: "purged", state: "ready", deleted: 1 },
    ]);
    expect((await queue("purged")).counts.ready).toBe(0);
  });

  it("says that a queue does not exist", async () => {
    const { code, stderr } = await dibs(["queues", "show", "nowhere", "--json"], { env });
    expect(code).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: "queue_not_found" },
      requestId: expect.any(String),
    });
  });
});

function jsonLinesSoFar(text: string): number {
  return text.split("\n").length - 1;
}

describe("dibs tasks", () => {
  it("lists the tasks of one state or of all, at most as many as asked for", async () => {
    for (const payload of [1, 2, 3]) await enqueued("tasks", payload);
    const later = await enqueued("tasks", 4, { delayMs: 60_000 });

    const all = await json<TaskMessage>("tasks", "list", "tasks");
    expect(all.map(({ payload }) => payload)).toEqual([1, 2, 3, 4]);
    expect((await json<TaskMessage>("tasks", "list", "tasks", "--state", "scheduled"))[0]?.id).toBe(later);
    expect(await json("tasks", "list", "tasks", "--limit", "2")).toHaveLength(2);
    const { stdout } = await dibs(["tasks", "list", "tasks"], { env });
    expect(stdout.split("\n")[0]).toMatch(/^ID +STATE +PRIORITY +ATTEMPT +WHEN +PAYLOAD$/);
  });

  it("says so when there are none, on stderr", async () => {
    const { code, stdout, stderr } = await dibs(["tasks", "list", "tasks", "--state", "dead"], { env });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "No dead tasks in tasks.\n" });
  });

  it("shows everything about one, without what could move the cursor", async () => {
    const id = await enqueued("show-one", "\x1b[2J", { tags: { color: "red" } });
    const { stdout } = await dibs(["tasks", "show", id], { env });
    expect(stdout).toMatch(new RegExp(`^TASK +${id}\n`));
    expect(stdout).toMatch(/\ntag color +red\n/);
    expect(stdout).not.toContain("\x1b");
    expect(await json("tasks", "show", id)).toEqual([await task(id)]);
  });

  it("gives a result once it is there: 3 before, 0 after, 1 when there will be none", async () => {
    const id = await enqueued("results", 1);
    expect(await dibs(["tasks", "result", id], { env })).toMatchObject({
      code: 3,
      stdout: "",
      stderr: `Task ${id} is ready\n`,
    });
    expect((await dibs(["tasks", "result", id, "--wait", "10"], { env })).code).toBe(3);

    const waiting = new Command(["tasks", "result", id, "--wait"], { env });
    const { lease } = await claimed("results");
    await call("POST", `/v1/tasks/${id}/complete`, { leaseToken: lease?.token, result: { found: 42 } });

    expect(await waiting.ended()).toMatchObject({ code: 0, stdout: '{\n  "found": 42\n}\n' });
    await enqueued("results", 2);
    expect(await dibs(["tasks", "result", await killed("results")], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is dead: beyond repair"),
    });
  });

  it("cancels, requeues and takes leases away", async () => {
    const id = await enqueued("moved", 1);
    expect(await json("tasks", "cancel", id)).toEqual([{ id, state: "cancelled" }]);
    expect(await json("tasks", "requeue", id)).toEqual([{ id, state: "ready" }]);
    await claimed("moved");
    expect(await json("tasks", "release", "--force", id)).toEqual([{ id, state: "ready" }]);
    expect(await task(id)).toMatchObject({ state: "ready", attempt: 0 });
    expect(await dibs(["tasks", "release", "--force", id], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("(wrong_state)"),
    });
  });

  it("moves the others when one of several cannot be moved", async () => {
    const [a, b] = [await enqueued("several", 1), await enqueued("several", 2)];
    const { code, stdout, stderr } = await dibs(["tasks", "cancel", a, "several~AAAAAAAAAAAAAAAA", b], {
      env,
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: `${a} is cancelled\n${b} is cancelled\n` });
    expect(stderr).toContain("(task_not_found)");
  });

  it("ends quietly when whoever reads its lines has seen enough", async () => {
    const { code, stdout, stderr } = await piped(
      ["tasks", "list", "lines", "--limit", "100000", "--json"],
      "head -n 1",
      { env },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(jsonLines(stdout)).toHaveLength(1);
  });
});

describe("dibs dead", () => {
  it("lists dead letters with their reasons, and brings them back", async () => {
    for (const payload of [1, 2, 3]) await enqueued("letters", payload);
    for (let letter = 1; letter <= 3; letter += 1) await killed("letters");

    const { stdout } = await dibs(["dead", "list", "letters"], { env });
    expect(stdout.split("\n")[0]).toMatch(/^ID +DIED +REASON +ATTEMPTS +LAST ERROR$/);
    expect(stdout.match(/refused +1 +beyond repair$/gm)).toHaveLength(3);
    expect(await json("dead", "requeue", "letters", "--limit", "1")).toEqual([
      { queue: "letters", requeued: 1 },
    ]);
    expect(await json("dead", "list", "letters")).toHaveLength(2);
    expect(await json("dead", "requeue", "letters")).toEqual([{ queue: "letters", requeued: 2 }]);
    expect((await queue("letters")).counts).toMatchObject({ ready: 3, dead: 0 });
  });
});

describe("--store", () => {
  it("works on a folder without a server", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dibs-cli-"));
    try {
      expect((await dibs(["enqueue", "q", "1", "--store", "data"], { cwd: folder })).code).toBe(0);
      const { stdout } = await dibs(["tasks", "list", "q", "--store", join(folder, "data"), "--json"]);
      expect(jsonLines(stdout)).toMatchObject([{ queue: "q", payload: 1 }]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("refuses to look at a folder that is not there, and makes none", async () => {
    const { code, stderr } = await dibs(["queues", "list", "--store", "/nonexistent/dibs"]);
    expect(code).toBe(2);
    expect(stderr).toContain("There is no store at /nonexistent/dibs");
  });

  it("says which server has the folder, and the way to it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dibs-cli-"));
    const holder = await ServerProcess.start(folder);
    try {
      const { code, stderr } = await dibs(["queues", "list", "--store", folder]);
      expect(code).toBe(1);
      expect(stderr).toContain("(storage_unavailable)");
      expect(stderr).toContain(holder.url);
      expect(stderr).toContain(`${holder.pid}`);
    } finally {
      await holder.stop();
      await rm(folder, { recursive: true });
    }
  });

  it("lets go of the folder on Ctrl-C", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dibs-cli-"));
    try {
      const watching = new Command(["queues", "list", "--watch", "--json", "--store", folder]);
      await watching.says(/queues/);
      watching.send("SIGINT");
      expect((await watching.ended()).code).toBe(130);
      expect((await dibs(["queues", "list", "--store", folder])).code).toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("a token", () => {
  it("is asked for by a server that has some, and shown with --token or DIBS_TOKEN", async () => {
    const guarded = await ServerProcess.start("memory:", [], { env: { DIBS_TOKENS: "first,s3cret" } });
    try {
      const list = ["queues", "list", "--url", guarded.url];
      const refused = await dibs(list);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("(unauthorized)") });
      expect((await dibs([...list, "--token", "s3cret"])).code).toBe(0);
      expect((await dibs(list, { env: { DIBS_TOKEN: "first" } })).code).toBe(0);
      expect((await fetch(`${guarded.url}/readyz`)).status).toBe(200);
    } finally {
      await guarded.stop();
    }
  });
});

describe("a config file", () => {
  it("sets what the environment and the flags leave out", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dibs-cli-"));
    const config = join(folder, "dibs.jsonc");
    await writeFile(config, `{ // the server of this test\n "url": "${server.url}", }`);
    try {
      expect((await dibs(["queues", "list", "--config", config])).code).toBe(0);
      expect((await dibs(["queues", "list"], { env: { DIBS_CONFIG: config } })).code).toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
