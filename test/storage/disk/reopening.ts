import { isDeepStrictEqual } from "node:util";
import type { ManualClock } from "../../../src/clock.ts";
import { aTask } from "../../../src/storage/contract/builders.ts";
import type { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import { DibsError } from "../../../src/task/errors.ts";
import type { SimulatedDisk } from "../simulated-disk.ts";
import { fingerprint, QUEUES } from "../workload.ts";
import { engineTimers } from "./engine-timers.ts";
import { openDisk } from "./run.ts";

/** What an opening may show: the states after these calls, none of them earlier than was promised. */
export interface Expected {
  readonly states: readonly string[];
  readonly atLeast: number;
  readonly atMost: number;
  /** No fence up to this one may be given out again. */
  readonly fence: number;
}

/** Opens the disk; throws unless it shows a state that it may show, and gives out new fences only. */
export async function expectWhole(
  disk: SimulatedDisk,
  clock: ManualClock,
  bootId: string,
  expected: Expected,
): Promise<void> {
  const storage = await openDisk(disk, clock, { durability: "process", bootId });
  expectOneOf(await fingerprint(storage), expected);
  await expectNewFence(storage, expected.fence);
  engineTimers.forget();
}

/** Opens a damaged disk: it shows a state that it may show, or refuses with file and offset and changes nothing. */
export async function expectWholeOrRefused(
  disk: SimulatedDisk,
  clock: ManualClock,
  bootId: string,
  expected: Expected,
): Promise<"whole" | "refused"> {
  const before = contentsOf(disk);
  try {
    await expectWhole(disk, clock, bootId, expected);
    return "whole";
  } catch (error) {
    engineTimers.forget();
    // A flipped bit of its version makes a newer format of a segment.
    if (!(error instanceof DibsError) || error.code !== "storage_unavailable") throw error;
    const { file, offset } = error.details as { readonly file?: string; readonly offset?: number };
    if (typeof file !== "string" || typeof offset !== "number")
      throw new Error("the refusal names no file and offset", { cause: error });
    if (!isDeepStrictEqual(contentsOf(disk), before))
      throw new Error("the refused folder was changed", { cause: error });
    return "refused";
  }
}

export function expectOneOf(state: string, { states, atLeast, atMost }: Expected): void {
  const from = Math.max(0, atLeast);
  if (states.slice(from, atMost + 1).includes(state)) return;
  const steps = states.lastIndexOf(state);
  throw new Error(
    steps === -1
      ? `it shows a state that is that after no call: ${state}, the last is ${states[atMost]}`
      : `it shows the state after ${steps} calls; ${from} were promised, ${atMost} were begun`,
  );
}

async function expectNewFence(storage: EmbeddedStorage, fence: number): Promise<void> {
  const [queue] = QUEUES as [(typeof QUEUES)[0]];
  await storage.configure(queue, { paused: false });
  await storage.enqueue(queue, [aTask({ priority: 9 })]);
  const { grants } = await storage.claim(queue, [{ max: 1 }]);
  const next = grants[0]?.[0]?.lease.fence ?? 0;
  if (next <= fence) throw new Error(`fence ${next} was given out, ${fence} had been before`);
}

function contentsOf(disk: SimulatedDisk): Map<string, Buffer> {
  return new Map(
    disk
      .list()
      .sort()
      .map((name) => [name, disk.content(name)]),
  );
}
