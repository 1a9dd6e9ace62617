import { ManualClock } from "../../../src/clock.ts";
import { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import type { Durability } from "../../../src/storage/embedded/journal.ts";
import { segmentNumbers } from "../../../src/storage/embedded/segment.ts";
import { StorageUnavailableError } from "../../../src/task/errors.ts";
import { type Operation, type SimulatedDisk, seeded } from "../simulated-disk.ts";
import { fingerprint, Workload } from "../workload.ts";
import { engineTimers } from "./engine-timers.ts";

/** Small segments and blocks, so that rotation, snapshots and new fences happen in every run. */
const SIZES = { segmentBytes: 2_000, reserveBytes: 2_048, cacheBytesMax: 1_000, fenceBlock: 6 };
const CALLS_AT_ONCE_MAX = 3;
/** Longer than the engine takes to flush in the background what nobody waits for. */
const SECOND = 1_000;
const STEP_OF_COMPACTION = 3;
const TURNS_OF_A_FLUSH_MAX = 12;
const MODES: readonly Durability[] = ["process", "power", "process", "power", "none"];

export interface OpenOptions {
  readonly durability: Durability;
  readonly bootId?: string;
}

export function openDisk(
  disk: SimulatedDisk,
  clock: ManualClock,
  options: OpenOptions,
): Promise<EmbeddedStorage> {
  return EmbeddedStorage.open({ disk, clock, bootId: "boot-1", ...SIZES, ...options });
}

/** What is known in one moment of a run: how many calls began, were answered, and are past a power cut. */
export interface Progress {
  begun: number;
  answered: number;
  flushed: number;
  /** The highest fence that a worker has. */
  fence: number;
}

/** How a run is cut into calls at once and pauses; the same for a seed, whatever the disk does. */
interface Beat {
  readonly calls: number;
  readonly pauseMs: number;
}

/**
 * One seeded run of an engine on a disk: calls one by one and several at once, with the engine's own timers
 * firing between them. `states` is what a user sees after each call, the empty store first; it comes from a
 * twin in memory, so that looking flushes nothing.
 */
export class Run {
  readonly seed: number;
  readonly durability: Durability;
  readonly states: string[] = [];
  readonly #beats: Beat[];

  private constructor(seed: number, calls: number) {
    this.seed = seed;
    this.durability = MODES[seed % MODES.length] as Durability;
    this.#beats = beats(seeded(seed * 7_919 + 1), calls);
  }

  /** Plays the run once in memory, for its states. */
  static async plan(seed: number, calls: number): Promise<Run> {
    const run = new Run(seed, calls);
    const clock = new ManualClock();
    const storage = await EmbeddedStorage.open({ clock, durability: "none", fenceBlock: SIZES.fenceBlock });
    const workload = new Workload(seeded(seed), clock);
    run.states.push(await fingerprint(storage));
    for (const beat of run.#beats) {
      const replies = [];
      for (let call = 0; call < beat.calls; call += 1) {
        replies.push(await workload.call(storage));
        run.states.push(await fingerprint(storage));
      }
      for (const grants of replies) workload.hold(grants);
    }
    engineTimers.forget();
    return run;
  }

  /** Plays it on a disk. With `onOperation` each operation of the disk is shown before it happens. */
  play(disk: SimulatedDisk, onOperation?: (operation: Operation, progress: Progress) => void): Play {
    return new Play(this, this.#beats, disk, onOperation);
  }
}

/** A run on a disk. */
export class Play {
  readonly clock = new ManualClock();
  readonly progress: Progress = { begun: 0, answered: 0, flushed: 0, fence: 0 };
  readonly workload: Workload;
  readonly #run: Run;
  readonly #beats: readonly Beat[];
  readonly #disk: SimulatedDisk;
  /** The first error that a call was answered with. */
  refused: unknown;
  storage: EmbeddedStorage | undefined;

  constructor(
    run: Run,
    runBeats: readonly Beat[],
    disk: SimulatedDisk,
    onOperation?: (operation: Operation, progress: Progress) => void,
  ) {
    this.#run = run;
    this.#beats = runBeats;
    this.#disk = disk;
    this.workload = new Workload(seeded(run.seed), this.clock);
    const random = seeded(run.seed * 31 + 7);
    disk.turns = () => Math.floor(random() * TURNS_OF_A_FLUSH_MAX);
    if (onOperation !== undefined) {
      disk.onOperation = (operation) =>
        onOperation(operation, { ...this.progress, fence: this.workload.fence });
    }
  }

  /** To the end with an orderly close, or until a call is refused. Rejects when the opening fails. */
  async toEnd(): Promise<void> {
    this.storage = await openDisk(this.#disk, this.clock, this.#run);
    for (const beat of this.#beats) {
      await this.#beat(this.storage, beat);
      if (this.refused !== undefined) break;
    }
    this.progress.fence = this.workload.fence;
    if (this.refused === undefined) await this.#close(this.storage);
  }

  async #beat(storage: EmbeddedStorage, { calls, pauseMs }: Beat): Promise<void> {
    const replies = [];
    for (let call = 0; call < calls; call += 1) {
      this.progress.begun += 1;
      replies.push(
        this.workload.call(storage).then((grants) => {
          this.progress.answered += 1;
          return grants;
        }),
      );
    }
    const settled = await Promise.allSettled(replies);
    for (const reply of settled) {
      if (reply.status === "fulfilled") this.workload.hold(reply.value);
      else this.refused ??= reply.reason;
    }
    if (this.refused !== undefined || pauseMs === 0) return;
    await engineTimers.pass(pauseMs);
    if (pauseMs >= SECOND && storage.trouble() === undefined) this.progress.flushed = this.progress.answered;
  }

  async #close(storage: EmbeddedStorage): Promise<void> {
    // One that stopped by itself has nothing more to bring to the disk.
    const hasStopped = storage.trouble()?.isFinal === true;
    try {
      await storage.close();
      if (!hasStopped) this.progress.flushed = this.progress.answered;
    } catch (error) {
      this.refused = error;
    }
  }
}

function beats(random: () => number, calls: number): Beat[] {
  const list: Beat[] = [];
  for (let left = calls; left > 0; ) {
    const at = Math.min(left, 1 + Math.floor(random() * CALLS_AT_ONCE_MAX));
    const dice = random();
    list.push({ calls: at, pauseMs: dice < 0.4 ? STEP_OF_COMPACTION : dice < 0.46 ? SECOND : 0 });
    left -= at;
  }
  return list;
}

/** Segments that compaction removed. */
export function segmentsGone(disk: SimulatedDisk): number {
  return (segmentNumbers(disk.list())[0] ?? 1) - 1;
}

export function isRefusal(error: unknown): boolean {
  return error instanceof StorageUnavailableError;
}
