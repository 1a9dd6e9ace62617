import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Operation, type OperationKind, SimulatedDisk, seeded } from "../simulated-disk.ts";
import { engineTimers } from "./engine-timers.ts";
import { type Expected, expectWhole, expectWholeOrRefused } from "./reopening.ts";
import { openDisk, type Play, type Progress, Run } from "./run.ts";
import { CALLS, type Disaster, forEachSeed, isTurnOf, LIMIT_MS } from "./seeds.ts";
import { Tally } from "./tally.ts";

/** One moment in which everything stops: the disk as it is left then, and what was promised until then. */
interface Moment {
  readonly kind: OperationKind;
  readonly number: number;
  readonly disk: SimulatedDisk;
  readonly progress: Progress;
}

/** One opening in so many is itself stopped at each of its operations. */
const OPENINGS_STOPPED = 16;

beforeEach(() => engineTimers.take());
afterEach(() => engineTimers.giveBack());

const told: string[] = [];
afterAll(() => process.stderr.write(told.map((line) => `${line}\n`).join("")));

/** Plays every run, and checks every moment of it whose turn it is. */
async function atEveryOperation(
  disaster: Disaster,
  check: (run: Run, play: Play, moment: Moment, tally: Tally) => Promise<void>,
): Promise<Tally> {
  const tally = new Tally();
  await forEachSeed(async (seed) => {
    const run = await Run.plan(seed, CALLS);
    const { play, disk, moments } = await momentsOf(run, disaster);
    tally.addRun(play, disk);
    for (const moment of moments) {
      tally.addInjection(moment.kind);
      await check(run, play, moment, tally).catch((error: unknown) => {
        throw new Error(
          `${disaster} at operation ${moment.number}, a ${moment.kind}, in mode ${run.durability}`,
          {
            cause: error,
          },
        );
      });
    }
  });
  told.push(tally.told(disaster));
  return tally;
}

async function momentsOf(
  run: Run,
  disaster: Disaster,
): Promise<{ readonly play: Play; readonly disk: SimulatedDisk; readonly moments: Moment[] }> {
  const moments: Moment[] = [];
  const random = seeded(run.seed * 104_729);
  const disk = new SimulatedDisk();
  const play = run.play(disk, (operation: Operation, progress: Progress) => {
    const { kind, number } = operation;
    const part = random();
    if (isTurnOf(disaster, run.seed, number))
      moments.push({ kind, number, disk: operation.stopped(part < 0.2 ? 0 : part), progress });
  });
  await play.toEnd();
  engineTimers.forget();
  if (play.refused !== undefined) throw play.refused;
  return { play, disk, moments };
}

/** What a stop in this moment may leave of a run. */
function expectedOf(run: Run, { progress }: Moment, atLeast: number): Expected {
  return { states: run.states, atLeast, atMost: progress.begun, fence: progress.fence };
}

function expectBusy({ had, injections }: Tally): void {
  expect(injections).toBeGreaterThan(0);
  for (const [what, runs] of Object.entries(had)) expect(runs, what).toBeGreaterThan(0);
}

describe("at every operation of the disk", () => {
  it(
    "a kill loses no answered call",
    async () => {
      const tally = await atEveryOperation("kill", async (run, play, moment) => {
        const atLeast = run.durability === "none" ? 0 : moment.progress.answered;
        await expectWhole(moment.disk, play.clock, "boot-1", expectedOf(run, moment, atLeast));
      });

      expectBusy(tally);
    },
    LIMIT_MS,
  );

  it(
    "a power cut loses no call that was promised to survive it, and no half of one",
    async () => {
      const tally = await atEveryOperation("power cut", async (run, play, moment) => {
        const { answered, flushed } = moment.progress;
        const atLeast = { power: answered, process: flushed, none: 0 }[run.durability];
        const random = seeded(run.seed * 7 + moment.number);
        const left = moment.disk.afterPowerCut(random);
        const expected = expectedOf(run, moment, atLeast);
        if ((run.seed + moment.number) % OPENINGS_STOPPED === 0) {
          await expectWholeWhereverStopped(left.afterKill(), play, expected, random);
        }
        await expectWhole(left, play.clock, "boot-2", expected);
      });

      expectBusy(tally);
    },
    LIMIT_MS,
  );

  it(
    "a flipped bit is refused with file and offset, or cut with the last write",
    async () => {
      const tally = await atEveryOperation("flipped bit", async (run, play, moment, tallied) => {
        const random = seeded(run.seed * 11 + moment.number);
        if (!flipSome(moment.disk, random)) return;
        const atLeast = run.durability === "none" ? 0 : beforeLastWrite(run, moment.progress.answered);
        // What lies behind the end that the flip makes has to be new, not what was before it.
        const expected = { ...expectedOf(run, moment, atLeast), fence: 0 };
        const outcome = await expectWholeOrRefused(moment.disk, play.clock, "boot-1", expected);
        if (outcome === "refused") tallied.refused += 1;
      });

      expectBusy(tally);
      expect(tally.refused).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

/** How many calls are left without the last one that wrote something. */
function beforeLastWrite({ states }: Run, calls: number): number {
  let last = calls;
  while (last > 0 && states[last - 1] === states[calls]) last -= 1;
  return last - 1;
}

/** Flips one bit of the journal; false when there is none yet. */
function flipSome(disk: SimulatedDisk, random: () => number): boolean {
  const names = disk.list().filter((name) => name.startsWith("journal-") && disk.content(name).length > 0);
  const name = names[Math.floor(random() * names.length)];
  if (name === undefined) return false;
  disk.flip(name, Math.floor(random() * disk.content(name).length), Math.floor(random() * 8));
  return true;
}

/** The machine loses power again while it opens, at any operation: what one opening shows, the next shows too. */
async function expectWholeWhereverStopped(
  disk: SimulatedDisk,
  play: Play,
  expected: Expected,
  random: () => number,
): Promise<void> {
  const stopped: SimulatedDisk[] = [];
  disk.onOperation = (operation) => stopped.push(operation.stopped(random()));
  await openDisk(disk, play.clock, { durability: "process", bootId: "boot-2" });
  engineTimers.forget();
  for (const each of stopped) {
    await expectWhole(each.afterPowerCut(random), play.clock, "boot-3", expected);
    await expectWhole(each, play.clock, "boot-2", expected);
  }
}
