import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Random } from "../../test/crash/random.ts";
import { assertLivesOn, furnish, pictureOf } from "../../test/move/household.ts";
import { aQueue, tasks } from "../storage/contract/builders.ts";
import { EmbeddedStorage } from "../storage/embedded/embedded-storage.ts";
import type { MovableStorage } from "../storage/move-mark.ts";
import { StorageUnavailableError } from "../task/errors.ts";
import { AuditFailedError, type MoveOptions, type MoveProgress, move } from "./move.ts";
import { type MoveEnd, MoveRefusedError } from "./move-end.ts";

const SEED = 20_261_124;
const QUEUE = aQueue("emails");

const opened: MovableStorage[] = [];
const folders: string[] = [];

async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-move-"));
  folders.push(folder);
  return folder;
}

async function endIn(folder: string): Promise<MoveEnd & { readonly folder: string }> {
  const storage = await EmbeddedStorage.open({ folder, midMove: true });
  opened.push(storage);
  return { name: folder, storage, folder };
}

const anEnd = async () => endIn(await aFolder());

afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

const quietly = (options: Partial<MoveOptions> = {}): MoveOptions => ({
  finish: false,
  signal: new AbortController().signal,
  onProgress: () => {},
  ...options,
});

/** Stops a move at its page of the given number in a step, as a kill does. */
function stoppedAt(
  page: number,
  step: MoveProgress["step"] = "copying",
  options: Partial<MoveOptions> = {},
): MoveOptions {
  const controller = new AbortController();
  let seen = 0;
  const onProgress = (progress: MoveProgress) => {
    if (progress.step === step) seen += 1;
    if (seen === page) controller.abort(new Error("stopped"));
  };
  return quietly({ signal: controller.signal, onProgress, ...options });
}

describe("a move", () => {
  it("leaves the same in both stores, and everything goes on in the new one", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    const memories = await furnish(from.storage, 1_500, new Random(SEED));
    const before = await pictureOf(from.storage);

    const report = await move(from, to, quietly());

    expect(report).toMatchObject({ outcome: "moved", removed: 0 });
    const imported = before.snapshots.reduce((sum, { enqueued, pruned }) => sum + enqueued - pruned, 0);
    expect(report.imported).toBe(imported);
    expect(await pictureOf(from.storage)).toEqual(before);
    expect(await pictureOf(to.storage)).toEqual(before);
    await assertLivesOn(to.storage, before, memories);
  });

  it("goes on after it was stopped, wherever that was", async () => {
    const from = await anEnd();
    await furnish(from.storage, 900, new Random(SEED));
    const before = await pictureOf(from.storage);
    for (const page of [1, 2, 5, 9, 14]) {
      const to = await anEnd();
      await expect(move(from, to, stoppedAt(page))).rejects.toThrow("stopped");
      await expect(move(from, to, stoppedAt(page + 3))).rejects.toThrow("stopped");
      await expect(move(from, to, stoppedAt(page, "auditing"))).rejects.toThrow("stopped");

      await move(from, to, quietly());

      expect(await pictureOf(to.storage)).toEqual(before);
    }
  });

  it("tells how far it is, to the last task", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(450));
    const steps = new Map<string, { done: number; of: number }>();

    await move(
      from,
      to,
      quietly({ finish: true, onProgress: ({ step, done, of }) => steps.set(step, { done, of }) }),
    );

    expect(steps.get("copying")).toEqual({ done: 450, of: 450 });
    expect(steps.get("auditing")).toEqual({ done: 450, of: 450 });
    expect(steps.get("emptying")).toEqual({ done: 450, of: 450 });
  });

  it("changes nothing when it is repeated, also when the new store has gone on", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(10));
    await move(from, to, quietly());
    await to.storage.purge(QUEUE, "ready", 7);

    expect(await move(from, to, quietly())).toEqual({ outcome: "moved", imported: 0, removed: 0 });
    expect((await to.storage.snapshot(QUEUE))?.counts.ready).toBe(3);
  });

  it("moves a store without queues", async () => {
    const [from, to] = [await anEnd(), await anEnd()];

    expect(await move(from, to, quietly({ finish: true }))).toMatchObject({ outcome: "finished" });
    expect(await to.storage.queues()).toEqual([]);
  });
});

describe("a move with --finish", () => {
  it("empties the old store, leased tasks too, once the new one holds all", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await furnish(from.storage, 700, new Random(SEED));
    const before = await pictureOf(from.storage);

    const report = await move(from, to, quietly({ finish: true }));

    expect(report.outcome).toBe("finished");
    expect(report.removed).toBe(report.imported);
    expect(await pictureOf(to.storage)).toEqual(before);
    for (const { counts } of (await pictureOf(from.storage)).snapshots)
      expect(Object.values(counts)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("goes on emptying after it was stopped in the middle of that", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(2_100));
    await move(from, to, quietly());
    await expect(move(from, to, stoppedAt(2, "emptying", { finish: true }))).rejects.toThrow("stopped");
    const left = (await from.storage.snapshot(QUEUE))?.counts.ready ?? 0;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(2_100);

    const report = await move(from, to, quietly({ finish: true }));

    expect(report).toMatchObject({ outcome: "finished", removed: left });
    expect((await to.storage.snapshot(QUEUE))?.counts.ready).toBe(2_100);
  });

  it("does nothing when it was finished before", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(5));
    await move(from, to, quietly({ finish: true }));

    expect(await move(from, to, quietly({ finish: true }))).toEqual({
      outcome: "finished",
      imported: 0,
      removed: 0,
    });
    expect(await from.storage.readMoveMark()).toBeUndefined();
  });

  it("leaves an old store alone that somebody has used since", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(5));
    await move(from, to, quietly());
    await from.storage.enqueue(QUEUE, tasks(1));

    await expect(move(from, to, quietly({ finish: true }))).rejects.toThrow(/somebody has used it since/);
    expect((await from.storage.snapshot(QUEUE))?.counts.ready).toBe(6);
  });

  it("says so when tasks came to the old store after the end", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(5));
    await move(from, to, quietly({ finish: true }));
    await from.storage.enqueue(QUEUE, tasks(2));

    await expect(move(from, to, quietly({ finish: true }))).rejects.toThrow(/has 2 tasks again/);
  });
});

describe("a move is refused", () => {
  it("into a store that has queues", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(5));
    await to.storage.configure(aQueue("others"), {});

    await expect(move(from, to, quietly())).rejects.toThrow(MoveRefusedError);
    expect(await to.storage.queues()).toEqual(["others"]);
    expect(await to.storage.readMoveMark()).toBeUndefined();
  });

  it("into a store that another move has half filled, and out of one", async () => {
    const [from, half, third] = [await anEnd(), await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(600));
    await expect(move(from, half, stoppedAt(2))).rejects.toThrow("stopped");

    await expect(move(third, half, quietly())).rejects.toThrow(/half filled by another move/);
    await expect(move(half, third, quietly())).rejects.toThrow(/itself half filled/);
  });

  it("when another process has one of the stores open", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    const served = (end: MoveEnd): MoveEnd => ({
      ...end,
      storage: Object.assign(Object.create(end.storage), {
        otherUsers: async () => 1,
        queues: () => end.storage.queues(),
        readMoveMark: () => end.storage.readMoveMark(),
      }),
    });

    await expect(move(served(from), to, quietly())).rejects.toThrow(/has .* open: stop what serves it/);
    await expect(move(from, served(to), quietly())).rejects.toThrow(/has .* open: stop what serves it/);
    expect(await to.storage.readMoveMark()).toBeUndefined();
  });
});

describe("the audit", () => {
  /** A move that is stopped after its copy, so that the new store can be changed before the audit. */
  async function halfMoved(): Promise<readonly [MoveEnd, MoveEnd]> {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(300, { priority: 4 }));
    await expect(move(from, to, stoppedAt(2))).rejects.toThrow("stopped");
    return [from, to];
  }

  it("sees tasks in another order", async () => {
    const [from, to] = await halfMoved();
    const { tasks: first } = await to.storage.list(QUEUE, { state: "ready", limit: 1 });
    const ids = first.map(({ id }) => id);
    await to.storage.cancel(QUEUE, ids);
    await to.storage.requeue(QUEUE, ids);

    await expect(move(from, to, quietly())).rejects.toThrow(/ready tasks: 300 in both, but not the same/);
  });

  it("sees a task too many, and one that is elsewhere", async () => {
    const [from, to] = await halfMoved();
    await to.storage.enqueue(QUEUE, tasks(1));
    const { tasks: first } = await to.storage.list(QUEUE, { state: "ready", limit: 1 });
    await to.storage.cancel(
      QUEUE,
      first.map(({ id }) => id),
    );

    const failed = await move(from, to, quietly()).catch((error: unknown) => error);

    expect(failed).toBeInstanceOf(AuditFailedError);
    const told = (failed as AuditFailedError).differences.join("\n");
    expect(told).toMatch(/"enqueued":300.* became .*"enqueued":301/);
    expect(told).toMatch(/cancelled tasks: 0 became 1/);
  });

  it("sees an old store that was used during the move, and lets nobody serve the new one", async () => {
    const [from, to] = await halfMoved();
    const { grants } = await from.storage.claim(QUEUE, [{ max: 1 }]);
    expect(grants[0]).toHaveLength(1);

    await expect(move(from, to, quietly({ finish: true }))).rejects.toThrow(AuditFailedError);

    await to.storage.close();
    await expect(EmbeddedStorage.open({ folder: to.name })).rejects.toThrow(StorageUnavailableError);
    expect((await from.storage.snapshot(QUEUE))?.counts.ready).toBe(299);
  });
});

describe("a store in the middle of a move", () => {
  it("is not opened by anybody else, half filled or half emptied, and is when the move has ended", async () => {
    const [from, to] = [await anEnd(), await anEnd()];
    await from.storage.enqueue(QUEUE, tasks(1_100));
    await expect(move(from, to, stoppedAt(2))).rejects.toThrow("stopped");
    await to.storage.close();
    await expect(EmbeddedStorage.open({ folder: to.folder })).rejects.toThrow(
      new RegExp(`half filled by a move from ${from.name}`),
    );

    const again = await endIn(to.folder);
    await move(from, again, quietly());
    await expect(move(from, again, stoppedAt(2, "emptying", { finish: true }))).rejects.toThrow("stopped");
    await from.storage.close();
    await expect(EmbeddedStorage.open({ folder: from.folder })).rejects.toThrow(
      /has moved to .* being emptied/,
    );

    await move(await endIn(from.folder), again, quietly({ finish: true }));
    expect(existsSync(join(from.folder, "move.json"))).toBe(false);
    await again.storage.close();
    const served = await EmbeddedStorage.open({ folder: to.folder });
    opened.push(served);
    expect((await served.snapshot(QUEUE))?.counts.ready).toBe(1_100);
  });
});
