import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { aTask } from "../../../src/storage/contract/builders.ts";
import { isDiskFull } from "../../../src/storage/embedded/disk.ts";
import type { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import { StorageUnavailableError } from "../../../src/task/errors.ts";
import { type Fault, type OperationKind, SimulatedDisk, seeded } from "../simulated-disk.ts";
import { fingerprint, QUEUES, type Workload } from "../workload.ts";
import { engineTimers } from "./engine-timers.ts";
import { expectWhole, expectWholeOrRefused } from "./reopening.ts";
import { openDisk, type Play, Run } from "./run.ts";
import { CALLS, type Disaster, forEachSeed, isTurnOf, LIMIT_MS } from "./seeds.ts";
import { Tally } from "./tally.ts";

/** How much of an operation that fails gets through: nothing, a part of a write, all of it. */
const PARTS = [0, 0.5, 1];
/** Operations for which a disk is full. */
const FULL_FOR_MAX = 12;
const SECOND = 1_000;
/** More operations than one call makes. */
const NEAR = 20;

beforeEach(() => engineTimers.take());
afterEach(() => engineTimers.giveBack());

const told: string[] = [];
afterAll(() => process.stderr.write(told.map((line) => `${line}\n`).join("")));

/** Plays every run once to know its operations, then once again for each of them whose turn it is. */
async function atEveryOperation(
  what: Disaster,
  check: (run: Run, operation: number, random: () => number, kind: OperationKind) => Promise<void>,
): Promise<Tally> {
  const tally = new Tally();
  await forEachSeed(async (seed) => {
    const run = await Run.plan(seed, CALLS);
    const kinds: OperationKind[] = [];
    const disk = new SimulatedDisk();
    const play = run.play(disk, ({ kind }) => kinds.push(kind));
    await play.toEnd();
    engineTimers.forget();
    tally.addRun(play, disk);
    for (const [index, kind] of kinds.entries()) {
      if (!isTurnOf(what, seed, index + 1)) continue;
      tally.addInjection(kind);
      await check(run, index + 1, seeded(seed * 13 + index), kind).catch((error: unknown) => {
        throw new Error(`${what} at operation ${index + 1}, a ${kind}, in mode ${run.durability}`, {
          cause: error,
        });
      });
      engineTimers.forget();
    }
  });
  return tally;
}

describe("when any one operation of the disk fails", () => {
  it(
    "the engine stops or goes on, and the next opening finds every answered call",
    async () => {
      let stopped = 0;
      let refusedAfterCut = 0;
      const tally = await atEveryOperation("error", async (run, operation, random, kind) => {
        const disk = new SimulatedDisk();
        const part = PARTS[Math.floor(random() * PARTS.length)] as number;
        disk.fault = { operation, kind: "EIO", part: part === 0.5 ? random() : part };
        const play = run.play(disk);
        await playThrough(play);
        if (play.refused !== undefined) stopped += 1;
        await expectStopped(play);
        expectLetGo(play, disk);
        if ((await expectKept(run, play, disk, random, kind)) === "refused") refusedAfterCut += 1;
      });
      tally.refused = refusedAfterCut;
      told.push(tally.told("error"));

      expect(stopped).toBeGreaterThan(0);
      expect(stopped).toBeLessThan(tally.injections);
    },
    LIMIT_MS,
  );
});

/** To the end; an opening that fails is a refusal too. */
async function playThrough(play: Play): Promise<void> {
  await play.toEnd().catch((error: unknown) => {
    play.refused = error;
  });
  await engineTimers.pass(0);
}

/** What was refused once is refused for good: a disk that failed once is not believed again. */
async function expectStopped({ refused, storage }: Play): Promise<void> {
  if (refused === undefined || storage === undefined) return;
  if (!(refused instanceof StorageUnavailableError)) throw refused;
  if (storage.trouble()?.isFinal !== true) throw new Error("it goes on after a refusal", { cause: refused });
  const again = await storage.queues().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(again instanceof StorageUnavailableError)) throw new Error("it answers after it stopped");
}

/** An opening that failed holds no file, and does nothing more in a folder that may be another's now. */
function expectLetGo({ storage }: Play, { openFiles }: SimulatedDisk): void {
  if (storage !== undefined) return;
  if (openFiles !== 0) throw new Error(`${openFiles} files are still open`);
  if (vi.getTimerCount() !== 0) throw new Error(`${vi.getTimerCount()} timers still run`);
}

async function expectKept(
  run: Run,
  play: Play,
  disk: SimulatedDisk,
  random: () => number,
  kind: OperationKind,
): Promise<"whole" | "refused"> {
  const { progress, clock, workload } = play;
  const { answered, flushed, begun } = progress;
  const expected = { states: run.states, atMost: begun, fence: workload.fence };
  const killed = run.durability === "none" ? 0 : answered;
  const cut = { power: answered, process: flushed, none: 0 }[run.durability];
  engineTimers.forget();
  disk.fault = undefined;
  const left = disk.afterPowerCut(random);
  // A disk that loses what a flush was about, and then power, may leave a hole that the journal knows to be one.
  const opened = kind === "sync" ? expectWholeOrRefused : expectWhole;
  const outcome = await opened(left, clock, "boot-2", { ...expected, atLeast: cut });
  await expectWhole(disk.afterKill(), clock, "boot-1", { ...expected, atLeast: killed });
  return outcome ?? "whole";
}

describe("when the disk is full for a while", () => {
  it(
    "a refused call changes nothing, and all goes on when there is room again",
    async () => {
      let refused = 0;
      const tally = await atEveryOperation("full disk", async (run, operation, random) => {
        // What is only in memory has no timers that look for room.
        if (run.durability === "none") return;
        const until = operation + Math.floor(random() * FULL_FOR_MAX);
        const fault: Fault = { operation, until, kind: "ENOSPC", part: random() };
        const full = new FullForAWhile(run, fault);
        await full.play();
        refused += full.refused;
      });

      told.push(`${tally.told("full disk")}; ${refused} calls refused for want of room`);
      expect(refused).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

/** A run call by call, in which calls may be refused for want of room. */
class FullForAWhile {
  readonly #run: Run;
  readonly #disk = new SimulatedDisk();
  readonly #play: Play;
  readonly #workload: Workload;
  readonly #fault: Fault;
  refused = 0;

  constructor(run: Run, fault: Fault) {
    this.#run = run;
    this.#fault = fault;
    this.#disk.fault = fault;
    this.#play = run.play(this.#disk);
    this.#workload = this.#play.workload;
  }

  async play(): Promise<void> {
    const storage = await this.#open();
    if (storage === undefined) return;
    for (let call = 0; call < CALLS; call += 1) {
      const last = this.#isNear() ? await fingerprint(storage) : undefined;
      const refusal = await this.#workload.step(storage).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (refusal !== undefined) this.#expectNothing(refusal, last, await fingerprint(storage));
      await engineTimers.pass(call % 3);
    }
    await this.#expectRoomAgain(storage);
    await this.#expectKept(await fingerprint(storage));
  }

  /** A disk too full for the opening lets the next one in when there is room. */
  async #open(): Promise<EmbeddedStorage | undefined> {
    try {
      return await openDisk(this.#disk, this.#play.clock, this.#run);
    } catch (error) {
      if (!(error instanceof StorageUnavailableError || isDiskFull(error))) throw error;
      this.#disk.fault = undefined;
      await this.#expectKept(this.#run.states[0] as string);
      return undefined;
    }
  }

  /** Only about then can a call be refused in the middle of what it does. */
  #isNear(): boolean {
    const { operation, until = operation } = this.#fault;
    return this.#disk.operations > operation - NEAR && this.#disk.operations <= until;
  }

  #expectNothing(refusal: unknown, before: string | undefined, after: string): void {
    if (!(refusal instanceof StorageUnavailableError)) throw refusal;
    if (before !== undefined && after !== before)
      throw new Error("a refused call changed something", { cause: refusal });
    this.refused += 1;
  }

  async #expectRoomAgain(storage: EmbeddedStorage): Promise<void> {
    if (this.#disk.operations < (this.#fault.until ?? 0)) this.#disk.fault = undefined;
    // The look for room fails while there is none, and is one of the operations that the disk counts.
    for (let second = 0; second < FULL_FOR_MAX && storage.trouble() !== undefined; second += 1) {
      await engineTimers.pass(SECOND);
    }
    if (storage.trouble() !== undefined) throw new Error(`there is room, but: ${storage.trouble()?.reason}`);
    await storage.enqueue(QUEUES[0] as (typeof QUEUES)[0], [aTask()]);
  }

  async #expectKept(last: string): Promise<void> {
    engineTimers.forget();
    await expectWhole(this.#disk.afterKill(), this.#play.clock, "boot-1", {
      states: [last],
      atLeast: 0,
      atMost: 0,
      fence: this.#workload.fence,
    });
  }
}
