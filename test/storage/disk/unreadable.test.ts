import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/clock.ts";
import { aTask, completed, nacked, payloadOf, QUEUE, tasks } from "../../../src/storage/contract/builders.ts";
import { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import { segmentName } from "../../../src/storage/embedded/segment.ts";
import { StorageUnavailableError } from "../../../src/task/errors.ts";
import type { ClaimedTask, NewTask } from "../../../src/task/task.ts";
import { SimulatedDisk } from "../simulated-disk.ts";
import { engineTimers } from "./engine-timers.ts";

/** No payload is kept in memory, and all of the journal is in one block of the cache. */
const SIZES = { segmentBytes: 1_000_000, reserveBytes: 0, cacheBytesMax: 0, fenceBlock: 1_000 };
const SEGMENT = segmentName(1);
const AGAIN_MS = 10_000;

let disk: SimulatedDisk;
let clock: ManualClock;
let storage: EmbeddedStorage;
let told: Error[];

beforeEach(async () => {
  engineTimers.take();
  disk = new SimulatedDisk();
  clock = new ManualClock();
  told = [];
  const onTrouble = (error: Error) => told.push(error);
  storage = await EmbeddedStorage.open({ disk, clock, bootId: "boot-1", ...SIZES, onTrouble });
});
afterEach(() => engineTimers.giveBack());

async function claim(max = 1): Promise<{ tasks: readonly ClaimedTask[]; more: boolean }> {
  const { grants, more } = await storage.claim(QUEUE, [{ max, worker: "w", leaseMs: 5_000 }]);
  return { tasks: grants[0] ?? [], more };
}

/** Enqueues a task and makes a sector in the middle of its record bad. */
async function anUnreadableTask(): Promise<NewTask> {
  const task = aTask({ payload: payloadOf(3_000) });
  const from = disk.content(SEGMENT).length;
  await storage.enqueue(QUEUE, [task]);
  disk.spoil(SEGMENT, from + 1_500);
  return task;
}

/** Claims until nothing is there, as a broker does. */
async function claimAll(): Promise<ClaimedTask[]> {
  const all: ClaimedTask[] = [];
  for (let more = true, round = 0; more; round += 1) {
    expect(round, "rounds of a claim that finds nothing").toBeLessThan(300);
    const reply = await claim(10);
    all.push(...reply.tasks);
    more = reply.more;
  }
  return all;
}

describe("a ready task that the disk does not give back", () => {
  it("is passed over, so that those behind it are handed out, in their order", async () => {
    const before = tasks(2);
    const behind = tasks(3);
    await storage.enqueue(QUEUE, before);
    await anUnreadableTask();
    await storage.enqueue(QUEUE, behind);

    const claimed = await claimAll();

    expect(claimed.map(({ id, payload }) => ({ id, payload }))).toEqual([...before, ...behind]);
    expect((await storage.snapshot(QUEUE))?.counts).toMatchObject({ ready: 1, leased: 5 });
  });

  it("is handed out when it can be read again, with its own payload and its first attempt", async () => {
    const { id, payload } = await anUnreadableTask();
    expect(await claimAll()).toEqual([]);
    disk.mend();
    expect(await claimAll(), "not looked at again at once").toEqual([]);

    clock.advance(AGAIN_MS);

    expect(await claimAll()).toMatchObject([{ id, payload, attempt: 1 }]);
  });

  it("is told once, with its id, file and offset, and with what to do, and is no trouble of the store", async () => {
    const { id } = await anUnreadableTask();
    const offset = disk.content(SEGMENT).length;
    for (let look = 0; look < 3; look += 1, clock.advance(AGAIN_MS)) await claimAll();

    expect(told.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        `^Task ${id} is passed over by claims until it can be read: Cannot read ${SEGMENT} at offset \\d+: EIO`,
      ),
    ]);
    expect(Number(/offset (\d+)/.exec(told[0]?.message ?? "")?.[1])).toBeLessThan(offset);
    expect(storage.trouble()).toBeUndefined();
  });

  it("does not show to a reader, nor move by a cancel, which answer file and offset and change nothing", async () => {
    const { id } = await anUnreadableTask();

    for (const call of [storage.get(QUEUE, [id]), storage.cancel(QUEUE, [id])]) {
      const refusal = await call.catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(StorageUnavailableError);
      expect((refusal as StorageUnavailableError).details).toEqual({
        file: SEGMENT,
        offset: expect.any(Number),
      });
    }
    expect((await storage.snapshot(QUEUE))?.counts).toMatchObject({ ready: 1, cancelled: 0 });
    await storage.purge(QUEUE, "ready", 10);
    expect((await storage.snapshot(QUEUE))?.counts.ready).toBe(0);
  });

  it("leaves its slot to a task that can be read", async () => {
    await anUnreadableTask();
    await claimAll();
    await storage.purge(QUEUE, "ready", 10);
    const next = aTask();
    await storage.enqueue(QUEUE, [next]);

    expect(await claimAll()).toMatchObject([{ id: next.id }]);
  });

  it("is passed over also after settlements, which are done", async () => {
    const [first] = tasks(1) as [NewTask];
    await storage.enqueue(QUEUE, [first]);
    await anUnreadableTask();
    const { tasks: held } = await claim();

    const { outcomes, claim: next } = await storage.settle(
      QUEUE,
      held.map((task) => completed(task)),
      [{ max: 1 }],
    );

    expect(outcomes).toMatchObject([{ kind: "completed" }]);
    expect(next.grants).toEqual([[]]);
  });
});

describe("a task beside one that the disk does not give back", () => {
  it("is handed out although a read of the whole block fails", async () => {
    const before = aTask({ payload: payloadOf(3_000) });
    await storage.enqueue(QUEUE, [before]);
    await anUnreadableTask();

    expect((await claim()).tasks).toMatchObject([before]);
  });
});

describe("a disk that gives nothing back", () => {
  it("is told to a claim, and hands out everything when it does again", async () => {
    const all = tasks(150);
    await storage.enqueue(QUEUE, all);
    disk.readFault = 1;

    await expect(claimAll()).rejects.toThrow(/^Cannot read \S+ at offset \d+: EIO/);

    disk.readFault = undefined;
    clock.advance(AGAIN_MS);
    expect((await claimAll()).map(({ id }) => id)).toEqual(all.map(({ id }) => id));
  });

  it("is told too when a file is shorter than it was", async () => {
    await storage.enqueue(QUEUE, [aTask({ payload: payloadOf(3_000) })]);
    const { length } = disk.content(SEGMENT);
    await storage.enqueue(QUEUE, [aTask()]);
    disk.cut(SEGMENT, length - 100);

    expect(await claimAll()).toEqual([]);
    expect(told[0]?.message).toMatch(/Cannot read \S+ at offset \d+: Expected \d+ bytes/);
  });
});

describe("a move of a task whose last record the disk does not give back", () => {
  const LOST = /^What was known of earlier failures is lost: Cannot read /;

  async function onceFailed(): Promise<ClaimedTask> {
    // Larger than a block of the cache, so that it is read back each time.
    await storage.enqueue(QUEUE, [aTask({ payload: payloadOf(70_000) })]);
    const [task] = (await claim()).tasks as [ClaimedTask];
    await storage.settle(QUEUE, [nacked(task, { error: "first", delayMs: 0 })]);
    return (await claim()).tasks[0] as ClaimedTask;
  }

  it("completes it all the same, and says what is lost", async () => {
    const task = await onceFailed();
    disk.readFault = 1;

    const { outcomes } = await storage.settle(QUEUE, [completed(task, '"done"')]);

    disk.readFault = undefined;
    expect(outcomes).toMatchObject([{ kind: "completed" }]);
    expect(await storage.get(QUEUE, [task.id])).toMatchObject([
      {
        state: "completed",
        result: '"done"',
        lastError: expect.stringMatching(LOST),
        failures: [{ attempt: 2 }],
      },
    ]);
  });

  it("fails it, and promotes it when its time has come", async () => {
    const task = await onceFailed();
    disk.readFault = 1;

    const { outcomes } = await storage.settle(QUEUE, [nacked(task, { error: "second" })]);
    clock.advance(100_000);
    await storage.promoteDue(QUEUE, 10);

    disk.readFault = undefined;
    expect(outcomes).toMatchObject([{ kind: "scheduled" }]);
    expect(await storage.get(QUEUE, [task.id])).toMatchObject([{ state: "ready", attempt: 2 }]);
  });

  it("takes a lease that has ended back, and renews one", async () => {
    const task = await onceFailed();
    disk.readFault = 1;
    const { token } = task.lease;
    expect(await storage.heartbeat(QUEUE, [{ id: task.id, token }])).toMatchObject([{ kind: "extended" }]);
    clock.advance(6_000);

    const { reaped } = await storage.reapExpired(QUEUE, 10);

    disk.readFault = undefined;
    expect(reaped).toEqual([{ id: task.id, state: "ready" }]);
    const [left] = await storage.get(QUEUE, [task.id]);
    expect(left?.failures.map(({ error }) => error)).toEqual([expect.stringMatching(LOST), "lease expired"]);
  });
});
