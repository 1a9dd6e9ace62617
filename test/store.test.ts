import { existsSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { connect } from "../src/connect.ts";
import type { Dibs } from "../src/sdk/client.ts";
import { type Command, type CommandEnd, dibs, jsonLines, ServerProcess } from "./command.ts";

const running: Command[] = [];
const places: string[] = [];

afterEach(async () => {
  for (const command of running.splice(0)) await command.stop();
  for (const place of places.splice(0)) rmSync(place, { recursive: true, force: true });
});

/** A place for folders; its name needs quotes in a shell. */
function aPlace(): string {
  const place = mkdtempSync(join(tmpdir(), "dibs store's "));
  places.push(place);
  return place;
}

async function serve(folder: string): Promise<ServerProcess> {
  const server = await ServerProcess.start(folder);
  running.push(server);
  return server;
}

async function asClient<T>({ url }: ServerProcess, use: (client: Dibs) => Promise<T>): Promise<T> {
  const client = await connect(url);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

/** A folder with some megabytes of tasks, of which some are done. Returns the ids of all. */
async function furnished(folder: string): Promise<Set<string>> {
  const server = await serve(folder);
  const ids = new Set<string>();
  await asClient(server, async (client) => {
    for (let n = 0; n < 60; n += 1) {
      for (let i = 0; i < 5; i += 1)
        ids.add((await client.enqueue("emails", { n, i, text: "x".repeat(500) })).id);
      const [task] = await client.claim({ queues: ["emails"] });
      if (task !== undefined)
        await client.settle([{ id: task.id, leaseToken: task.lease.token, outcome: "complete" }]);
    }
  });
  await server.terminate();
  return ids;
}

/** Writes over a page in the middle of the journal's first segment. */
function overwriteAPage(folder: string): void {
  const path = join(folder, "journal-0000000001.log");
  const middle = Math.floor(statSync(path).size / 2 / 4_096) * 4_096;
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(4_096, 0xa5), 0, 4_096, middle);
}

/** The commands in a text, each on a line of its own, as a person would copy them into a shell. */
function commandsIn(text: string): string[] {
  return [...text.matchAll(/^ {2}(dibs .+)$/gm)].map(([, command]) => command as string);
}

/** Runs a line in a shell, in which `dibs` is ours. */
function shell(line: string): Promise<CommandEnd> {
  return dibs([], {
    through: ["bash", "-c", `dibs() { "$0" "$MAIN" "$@"; }; ${line}`, process.execPath],
    env: { MAIN },
  });
}

const MAIN = new URL("../dist/cli/main.js", import.meta.url).pathname;

describe("a folder with a damaged page", () => {
  it("is led from the error to a running server, and a list of what was lost, by what is printed", async () => {
    const place = aPlace();
    const folder = join(place, "data");
    const ids = await furnished(folder);
    overwriteAPage(folder);

    const refused = await dibs(["serve", "--store", folder, "--port", "0"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("The journal is damaged: journal-0000000001.log in ");
    const [verify, salvage, serveAgain] = commandsIn(refused.stderr) as [string, string, string];

    const verified = await shell(verify);
    expect([verified.code, verified.stdout]).toEqual([
      1,
      expect.stringMatching(/journal-0000000001\.log +\d+ +\d+ +a checksum/),
    ]);
    expect(commandsIn(verified.stderr)).toEqual([salvage, serveAgain]);

    const salvaged = await shell(salvage);
    expect([salvaged.code, salvaged.stderr]).toEqual([0, ""]);
    expect(salvaged.stdout).toMatch(
      /^\d+ calls that enqueued, claimed, settled or removed tasks stood there\.$/m,
    );
    const lost = [...salvaged.stdout.matchAll(/^ {2}(emails~\S+) {2}/gm)].map(([, id]) => id as string);
    expect(lost.length).toBeGreaterThan(0);
    for (const id of lost) expect(ids.has(id)).toBe(true);
    expect(commandsIn(salvaged.stdout)).toEqual([serveAgain]);

    const served = new ServerProcess(
      ["-c", `dibs() { exec "$0" "$MAIN" "$@"; }; ${serveAgain} --port 0`, process.execPath],
      {
        through: ["bash"],
        env: { MAIN },
      },
    );
    running.push(served);
    const [, url] = (await served.says(/ready at (\S+)/)) as unknown as [string, string];
    const client = await connect(url);
    const found = new Set<string>();
    for (const state of ["ready", "leased", "completed"] as const) {
      for await (const task of client.queue("emails").tasks({ state })) found.add(task.id);
    }
    const saved = Number(/Saved ([\d,]+) tasks/.exec(salvaged.stdout)?.[1]);
    expect(found.size).toBe(saved);
    expect(saved).toBeGreaterThan(ids.size * 0.9);
    for (const id of found) expect(ids.has(id)).toBe(true);
    for (const id of lost) expect(found.has(id)).toBe(false);
    expect((await client.claim({ queues: ["emails"] })).length).toBe(1);
    await client.close();
  });

  it("is told to machines as JSON, a line for each loss", async () => {
    const place = aPlace();
    const folder = join(place, "data");
    await furnished(folder);
    overwriteAPage(folder);

    const verified = await dibs(["store", "verify", folder, "--json"]);
    const salvaged = await dibs(["store", "salvage", folder, join(place, "saved"), "--json"]);

    expect(jsonLines(verified.stdout)).toEqual([
      expect.objectContaining({ folder, isSound: false, broken: [] }),
    ]);
    expect(jsonLines(verified.stderr)).toEqual([{ error: expect.objectContaining({ code: "failed" }) }]);
    const lines = jsonLines(salvaged.stdout) as Record<string, unknown>[];
    const totals = lines.at(-1) as { lost: number; gaps: number; tasks: number };
    expect(lines.filter((line) => typeof line["lost"] === "object")).toHaveLength(totals.lost);
    expect(lines.filter((line) => typeof line["gap"] === "object")).toHaveLength(totals.gaps);
    expect(totals).toMatchObject({
      from: folder,
      to: join(place, "saved"),
      gaps: 1,
      calls: expect.any(Number),
    });
    expect(totals.tasks).toBeGreaterThan(0);
  });
});

describe("the folder of a server at work", () => {
  it("is verified and backed up meanwhile; the copy has all that was answered before, and is served", async () => {
    const place = aPlace();
    const folder = join(place, "data");
    const server = await serve(folder);
    const answered = await asClient(server, async (client) => {
      const ids: string[] = [];
      let isOver = false;
      const load = (async () => {
        while (!isOver) {
          const added = await client.enqueueMany(
            "emails",
            Array.from({ length: 20 }, (_, n) => ({ n })),
          );
          for (const { task } of added) if (task !== undefined) ids.push(task.id);
          const tasks = await client.claim({ queues: ["emails"], max: 5 });
          await client.settle(
            tasks.map(({ id, lease }) => ({ id, leaseToken: lease.token, outcome: "complete" })),
          );
        }
      })();
      await expect.poll(() => ids.length, { timeout: 30_000 }).toBeGreaterThan(200);
      const before = ids.length;
      const verified = await dibs(["store", "verify", folder]);
      expect([verified.code, verified.stdout]).toEqual([0, expect.stringContaining("is sound")]);
      const backup = await dibs(["store", "backup", folder, join(place, "copy")]);
      expect([backup.code, backup.stdout]).toEqual([0, expect.stringContaining("every checksum right")]);
      const refused = await dibs(["store", "salvage", folder, join(place, "saved")]);
      expect([refused.code, refused.stderr]).toEqual([
        1,
        expect.stringContaining(`is held by process ${server.pid}`),
      ]);
      isOver = true;
      await load;
      return ids.slice(0, before);
    });

    const restored = await serve(join(place, "copy"));
    await asClient(restored, async (client) => {
      for (const id of answered) expect((await client.task(id)).id).toBe(id);
      expect((await client.claim({ queues: ["emails"] })).length).toBe(1);
    });
    expect(server.isRunning).toBe(true);
  });
});

describe("dibs store", () => {
  it.each([
    [["verify", "/nowhere/at/all"], "/nowhere/at/all is not a store of Dibs: there is no such folder"],
    [["verify", "redis://user:s3cret@10.0.0.1"], "Expected the folder of a store, got redis:…"],
    [["verify", "http://127.0.0.1:4510"], "Name the folder that the server serves"],
    [["salvage", "/nowhere", "/nowhere.saved"], "/nowhere is not a store of Dibs"],
    [["salvage", "/nowhere", "/nowhere.saved", "--queue", "emails"], "Expected number=name"],
    [["salvage", "/nowhere"], "missing required argument 'to'"],
    [["backup", "/nowhere", "/nowhere.copy"], "/nowhere is not a store of Dibs"],
  ])("refuses %j with exit code 2 and says why", async (args, why) => {
    const end = await dibs(["store", ...args]);

    expect([end.code, end.stdout]).toEqual([2, ""]);
    expect(end.stderr).toContain(why);
    expect(end.stderr).not.toContain("s3cret");
    expect(existsSync("/nowhere.copy")).toBe(false);
  });
});
