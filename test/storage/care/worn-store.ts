import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { ManualClock } from "../../../src/clock.ts";
import { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import { segmentNumbers } from "../../../src/storage/embedded/segment.ts";
import { seeded } from "../simulated-disk.ts";
import { Workload } from "../workload.ts";

/** So small that a short life has many segments, and compaction at work. */
const SIZES = { segmentBytes: 6_000, reserveBytes: 0, cacheBytesMax: 2_000, fenceBlock: 6 };

/** A place for folders, gone with the test. */
export function aPlace(): string {
  const place = mkdtempSync(join(tmpdir(), "dibs-care-"));
  onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  return place;
}

/** A folder with a life behind it, and the means to go on with that. */
export class WornStore {
  readonly folder: string;
  readonly clock = new ManualClock();
  readonly random: () => number;
  readonly workload: Workload;

  constructor(folder: string, seed: number) {
    this.folder = folder;
    this.random = seeded(seed);
    this.workload = new Workload(this.random, this.clock);
  }

  open(folder: string = this.folder, sizes: Partial<typeof SIZES> = {}): Promise<EmbeddedStorage> {
    return EmbeddedStorage.open({ folder, clock: this.clock, ...SIZES, ...sizes });
  }

  async work(storage: EmbeddedStorage, steps: number): Promise<void> {
    for (let step = 0; step < steps; step += 1) await this.workload.step(storage);
  }

  /** Opens, works and closes. */
  async live(steps: number, sizes: Partial<typeof SIZES> = {}): Promise<void> {
    await using(await this.open(this.folder, sizes), (storage) => this.work(storage, steps));
  }

  below(bound: number): number {
    return Math.floor(this.random() * bound);
  }
}

export async function using<T>(
  storage: EmbeddedStorage,
  use: (storage: EmbeddedStorage) => Promise<T>,
): Promise<T> {
  try {
    return await use(storage);
  } finally {
    await storage.close();
  }
}

/** Numbers of the segments of a folder. */
export function segmentsOf(folder: string): number[] {
  return segmentNumbers(readdirSync(folder));
}
