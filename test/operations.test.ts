import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connect } from "../src/connect.ts";
import type { Dibs } from "../src/sdk/client.ts";
import { dibs as runDibs, ServerProcess } from "./command.ts";
import { blocksIn, rowsUnder, sectionOf } from "./markdown.ts";
import { isInstalled, Program, pathOf, userFolder } from "./program.ts";
import { startRedis } from "./redis/servers/redis-server.ts";
import { filesIn, read } from "./source-tree.ts";

// The document is for someone who has no time to find out that a command in it does not work.
const operations = read("docs/operations.md");
const missing = ["bash", "curl"].filter((command) => !isInstalled(command));
const why = missing.length === 0 ? "" : ` (left out: ${missing.join(", ")} is not installed)`;
const STATES = ["scheduled", "ready", "completed", "dead", "cancelled"] as const;

let user: Awaited<ReturnType<typeof userFolder>>;
let server: ServerProcess;
let dibs: Dibs;
let ids: { readonly leased: string; readonly dead: string };
const running: Program[] = [];

beforeAll(async () => {
  user = await userFolder();
  server = await ServerProcess.start(join(user.path, "data"));
  dibs = await connect(server.url);
});

/** A queue with a task in every state. */
beforeEach(async () => {
  const claimOne = async () =>
    (await dibs.claim({ queues: ["emails"] }))[0] as { id: string; lease: { token: string } };
  const take = async (outcome: "complete" | "nack") => {
    await dibs.enqueue("emails", { to: outcome }, { priority: 9 });
    const { id, lease } = await claimOne();
    const how = outcome === "nack" ? { outcome, retry: false, error: "550 no such user" } : { outcome };
    await dibs.settle([{ id, leaseToken: lease.token, ...how }]);
    return id;
  };
  await take("complete");
  const dead = await take("nack");
  await dibs.enqueue("emails", { to: "leased" }, { priority: 9 });
  ids = { leased: (await claimOne()).id, dead };
  await dibs.enqueue("emails", { to: "ready" });
  await dibs.enqueue("emails", { to: "scheduled" }, { delayMs: 60_000 });
  await dibs.cancel(await dibs.enqueue("emails", { to: "cancelled" }));
});

afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
  for await (const task of dibs.queue("emails").tasks({ state: "leased" })) await dibs.cancel(task);
  for (const state of STATES) await dibs.queue("emails").purge(state);
});

afterAll(async () => {
  await dibs.close();
  await server.stop();
  await user.remove();
});

function shell(script: string): Program {
  const id = script.includes("release") ? ids.leased : ids.dead;
  const env = { PATH: pathOf(user.path), DIBS_URL: server.url, id };
  const program = new Program("bash", ["-euo", "pipefail", "-c", script], { cwd: user.path, env });
  running.push(program);
  return program;
}

describe("the commands of docs/operations.md", () => {
  const blocks = blocksIn(operations, "bash").map((block) => block.replace(/^export DIBS_URL=.*\n/m, ""));
  const named = blocks.map((block): [string, string] => [block.trim().split("\n").join("; "), block]);

  it.skipIf(missing.length > 0).each(named)(`work: %s${why}`, async (_, block) => {
    const program = shell(block);

    expect([await program.ended(), program.output]).toEqual([0, expect.stringMatching(/\S|^$/)]);
    expect(program.output).not.toMatch(/dibs: |"error"/);
  });

  it.skipIf(missing.length > 0)(
    `do what they say: release, requeue, keep and enqueue again${why}`,
    async () => {
      const block = (word: string) => blocks.find((each) => each.includes(word)) as string;

      await shell(block("release --force")).ended();
      expect(await dibs.task(ids.leased)).toMatchObject({ state: "ready", attempt: 0 });

      await shell(block("--json > dead-emails.ndjson")).ended();
      await shell(block("< dead-emails.ndjson")).ended();
      const again = [];
      for await (const task of dibs.queue("emails").tasks({ state: "ready" })) again.push(task.payload);
      expect(again).toContainEqual({ to: "nack" });

      await shell(block("dead requeue")).ended();
      expect(await dibs.task(ids.dead)).toMatchObject({ state: "ready", attempt: 0 });
    },
  );
});

describe("the messages that docs/operations.md explains", () => {
  it("are those of the source", () => {
    const source = filesIn("src", "scripts")
      .map(read)
      .join("\n")
      .replace(/["`] \+\s+["`]/g, "");
    const system = /^(ENOSPC|EACCES|EROFS)$/;
    const sections = ["It does not start", "Redis is away", "What a start says of Redis"];
    const rows = sections.flatMap((title) =>
      rowsUnder(sectionOf(operations, title)).map(([says = ""]) => says),
    );
    const quoted = [...operations.matchAll(/^\*\*`(.*)`\*\*/gm)].map(([, says]) => says as string);
    const pieces = [
      ...rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, says]) => says as string)),
      ...quoted,
    ]
      .flatMap((says) => says.split(/…|\.{3}|`|\*\*|, \*\*|journal-/))
      .map((piece) => piece.trim())
      .filter((piece) => piece.length > 3 && !system.test(piece));

    expect(pieces.filter((piece) => !source.includes(piece))).toEqual([]);
    expect(pieces.length).toBeGreaterThan(15);
  });
});

describe("the user of Redis that docs/operations.md makes", () => {
  it("has the rights that a server, its checks and its workers need, and no others", async () => {
    const [line = ""] = blocksIn(operations, "redis");
    const [, , user = "", ...rights] = line.trim().split(" ");
    const redis = await startRedis({ appendonly: "everysec", args: ["--user", user, ...rights] });
    const url = redis.url.replace("redis://", `redis://${user}:s3cret@`);
    const strict = await ServerProcess.start(url, ["--strict"]);

    await using client = await connect(strict.url);
    client.work("emails", async ({ attempt }) => {
      if (attempt === 1) throw new Error("once");
      return "sent";
    });
    const task = await client.enqueue(
      "emails",
      { to: "ada" },
      { delayMs: 20, backoff: { type: "fixed", baseMs: 20 } },
    );
    expect(await client.waitForResult(task, { timeoutMs: 20_000 })).toBe("sent");

    await strict.stop();
    expect(rights.filter((right) => right.startsWith("+"))).toEqual(["+@all", "+info", "+config|get"]);
    await redis.stop();
  });
});

describe("a copy of the folder", () => {
  it("that is made as the document says, of a server at work, has all that was acknowledged", async () => {
    const [copy = ""] = blocksIn(sectionOf(operations, "Backup and restore"), "sh");
    const folder = await mkdtemp(join(tmpdir(), "dibs-backup-"));
    const served = await ServerProcess.start(join(folder, "data"));
    const client = await connect(served.url);
    await client.enqueueMany(
      "emails",
      Array.from({ length: 100 }, (_, index) => ({ index })),
    );
    await client.close();

    const env = { PATH: pathOf(user.path) };
    const copying = new Program("sh", ["-ec", copy], { cwd: folder, env });
    expect(await copying.ended()).toBe(0);
    const list = ["queues", "list", "--store", "./backups/monday", "--json"];
    const { stdout } = await runDibs(list, { cwd: folder });
    await served.terminate();
    await rm(folder, { recursive: true, force: true });

    expect(JSON.parse(stdout).queues).toMatchObject([{ queue: "emails", counts: { ready: 100 } }]);
  });
});
