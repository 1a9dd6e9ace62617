import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { segmentName, segmentNumbers } from "../../../src/storage/embedded/segment.ts";
import { SimulatedDisk } from "../simulated-disk.ts";
import { engineTimers } from "./engine-timers.ts";
import { type Expected, expectWholeOrRefused } from "./reopening.ts";
import { type Play, Run } from "./run.ts";
import { LIMIT_MS } from "./seeds.ts";

/** A run of mode `process`. */
const SEED = 5;
/** Long enough for many snapshots. More with DIBS_DISK_CALLS. */
const CALLS = Number(process.env["DIBS_DISK_CALLS"] ?? 90);

beforeEach(() => engineTimers.take());
afterEach(() => engineTimers.giveBack());

/** What is left of a journal of a long run that was closed in order. */
interface Closed {
  readonly disk: SimulatedDisk;
  readonly play: Play;
  readonly numbers: readonly number[];
  /** Any state of the run, and nothing about fences: the end that told of them may be cut. */
  readonly any: Expected;
}

async function longRun(): Promise<Closed> {
  const run = await Run.plan(SEED, CALLS);
  const disk = new SimulatedDisk();
  const play = run.play(disk);
  await play.toEnd();
  engineTimers.forget();
  const numbers = segmentNumbers(disk.list());
  expect(numbers[0], "snapshots").toBeGreaterThan(5);
  expect(numbers.length).toBeGreaterThan(2);
  return { disk, play, numbers, any: { states: run.states, atLeast: 0, atMost: CALLS, fence: 0 } };
}

/** The journal cut at one byte; what lies behind it in other segments is kept or not. */
function cutAt(
  { disk, numbers }: Closed,
  number: number,
  length: number,
  keepsLater: boolean,
): SimulatedDisk {
  const copy = disk.afterKill();
  copy.replace(segmentName(number), Buffer.from(copy.content(segmentName(number)).subarray(0, length)));
  if (!keepsLater) for (const later of numbers) if (later > number) copy.remove(segmentName(later));
  return copy;
}

/** The outcome of every cut, byte by byte. */
async function cutEverywhere(
  closed: Closed,
  numbers: readonly number[],
  keepsLater: boolean,
): Promise<string[]> {
  const outcomes: string[] = [];
  for (const number of numbers) {
    const { length } = closed.disk.content(segmentName(number));
    for (let at = 0; at < length; at += 1) {
      const copy = cutAt(closed, number, at, keepsLater);
      const outcome = await expectWholeOrRefused(copy, closed.play.clock, "boot-1", closed.any).catch(
        (error: unknown) => {
          throw new Error(`${segmentName(number)} cut at ${at}`, { cause: error });
        },
      );
      outcomes.push(outcome);
    }
  }
  return outcomes;
}

describe("the journal of a long run, cut at every byte", () => {
  it(
    "shows a state that once was, or is refused with file and offset",
    async () => {
      const closed = await longRun();

      const outcomes = await cutEverywhere(closed, closed.numbers, false);

      expect(outcomes).toContain("whole");
      // Without its first segments there is nothing that a snapshot stands on.
      expect(outcomes[0]).toBe("refused");
    },
    LIMIT_MS,
  );

  it(
    "is always refused when later segments are there",
    async () => {
      const closed = await longRun();

      const outcomes = await cutEverywhere(closed, closed.numbers.slice(-2, -1), true);

      expect(new Set(outcomes)).toEqual(new Set(["refused"]));
    },
    LIMIT_MS,
  );
});
