import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { readConfig, SETTING_NAMES, variableOf } from "../src/config.ts";
import { COST } from "../src/storage/embedded/memory.ts";
import { LIMITS } from "../src/task/limits.ts";
import { DEFAULT_QUEUE_CONFIG } from "../src/task/queue.ts";
import { ServerProcess } from "./command.ts";
import { compile } from "./compile.ts";
import { blocksIn, rowsUnder, sectionOf } from "./markdown.ts";
import { isInstalled, Program, pathOf, userFolder } from "./program.ts";
import { type RedisCluster, startCluster } from "./redis/servers/redis-cluster.ts";
import { type RedisServer, startRedis } from "./redis/servers/redis-server.ts";
import { read, root } from "./source-tree.ts";

// The README is used as its reader uses it: every block is run as it is printed, only the port is another.
const readme = read("README.md");
const PRINTED_URL = "http://127.0.0.1:4510";
const withoutCurl =
  isInstalled("curl") && isInstalled("bash") ? "" : " (left out: curl or bash is not installed)";

let server: ServerProcess;
let redis: RedisServer;
let cluster: RedisCluster;
let user: Awaited<ReturnType<typeof userFolder>>;
const running: Program[] = [];

beforeAll(async () => {
  server = await ServerProcess.start("memory:");
  user = await userFolder();
  [redis, cluster] = await Promise.all([
    startRedis({ appendonly: "everysec" }),
    startCluster({ appendonly: "everysec" }),
  ]);
});

afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
});

afterAll(async () => {
  await server.stop();
  await redis.stop();
  await cluster.stop();
  await user.remove();
});

function start(command: string, ...args: string[]): Program {
  const env = { PATH: pathOf(user.path), DIBS_URL: server.url };
  const program = new Program(command, args, { cwd: user.path, env });
  running.push(program);
  return program;
}

const here = (text: string) => text.replaceAll(PRINTED_URL, server.url);

async function get(path: string): Promise<Record<string, unknown>> {
  return (await fetch(server.url + path)).json() as Promise<Record<string, unknown>>;
}

describe("the README's start", () => {
  const [startBlock, curlBlock] = blocksIn(sectionOf(readme, "Start"), "bash") as [string, string];

  it("begins with a command that package.json has, and shows what the server says", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dibs-readme-"));
    const serving = start(
      process.execPath,
      join(root, "dist/cli/main.js"),
      "serve",
      "--port",
      "0",
      "--store",
      folder,
    );
    const [line, url] = (await serving.says(/^dibs is ready at (\S+) .*$/m)) as unknown as [string, string];
    await serving.stop();
    await rm(folder, { recursive: true, force: true });

    expect(startBlock.trim()).toBe("npm start");
    expect(JSON.parse(read("package.json")).scripts.start).toContain("scripts/start.mjs serve");
    const [shown] = blocksIn(sectionOf(readme, "Start"), "text");
    expect(shown?.trim()).toBe(line.replace(url, PRINTED_URL).replace(folder, "./data"));
  });

  it.skipIf(withoutCurl !== "")(`enqueues, claims and completes word for word${withoutCurl}`, async () => {
    const shell = start("bash", "-c", here(curlBlock));
    const code = await shell.ended();

    expect(code).toBe(0);
    const [, id] = await shell.says(/"id":"(emails~[^"]+)"/);
    expect(await get(`/v1/tasks/${id}`)).toMatchObject({
      state: "completed",
      payload: { to: "ada@example.com" },
      result: { sent: true },
    });
    expect(shell.output).toMatch(/\{"state":"completed","result":\{"sent": ?true\},"finishedAt":\d+\}\n$/);
  });
});

describe("the README's worker", () => {
  const [program = ""] = blocksIn(sectionOf(readme, "A first worker"), "js");
  const [typed = ""] = blocksIn(sectionOf(readme, "A first worker"), "ts");

  it("is about twenty lines, with one place to connect to", () => {
    expect(program.trim().split("\n").length).toBeLessThanOrEqual(22);
    expect(program.split(PRINTED_URL).length).toBe(2);
  });

  it.each([
    ["against a server", () => server.url],
    ["against a folder", () => "./mail"],
    ["against a Redis", () => redis.url],
    ["against a Redis Cluster", () => cluster.url],
  ])("runs as printed %s, and ends when it is told to", async (_, place) => {
    await writeFile(join(user.path, "worker.mjs"), program.replace(PRINTED_URL, place()));

    const worker = start(process.execPath, "worker.mjs");
    const [, id] = await worker.says(/^Sent as (emails~\S+)@example\.com$/m);
    worker.send("SIGTERM");

    expect(await worker.ended()).toBe(0);
    expect(worker.output).toContain("Attempt 1: a mail to ada@example.com");
    expect(id).toMatch(/^emails~/);
  });

  it("moves from a folder to Redis to a cluster by the one line that the README shows", () => {
    const [moves = ""] = blocksIn(sectionOf(readme, "From one process to many"), "js");
    const places = moves
      .trim()
      .split("\n")
      .map((line) => /^const place = "([^"]+)"; \/\/ /.exec(line)?.[1]);
    const kindOf = (place = "") => place.replace(/\d+/g, "N");

    expect(places[0]).toBe("./mail");
    expect(places.slice(1).map(kindOf)).toEqual([kindOf(redis.url), kindOf(cluster.url.split(",")[0])]);
    expect(program).toContain("const place = ");
  });

  it("has a typed form that compiles", async () => {
    await writeFile(join(user.path, "typed.ts"), typed);
    await writeFile(join(user.path, "wrong.ts"), typed.replace('"cat.png"', "17"));

    // What does not fit its definition is refused, and nothing else.
    const complaints = await compile(user.path, "typed.ts", "wrong.ts");
    expect(complaints).toContain("Type 'number' is not assignable to type 'string'");
    expect(complaints.replaceAll("wrong.ts", "")).not.toContain(".ts");
  });
});

describe("the README's shell worker", () => {
  it("turns what a command prints into the result", async () => {
    const [block = ""] = blocksIn(sectionOf(readme, "A shell command as the worker"), "bash");
    const commands = block.replaceAll("npx dibs", "dibs").trim().split("\n");

    const enqueueing = start("sh", "-c", commands[0] as string);
    const [, id] = await enqueueing.says(/^(shouts~\S+) is ready$/m);
    start("sh", "-c", `exec ${commands[1]}`);

    expect(commands).toHaveLength(2);
    expect(await get(`/v1/tasks/${id}/result?waitMs=20000`)).toMatchObject({
      state: "completed",
      result: "HELLO",
    });
  });
});

describe("the README's facts", () => {
  const tableOf = (section: string) => rowsUnder(sectionOf(readme, section));

  it("name the file that npm pack makes", () => {
    const { name, version } = JSON.parse(read("package.json"));
    const [block] = blocksIn(sectionOf(readme, "Install"), "bash");

    expect(block?.trim()).toBe(`npm install ../${name}/${name}-${version}.tgz`);
    expect(sectionOf(readme, "Install")).toContain(`\`${name}-${version}.tgz\``);
  });

  it("list every setting with its default", () => {
    const shown = new Map(
      tableOf("Configuration").map(([name = "", value = ""]) => [bare(name), bare(value)]),
    );
    const { config } = readConfig({ env: {} });
    const expected = SETTING_NAMES.map((name) => [variableOf(name), shownAs(config[name])] as const);

    expect(shown).toEqual(new Map([...expected, ["DIBS_CONFIG", "none"]]));
  });

  it("state the limits that hold", () => {
    const limits = new Map(tableOf("Limits").map(([what = "", limit = ""]) => [what, limit]));
    const { payloadBytesMax, bodyBytesMax, jsonDepthMax } = LIMITS;
    const mib = (bytes: number) => `${bytes / 1024 / 1024} MiB`;
    const kib = (bytes: number) => `${bytes / 1024} KiB`;
    const hours = (ms: number) => ms / 3_600_000;
    const count = (number: number) => number.toLocaleString("en-US");

    expect(limits).toEqual(
      new Map([
        ["queue name", `1 to ${LIMITS.queueLengthMax} of \`A-Z a-z 0-9 . _ -\`, the first a letter or digit`],
        [
          "payload, result",
          `${mib(payloadBytesMax)} of JSON each (\`DIBS_PAYLOAD_BYTES_MAX\`, at most ${mib(bodyBytesMax)}), nested at most ${jsonDepthMax} deep`,
        ],
        ["request body; the payloads of one claim; a page of a listing", mib(bodyBytesMax)],
        ["tasks in a batch; outcomes of a settle; tasks of a claim", count(LIMITS.batchMax)],
        ["queues of a claim, of a worker", `${LIMITS.claimQueuesMax}`],
        [
          "lease",
          `${LIMITS.leaseMsMin / 1_000} second to ${hours(LIMITS.leaseMsMax)} hours, ${DEFAULT_QUEUE_CONFIG.leaseMs / 1_000} seconds unless configured`,
        ],
        ["wait of a claim, of a result", `${LIMITS.waitMsMax / 1_000} seconds; the SDK asks again by itself`],
        [
          "attempts",
          `${LIMITS.maxAttemptsMin} to ${LIMITS.maxAttemptsMax}, ${DEFAULT_QUEUE_CONFIG.maxAttempts} unless configured`,
        ],
        ["delay", `${hours(LIMITS.delayMsMax) / 24 / 366} years`],
        ["priority", `${LIMITS.priorityMin} to ${LIMITS.priorityMax}`],
        [
          "idempotency key",
          `${LIMITS.idempotencyKeyLengthMax} characters, remembered for ${hours(LIMITS.idempotencyKeyMs)} hours`,
        ],
        [
          "tags",
          `${LIMITS.tagsMax}, keys of ${LIMITS.tagKeyLengthMax} and values of ${count(LIMITS.tagValueLengthMax)} characters`,
        ],
        [
          "error of an attempt",
          `${kib(LIMITS.errorBytesMax)}; the last ${LIMITS.failuresMax} failures are kept, ${kib(LIMITS.failureErrorBytesMax)} each`,
        ],
        ["releases of a task that give the attempt back", `${LIMITS.releasesMax}`],
        [
          "tasks in a store",
          "10 million (`DIBS_TASKS_MAX`), about 1.3 GB of memory; then enqueue says `queue_full`",
        ],
        [
          "memory for tasks and idempotency keys",
          `half of what the process's heap may grow to (\`DIBS_MEMORY_BYTES_MAX\`), counting ${COST.task} bytes a task and ${COST.key} and its text a key; then enqueue says \`queue_full\``,
        ],
      ]),
    );
    expect(LIMITS.claimMax).toBe(LIMITS.batchMax);
    expect(readConfig({ env: {} }).config.tasksMax).toBe(10_000_000);
  });

  it("mention only npm scripts that exist", () => {
    const scripts = Object.keys(JSON.parse(read("package.json")).scripts);
    const mentioned = [...readme.matchAll(/\bnpm run (\w+)/g)].map(([, name]) => name);

    expect(mentioned.length).toBeGreaterThan(1);
    expect(mentioned.filter((name) => !scripts.includes(name as string))).toEqual([]);
  });
});

/** A cell without its code marks. */
function bare(cell: string): string {
  return cell.replaceAll("`", "");
}

function shownAs(value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return "none";
  if (typeof value === "object" && value !== null && "folder" in value) return String(value.folder);
  return String(value);
}
