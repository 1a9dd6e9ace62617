import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { CorruptJournalError } from "../../../src/storage/embedded/corrupt-journal.ts";
import type { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import { DibsError, StorageUnavailableError } from "../../../src/task/errors.ts";
import { SimulatedDisk, seeded } from "../simulated-disk.ts";
import { fingerprint } from "../workload.ts";
import { Account } from "./account.ts";
import { engineTimers } from "./engine-timers.ts";
import { openDisk, type Play, Run } from "./run.ts";
import { CALLS, forEachSeed, isTurnOfRead, LIMIT_MS } from "./seeds.ts";

beforeEach(() => engineTimers.take());
afterEach(() => engineTimers.giveBack());

const told: string[] = [];
afterAll(() => process.stderr.write(told.map((line) => `${line}\n`).join("")));

/** A run call by call, in which calls may be refused because something cannot be read. */
class Reading {
  readonly disk = new SimulatedDisk();
  readonly account = new Account();
  readonly play: Play;
  readonly #run: Run;
  storage: EmbeddedStorage | undefined;
  refused = 0;

  constructor(run: Run) {
    this.#run = run;
    this.play = run.play(this.disk);
  }

  async toEnd(): Promise<void> {
    const storage = await openDisk(this.disk, this.play.clock, this.#run);
    this.storage = storage;
    const watched = this.account.over(storage);
    for (let call = 0; call < CALLS; call += 1) {
      await this.play.workload.step(watched).catch((error: unknown) => this.#expectPlace(error));
      await engineTimers.pass(call % 3);
    }
  }

  #expectPlace(error: unknown): void {
    if (!(error instanceof StorageUnavailableError)) throw error;
    expect(error.details).toEqual({ file: this.disk.wentBad?.name, offset: expect.any(Number) });
    this.refused += 1;
  }

  /** After the end the sector can be read again, and a start shows all that there was; with it, it refuses. */
  async expectKept(): Promise<"whole" | "refused"> {
    const { play, disk } = this;
    expect(this.storage?.trouble()?.isFinal).not.toBe(true);
    engineTimers.forget();
    const mended = await openDisk(disk.mended(), play.clock, this.#run);
    await this.account.expectKept(mended);
    const all = await fingerprint(mended);
    engineTimers.forget();
    const killed = disk.afterKill();
    const outcome = await openDisk(killed, play.clock, this.#run).then(
      fingerprint,
      (error: unknown) => error,
    );
    engineTimers.forget();
    if (outcome === all) return "whole";
    expect(outcome).toBeInstanceOf(CorruptJournalError);
    return "refused";
  }
}

describe("when a sector cannot be read any more", () => {
  it(
    "no call hands out another payload, and no task is lost, doubled or leased to nobody",
    async () => {
      const tally = { runs: 0, reads: 0, injections: 0, hit: 0, refusedCalls: 0, refusedStarts: 0 };
      await forEachSeed(async (seed) => {
        const run = await Run.plan(seed, CALLS);
        const sound = new Reading(run);
        await sound.toEnd();
        engineTimers.forget();
        tally.runs += 1;
        tally.reads += sound.disk.reads;
        for (let read = 1; read <= sound.disk.reads; read += 1) {
          if (!isTurnOfRead(seed, read)) continue;
          const reading = new Reading(run);
          reading.disk.badSector = { read, part: seeded(seed * 17 + read)() };
          await reading.toEnd();
          tally.injections += 1;
          tally.refusedCalls += reading.refused;
          if (reading.disk.wentBad !== undefined) tally.hit += 1;
          if ((await reading.expectKept()) === "refused") tally.refusedStarts += 1;
        }
      });

      told.push(
        `bad sector: ${tally.runs} runs, ${tally.reads} reads, ${tally.injections} injections, ${tally.hit} hit, ${tally.refusedCalls} calls and ${tally.refusedStarts} starts refused`,
      );
      expect(tally.hit).toBeGreaterThan(0);
      expect(tally.refusedStarts).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  it(
    "a start refuses with file and offset, changes nothing, and opens when it can be read again",
    async () => {
      const tally = { starts: 0, injections: 0 };
      await forEachSeed(async (seed) => {
        const run = await Run.plan(seed, CALLS);
        const disk = new SimulatedDisk();
        await run.play(disk).toEnd();
        engineTimers.forget();
        const clock = run.play(new SimulatedDisk()).clock;
        const sound = disk.afterKill();
        const all = await fingerprint(await openDisk(sound, clock, run));
        engineTimers.forget();
        tally.starts += 1;
        for (let read = 1; read <= sound.reads; read += 1) {
          if (!isTurnOfRead(seed, read)) continue;
          const left = disk.afterKill();
          left.badSector = { read, part: seeded(seed * 19 + read)() };
          const before = contentsOf(left);
          const refusal = await openDisk(left, clock, run).catch((error: unknown) => error);
          engineTimers.forget();
          // Past the reading a start has begun to write: then what it read once is read for its copy.
          if (!(refusal instanceof Error)) continue;
          tally.injections += 1;
          expectPlace(refusal, left);
          if (refusal instanceof CorruptJournalError)
            expect(isDeepStrictEqual(contentsOf(left), before)).toBe(true);
          expect(left.openFiles).toBe(0);
          expect(await fingerprint(await openDisk(left.mended(), clock, run))).toBe(all);
          engineTimers.forget();
        }
      });

      told.push(`bad sector at a start: ${tally.starts} starts, ${tally.injections} injections refused`);
      expect(tally.injections).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

function expectPlace(refusal: Error, disk: SimulatedDisk): void {
  const { file, offset } =
    refusal instanceof DibsError ? (refusal.details ?? {}) : (refusal as { file?: string; offset?: number });
  expect({ file, offset }).toEqual({ file: disk.wentBad?.name, offset: disk.wentBad?.offset });
}

function contentsOf(disk: SimulatedDisk): Map<string, Buffer> {
  return new Map(
    disk
      .list()
      .sort()
      .map((name) => [name, disk.content(name)]),
  );
}
