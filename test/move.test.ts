import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { aQueue, tasks } from "../src/storage/contract/builders.ts";
import { EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import { RedisStorage } from "../src/storage/redis/redis-storage.ts";
import type { Storage } from "../src/storage/storage.ts";
import { Command, type CommandEnd, dibs, jsonLines, ServerProcess } from "./command.ts";
import { Random } from "./crash/random.ts";
import { assertLivesOn, furnish, pictureOf } from "./move/household.ts";
import { startCluster } from "./redis/servers/redis-cluster.ts";
import { freshPrefix, redisUrl } from "./redis/servers/redis-url.ts";

const SEED = Number(process.env["DIBS_TEST_SEED"] ?? Date.now() % 1_000_000);
const TASKS = Number(process.env["DIBS_TEST_MOVE_TASKS"] ?? 4_000);
/** Killed so often in each move, unless it ends before. */
const KILLS = Number(process.env["DIBS_TEST_MOVE_KILLS"] ?? 4);

const QUEUE = aQueue("emails");
const folders: string[] = [];
const running: Command[] = [];

afterEach(async () => {
  for (const command of running.splice(0)) await command.stop();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-move-"));
  folders.push(folder);
  return folder;
}

/** A store as a test opens it, and as the command line names it. */
interface Place {
  readonly text: string;
  readonly prefix: string;
  open(): Promise<Storage>;
}

async function folderPlace(): Promise<Place> {
  const folder = await aFolder();
  return { text: folder, prefix: "dibs", open: () => EmbeddedStorage.open({ folder }) };
}

function redisPlace(url: string): Place {
  const prefix = freshPrefix();
  return { text: url, prefix, open: () => RedisStorage.open({ url, prefix }) };
}

async function using<T>(place: Place, use: (storage: Storage) => Promise<T>): Promise<T> {
  const storage = await place.open();
  try {
    return await use(storage);
  } finally {
    await storage.close();
  }
}

function moveArgs(from: Place, to: Place, ...flags: readonly string[]): readonly string[] {
  const prefixes = ["--from-prefix", from.prefix, "--to-prefix", to.prefix];
  return ["move", from.text, to.text, ...prefixes, "--json", ...flags];
}

function started(args: readonly string[]): Command {
  const command = new Command(args, { input: "" });
  running.push(command);
  return command;
}

/** The last line of a move: its report. */
function reportOf(end: CommandEnd): Record<string, unknown> {
  assert.equal(end.code, 0, end.stderr);
  return jsonLines(end.stdout).at(-1) as Record<string, unknown>;
}

describe("dibs move", () => {
  it("moves a folder to another one, and leaves the old one as it was until --finish", async () => {
    const [from, to] = [await folderPlace(), await folderPlace()];
    const memories = await using(from, (storage) => furnish(storage, 1_200, new Random(SEED)));
    const before = await using(from, pictureOf);

    const moved = reportOf(await dibs(moveArgs(from, to)));

    expect(moved).toMatchObject({ outcome: "moved", removed: 0 });
    expect(await using(from, pictureOf)).toEqual(before);
    expect(await using(to, pictureOf)).toEqual(before);
    expect(reportOf(await dibs(moveArgs(from, to, "--finish", "--yes")))).toMatchObject({
      outcome: "finished",
      removed: moved["imported"],
    });
    for (const { counts } of (await using(from, pictureOf)).snapshots)
      expect(Object.values(counts)).toEqual([0, 0, 0, 0, 0, 0]);
    await using(to, (storage) => assertLivesOn(storage, before, memories));
  });

  it("tells people what it did, and what to do next", async () => {
    const [from, to] = [await folderPlace(), await folderPlace()];
    await using(from, (storage) => storage.enqueue(QUEUE, tasks(12)));

    const { code, stdout, stderr } = await dibs(["move", from.text, to.text]);

    expect(code).toBe(0);
    expect(stdout).toMatch(/^QUEUE +SCHEDULED +READY/m);
    expect(stdout).toMatch(/^emails +0 +12 /m);
    expect(stdout).toContain("Audit passed: both stores held the same 12 tasks.");
    expect(stdout).toContain("serve only the new store from now on");
    expect(stderr).toContain("--finish");
  });

  it("goes from a folder to Redis, a cluster and back, killed at random moments, and nothing is different", async () => {
    const random = new Random(SEED);
    process.stdout.write(`move: DIBS_TEST_SEED=${SEED} DIBS_TEST_MOVE_TASKS=${TASKS}\n`);
    const cluster = await startCluster();
    onTestFinished(() => cluster.stop());
    const home = await folderPlace();
    const way = [home, redisPlace(await redisUrl()), redisPlace(cluster.url), await folderPlace()];
    const memories = await using(home, (storage) => furnish(storage, TASKS, random));
    const before = await using(home, pictureOf);

    let kills = 0;
    for (const [step, from] of way.slice(0, -1).entries()) {
      const to = way[step + 1] as Place;
      kills += await movedThroughKills(moveArgs(from, to, "--finish", "--yes"), random);
      expect(await using(to, pictureOf)).toEqual(before);
      const left = await using(from, pictureOf);
      for (const { counts } of left.snapshots) expect(Object.values(counts)).toEqual([0, 0, 0, 0, 0, 0]);
    }

    expect(kills).toBeGreaterThanOrEqual(way.length - 1);
    await using(way.at(-1) as Place, (storage) => assertLivesOn(storage, before, memories));
  }, 240_000);

  it("stops at Ctrl-C, and goes on when it is told again", async () => {
    const [from, to] = [await folderPlace(), await folderPlace()];
    await using(from, (storage) => furnish(storage, 3_000, new Random(SEED)));
    const before = await using(from, pictureOf);
    const move = started(moveArgs(from, to));
    await move.says(/"progress"/);

    move.send("SIGINT");

    expect((await move.ended()).code).toBe(130);
    const refused = await dibs(["serve", "--store", to.text, "--port", "0", "--json"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("is half filled by a move from");
    reportOf(await dibs(moveArgs(from, to)));
    expect(await using(to, pictureOf)).toEqual(before);
  });

  it("refuses what is served: a folder by its lock, a Redis by who listens there", async () => {
    const [folder, elsewhere] = [await folderPlace(), await folderPlace()];
    const redis = redisPlace(await redisUrl());
    const server = await ServerProcess.start(folder.text);
    running.push(server);
    const broker = await redis.open();
    onTestFinished(() => broker.close());
    await broker.enqueue(QUEUE, tasks(3));

    const held = await dibs(moveArgs(folder, elsewhere));
    const heard = await dibs(moveArgs(redis, elsewhere));

    expect(held.code).toBe(1);
    expect(held.stderr).toContain(server.url);
    expect(heard.code).toBe(1);
    expect(heard.stderr).toContain("Another process has");
    await broker.close();
    expect(reportOf(await dibs(moveArgs(redis, elsewhere)))).toMatchObject({ imported: 3 });
  });

  it("is refused into a cluster that somebody uses, at whichever node he listens", async () => {
    const cluster = await startCluster();
    onTestFinished(() => cluster.stop());
    const from = await folderPlace();
    await using(from, (storage) => storage.enqueue(QUEUE, tasks(3)));
    for (const { port } of cluster.nodes) {
      const to = redisPlace(cluster.url);
      const broker = await RedisStorage.open({ url: `redis+cluster://127.0.0.1:${port}`, prefix: to.prefix });
      onTestFinished(() => broker.close());

      const refused = await dibs(moveArgs(from, to));

      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("Another process has");
    }
  });

  it("refuses a half-filled Redis to everybody, and says what to do", async () => {
    const from = await folderPlace();
    const to = redisPlace(await redisUrl());
    const half = await RedisStorage.open({ url: to.text, prefix: to.prefix, midMove: true });
    await half.writeMoveMark({ phase: "arriving", from: from.text });
    await half.close();

    await expect(to.open()).rejects.toThrow(/half filled by a move from .* run the same dibs move again/);
  });

  it("says what is wrong with a command line", async () => {
    const [from, to] = [await folderPlace(), await aFolder()];
    const missing = join(to, "nothing-here");
    const wrong: readonly (readonly [args: readonly string[], says: string])[] = [
      [["move", missing, to], `There is no store at ${missing}`],
      [["move", from.text, from.text], "is one store, not two"],
      [["move", from.text, "memory:"], "there is nothing to move"],
      [["move", "http://127.0.0.1:4510", to], "stop the server, and name the folder or the Redis"],
      [["move", from.text, "s3://key:secret@bucket"], "Expected a folder or a redis:// address, got s3:…"],
      [["move", from.text, to, "--finish"], "add --yes"],
      [["move", from.text], "missing required argument 'to'"],
    ];
    for (const [args, says] of wrong) {
      const { code, stderr } = await dibs(args);
      expect(stderr).toContain(says);
      expect(stderr).not.toContain("secret");
      expect(code).toBe(2);
    }
  });

  it("never shows the password of a Redis", async () => {
    const from = await folderPlace();
    const { code, stdout, stderr } = await dibs(["move", from.text, "redis://u:hunter2@127.0.0.1:1"]);

    expect(code).toBe(1);
    expect(stdout + stderr).not.toContain("hunter2");
  });
});

/** Runs a move, kills it at a random moment, again and again, and then lets it end; how often it was killed. */
async function movedThroughKills(args: readonly string[], random: Random): Promise<number> {
  let kills = 0;
  let usualMs = 700;
  for (let round = 0; round < KILLS; round += 1) {
    const move = started(args);
    const timer = setTimeout(() => move.send("SIGKILL"), 150 + random.below(usualMs));
    const { signal } = await move.ended();
    clearTimeout(timer);
    if (signal !== "SIGKILL") usualMs = Math.max(200, usualMs / 2);
    else {
      kills += 1;
      // Each further one has done less again when it reaches the place where the one before ended.
      usualMs *= 1.4;
    }
  }
  expect(reportOf(await started(args).ended())).toMatchObject({ outcome: "finished" });
  return kills;
}
