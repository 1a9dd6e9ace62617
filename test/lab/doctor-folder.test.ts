import { createHash } from "node:crypto";
import { appendFile, mkdtemp, open, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { newTaskId, parseQueueName, type QueueName } from "../../src/task/ids.ts";
import { LookedAt } from "./doctor-look.ts";

const EMAILS = parseQueueName("emails") as QueueName;
const JOURNAL = "journal-0000000001.log";
const closers: (() => Promise<unknown>)[] = [];
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-doctor-"));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await rm(folder, { recursive: true, force: true });
});

/** A store in the folder, open until the test ends or it is closed. */
async function aStore(ready: number): Promise<EmbeddedStorage> {
  const storage = await EmbeddedStorage.open({ folder });
  closers.push(() => storage.close());
  const tasks = Array.from({ length: ready }, () => ({ id: newTaskId(EMAILS), payload: "null" }));
  await storage.enqueue(EMAILS, tasks);
  return storage;
}

/** Names and contents of all files but those of the lock, whose holder moves a counter. */
async function contents(): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name !== "lock").sort();
  return Promise.all(
    names.map(async (name) => {
      const hash = createHash("sha256").update(await readFile(join(folder, name)));
      return `${name} ${hash.digest("hex")} ${(await stat(join(folder, name))).mtimeMs}`;
    }),
  );
}

describe("the folder of a store", () => {
  it("is green in every line when all is well", async () => {
    await (await aStore(3)).close();

    const look = await LookedAt.folder(folder);

    expect(look.troubles).toEqual([]);
    expect(look.line("lock").figure).toBe("nobody has it open");
    expect(look.line("counts").figure).toBe("3 tasks, the sums add up");
    expect(look.line("tasks in memory").figure).toBe("3 tasks of 1,000 (tasksMax)");
    expect(look.line("disk sync").figure).toMatch(/the median of \d+ \(longest /);
    expect(look.checks).toContain("warm claim");
  });

  it("is as it was after the look", async () => {
    await (await aStore(3)).close();
    const before = await contents();

    await LookedAt.folder(folder);

    expect(await contents()).toEqual(before);
  });

  it("is looked at while a process has it open, which notices nothing", async () => {
    const storage = await aStore(3);

    const look = await LookedAt.folder(folder);
    await storage.enqueue(EMAILS, [{ id: newTaskId(EMAILS), payload: "null" }]);

    expect(look.troubles).toEqual([]);
    expect(look.line("lock").figure).toBe(`process ${process.pid} has it open`);
    expect(look.line("counts").figure).toBe("3 tasks, the sums add up");
    expect((await storage.snapshot(EMAILS))?.counts.ready).toBe(4);
  });

  it("is looked at in the middle of writes without seeing half of one", async () => {
    const storage = await aStore(0);
    let isOver = false;
    const writing = (async () => {
      // Each in a turn of its own: the store answers at once, and would leave no turn for anybody else.
      for (; !isOver; await nextTurn())
        await storage.enqueue(EMAILS, [{ id: newTaskId(EMAILS), payload: '"x"' }]);
    })();

    const looks = [await LookedAt.folder(folder), await LookedAt.folder(folder)];
    isOver = true;
    await writing;

    for (const look of looks) {
      expect(look.line("journal").colour).toBe("green");
      expect(look.line("counts").colour).toBe("green");
    }
  });

  it("that is nearly full of tasks is told", async () => {
    await (await aStore(960)).close();

    expect((await LookedAt.folder(folder)).line("tasks in memory")).toMatchObject({
      colour: "red",
      advice: expect.stringMatching(/--tasks-max/),
    });
  });

  it("that is nearly full of idempotency keys is told, those of removed tasks included", async () => {
    const storage = await aStore(0);
    for (let n = 0; n < 20; n += 1) {
      const key = { idempotencyKey: `k-${n}`, payloadHash: "0".repeat(64) };
      await storage.enqueue(EMAILS, [{ id: newTaskId(EMAILS), payload: "null", ...key }]);
      await storage.purge(EMAILS, "ready", 1);
    }
    await storage.close();

    const look = await LookedAt.at({ kind: "folder", folder, tasksMax: 1_000, memoryBytesMax: 13_000 });
    expect(look.line("memory")).toMatchObject({
      colour: "red",
      figure: expect.stringContaining("20 idempotency keys"),
      advice: expect.stringMatching(/--memory-bytes-max/),
    });
    expect((await LookedAt.folder(folder)).line("memory").colour).toBe("green");
  });

  it("whose leases ended while nobody had it open is no cause for alarm, and is one while somebody has", async () => {
    // As if nothing had been looked at for an hour.
    const storage = await EmbeddedStorage.open({ folder, clock: { now: () => Date.now() - 3_600_000 } });
    closers.push(() => storage.close());
    await storage.enqueue(EMAILS, [{ id: newTaskId(EMAILS), payload: "null" }]);
    await storage.claim(EMAILS, [{ max: 1, leaseMs: 1_000 }]);

    const held = (await LookedAt.folder(folder)).line("leases");
    await storage.close();
    const free = (await LookedAt.folder(folder)).line("leases");

    expect(held).toMatchObject({
      colour: "red",
      advice: expect.stringMatching(/Nobody takes ended leases back/),
    });
    expect(free.colour).toBe("green");
  });

  it("with the end of a write that did not end says what a start will do", async () => {
    await (await aStore(3)).close();
    await appendFile(join(folder, JOURNAL), "half of a frame");
    const before = await contents();

    const look = await LookedAt.folder(folder);

    expect(look.line("journal")).toMatchObject({
      colour: "yellow",
      advice: expect.stringMatching(/next start will cut .* cut 15 bytes of journal-0000000001\.log/),
    });
    expect(look.line("counts").figure).toBe("3 tasks, the sums add up");
    expect(await contents()).toEqual(before);
  });

  it("that is damaged is red, with file and offset, and is not touched", async () => {
    await (await aStore(3)).close();
    const file = await open(join(folder, JOURNAL), "r+");
    await file.write("damage", 60);
    await file.close();
    await utimes(join(folder, JOURNAL), 1, 1);
    const before = await contents();

    const look = await LookedAt.folder(folder);

    expect(look.line("journal")).toMatchObject({
      colour: "red",
      advice: expect.stringMatching(/journal-0000000001\.log .*at offset 16/),
    });
    expect(await contents()).toEqual(before);
  });

  it("whose clock was set back is told", async () => {
    const storage = await EmbeddedStorage.open({ folder, clock: { now: () => Date.now() + 3_600_000 } });
    closers.push(() => storage.close());
    await storage.enqueue(EMAILS, [{ id: newTaskId(EMAILS), payload: "null" }]);
    await storage.claim(EMAILS, [{ max: 1 }]);

    expect((await LookedAt.folder(folder)).line("clock skew")).toMatchObject({ colour: "red" });
  });

  it("in the middle of a move is red", async () => {
    const storage = await aStore(1);
    await storage.writeMoveMark({ phase: "leaving", to: "redis://there" });

    expect((await LookedAt.folder(folder)).line("move")).toMatchObject({
      colour: "red",
      advice: expect.stringMatching(/has moved to redis:\/\/there/),
    });
  });
});
