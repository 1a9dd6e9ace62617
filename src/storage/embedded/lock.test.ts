import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StorageUnavailableError } from "../../task/errors.ts";
import { FolderLock, type FolderLockOptions } from "./lock.ts";
import { bootId, generationsIn, type HolderRecord, holderPath, readRecord } from "./lock-record.ts";

let folder: string;
let place: string;
const open: FolderLock[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-lock-"));
  place = join(folder, "lock");
});

afterEach(async () => {
  for (const lock of open.splice(0)) await lock.release();
  await rm(folder, { recursive: true, force: true });
});

async function acquire(options: Partial<FolderLockOptions> = {}): Promise<FolderLock> {
  const onLost = (error: Error) => {
    throw error;
  };
  const lock = await FolderLock.acquire(folder, { onLost, waitMs: 0, stillMs: 200, ...options });
  open.push(lock);
  return lock;
}

async function latest(): Promise<HolderRecord> {
  const generation = (await generationsIn(place)).at(-1) as number;
  return (await readRecord(holderPath(place, generation)))?.record as HolderRecord;
}

/** What another holder would have written. */
async function plant(change: Partial<HolderRecord>, generation = 1): Promise<HolderRecord> {
  const record = {
    boot: bootId(),
    pid: 4711,
    nonce: "0123456789abcdef",
    since: 1_764_000_000_000,
    counter: 0,
    socket: true,
    released: false,
    ...change,
  };
  await writeFile(holderPath(place, generation), JSON.stringify(record));
  return record;
}

describe("the lock of a folder", () => {
  it("refuses a second holder, also in the same process, and says who has it and what to do", async () => {
    await acquire({ url: "http://127.0.0.1:4510" });

    const refusal = await acquire().catch((error: unknown) => error);

    expect(refusal).toBeInstanceOf(StorageUnavailableError);
    expect(refusal).toMatchObject({
      code: "storage_unavailable",
      details: { pid: process.pid, url: "http://127.0.0.1:4510", folder },
      message: expect.stringContaining('use connect("http://127.0.0.1:4510") here, or run `dibs serve`'),
    });
  });

  it("tells a URL that became known later", async () => {
    const lock = await acquire();
    await expect(acquire()).rejects.toThrow("the URL of the process that holds it");

    await lock.setUrl("http://127.0.0.1:9999");

    await expect(acquire()).rejects.toMatchObject({ details: { url: "http://127.0.0.1:9999" } });
  });

  it("goes to the next one after a release, and leaves one file behind and no socket", async () => {
    const first = await acquire();
    await first.release();
    const second = await acquire();
    await second.release();

    expect(await readdir(place)).toEqual(["holder-2"]);
    expect(await latest()).toMatchObject({ released: true });
  });

  it("is handed on the moment its holder leaves, to one who waits", async () => {
    const first = await acquire();
    const onWait = vi.fn();
    const second = acquire({ waitMs: 60_000, onWait });
    await vi.waitFor(() => expect(onWait).toHaveBeenCalledOnce());

    await first.release();

    await second;
    expect(onWait).toHaveBeenCalledWith(expect.stringContaining(`held by process ${process.pid}`));
  });

  it("goes to exactly one of many who ask at once, however often", async () => {
    for (let round = 1; round <= 20; round += 1) {
      const asked = await Promise.allSettled(Array.from({ length: 20 }, () => acquire()));

      expect(asked.filter((one) => one.status === "fulfilled")).toHaveLength(1);
      expect(await generationsIn(place)).toEqual([round]);
      await open.pop()?.release();
    }
  });

  it("works in a folder whose path is longer than a socket's may be", async () => {
    const before = await readdir(tmpdir());
    folder = join(folder, "a".repeat(90), "b".repeat(90));
    place = join(folder, "lock");
    const lock = await acquire();

    await expect(acquire()).rejects.toThrow("is held by this process");
    await lock.release();
    await acquire();

    const links = (names: string[]) => names.filter((name) => /^dibs-[0-9a-f]{12}$/.test(name));
    expect(links(await readdir(tmpdir()))).toEqual(links(before));
  });

  it("moves its counter while it is held", async () => {
    await acquire({ beatMs: 5 });

    await vi.waitFor(async () => expect((await latest()).counter).toBeGreaterThan(2));
  });
});

describe("a holder that died", () => {
  it("is replaced at once when its socket is gone", async () => {
    await (await acquire()).release();
    await plant({});

    await acquire({ stillMs: 60_000 });

    expect(await generationsIn(place)).toEqual([2]);
  });

  it("is replaced at once when a stranger listens in its place", async () => {
    await (await acquire()).release();
    const { nonce } = await plant({});
    const stranger = createServer((caller) => caller.end("who are you?"));
    await new Promise<void>((resolve) => stranger.listen(join(place, `${nonce}.sock`), resolve));

    await acquire({ stillMs: 60_000 });

    expect(await latest()).toMatchObject({ pid: process.pid });
    stranger.close();
  });

  it("is not replaced a second time by one that saw it dead and slept since", async () => {
    await (await acquire()).release();
    const dead = await plant({});
    const living = await plant({ pid: 4712, nonce: "fedcba9876543210" }, 3);
    await rm(holderPath(place, 3));
    const busy = createServer((caller) => caller.write(living.nonce));
    await new Promise<void>((resolve) => busy.listen(join(place, `${living.nonce}.sock`), resolve));
    const stranger = createServer(async (caller) => {
      await plant(living, 3); // The others went on: the second number came and went, the third holds.
      caller.end("not the dead one");
    });
    await new Promise<void>((resolve) => stranger.listen(join(place, `${dead.nonce}.sock`), resolve));

    await expect(acquire()).rejects.toMatchObject({ details: { pid: 4712 } });

    expect(await generationsIn(place)).toEqual([1, 3]);
    await Promise.all([stranger, busy].map((server) => new Promise((resolve) => server.close(resolve))));
  });

  it("before this start of the machine is replaced once its counter stood still, and that is said", async () => {
    await (await acquire()).release();
    await plant({ boot: "another" });
    const onWait = vi.fn();

    await acquire({ onWait });

    expect(onWait).toHaveBeenCalledWith(expect.stringContaining("watching its counter for 200 ms"));
    expect(await latest()).toMatchObject({ pid: process.pid, boot: bootId() });
  });

  it("while it wrote its file is replaced once the file stood still", async () => {
    await (await acquire()).release();
    await writeFile(holderPath(place, 2), "");

    await acquire();

    expect(await generationsIn(place)).toEqual([3]);
  });
});

describe("a holder that is silent", () => {
  it("keeps the folder while its process accepts connections, however long it computes", async () => {
    await (await acquire()).release();
    const { nonce } = await plant({});
    const busy = createServer(() => {});
    await new Promise<void>((resolve) => busy.listen(join(place, `${nonce}.sock`), resolve));

    await expect(acquire()).rejects.toMatchObject({ details: { pid: 4711 } });

    await new Promise((resolve) => busy.close(resolve).unref());
  });

  it("keeps the folder from another machine while its counter moves", async () => {
    await (await acquire()).release();
    const beating = new AbortController();
    const beats = (async () => {
      for (let counter = 1; !beating.signal.aborted; counter += 1) {
        await plant({ boot: "another", url: "http://10.0.0.7:4510", counter });
        await delay(20);
      }
    })();

    await expect(acquire({ stillMs: 10_000 })).rejects.toMatchObject({
      details: { url: "http://10.0.0.7:4510" },
    });

    beating.abort();
    await beats;
  });

  it("from another machine hands over when it lets go", async () => {
    await (await acquire()).release();
    await plant({ boot: "another" });
    const onWait = vi.fn();
    const next = acquire({ stillMs: 60_000, onWait });
    await vi.waitFor(() => expect(onWait).toHaveBeenCalled());

    await plant({ boot: "another", released: true });

    await next;
  });
});

describe("a holder that finds itself replaced", () => {
  it.each([
    ["another took the next number", () => plant({}, 2), "process 4711 took it over"],
    ["another's nonce stands in its file", () => plant({}), "process 4711 holds it"],
    [
      "its lock file was removed",
      () => rm(place, { recursive: true, force: true }),
      "its lock file was removed",
    ],
  ])("stops and says so, when %s", async (_, replace, reason) => {
    const onLost = vi.fn();
    const lock = await acquire({ onLost, beatMs: 5 });
    await vi.waitFor(async () => {
      await replace(); // Again, when a beat was just writing over it.
      expect(onLost).toHaveBeenCalledOnce();
    });

    const error = onLost.mock.calls[0]?.[0];
    expect(error).toBeInstanceOf(StorageUnavailableError);
    expect(error.message).toContain(reason);
    const afterwards = await readFile(holderPath(place, 1), "utf8").catch(() => "none");
    await lock.release(); // Of nothing: what is there now is not its own.
    expect(await readFile(holderPath(place, 1), "utf8").catch(() => "none")).toBe(afterwards);
  });
});
