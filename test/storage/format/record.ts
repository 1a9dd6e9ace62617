import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ManualClock } from "../../../src/clock.ts";
import { aQueue, tasks } from "../../../src/storage/contract/builders.ts";
import { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import type { StoredKey, StoredTask } from "../../../src/storage/stored-task.ts";
import type { QueueSnapshot } from "../../../src/task/queue.ts";
import { Random } from "../../crash/random.ts";
import { furnish } from "../../move/household.ts";

/** What a release answers about a store: all that it keeps of every queue. */
export interface Answers {
  /** Time of the answers, epoch milliseconds. */
  readonly now: number;
  readonly queues: readonly {
    readonly snapshot: QueueSnapshot;
    readonly tasks: readonly StoredTask[];
    readonly keys: readonly StoredKey[];
  }[];
}

/** Small, so that a small store has several segments, and some that compaction has written. */
const SEGMENT_BYTES = 12_000;
const CHURNS = 60;

export function openAt(folder: string, now: number): Promise<EmbeddedStorage> {
  return EmbeddedStorage.open({
    folder,
    clock: new ManualClock(now),
    segmentBytes: SEGMENT_BYTES,
    reserveBytes: 0,
    // Of the machine that wrote it: what was killed there comes from no power cut.
    bootId: "a boot of the release",
  });
}

export async function answersOf(storage: EmbeddedStorage): Promise<Answers> {
  const queues: Answers["queues"][number][] = [];
  for (const queue of await storage.queues()) {
    const stored: StoredTask[] = [];
    const keys: StoredKey[] = [];
    let cursor: string | undefined;
    do {
      const page = await storage.exportTasks(queue, { limit: 100, ...(cursor !== undefined && { cursor }) });
      stored.push(...page.tasks);
      keys.push(...page.keys);
      cursor = page.cursor;
    } while (cursor !== undefined);
    // Keys stand in any order.
    keys.sort((a, b) => (a.key < b.key ? -1 : 1));
    queues.push({ snapshot: (await storage.snapshot(queue)) as QueueSnapshot, tasks: stored, keys });
  }
  return { now: storage.clock.now(), queues };
}

/**
 * Writes what a release leaves on disk: `closed` is a folder after an orderly end, `killed` the same one before it,
 * `answers.json` what the release answers about both.
 */
export async function recordRelease(place: string): Promise<void> {
  const closed = join(place, "closed");
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  const storage = await openAt(closed, 1_764_000_000_000);
  await furnish(storage, 60, new Random(7));
  const queue = aQueue("emails");
  for (let n = 0; n < CHURNS; n += 1) {
    await storage.enqueue(queue, tasks(5, { payload: JSON.stringify("x".repeat(120)), priority: 9 }));
    const { grants } = await storage.claim(queue, [{ max: 5, leaseMs: 60_000 }]);
    await storage.cancel(
      queue,
      grants.flat().map(({ id }) => id),
    );
    await storage.purge(queue, "cancelled", 5);
  }
  writeFileSync(join(place, "answers.json"), `${JSON.stringify(await answersOf(storage), undefined, 1)}\n`);
  cpSync(closed, join(place, "killed"), { recursive: true, filter: (path) => !/\/lock(\/|$)/.test(path) });
  await storage.close();
  rmSync(join(closed, "lock"), { recursive: true });
}
