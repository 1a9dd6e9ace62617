/**
 * How many seeded runs each kind of disaster is tried with: 500, and more with DIBS_DISK_RUNS (the long mode is
 * 5000). The kinds take turns, so that one of them happens at each operation of each run; with few runs, as for one
 * seed alone, all of them do. DIBS_DISK_SEED is the first seed: a failure names the one to try alone.
 */
const { DIBS_DISK_RUNS, DIBS_DISK_SEED } = process.env;
const RUNS = Number(DIBS_DISK_RUNS ?? 500);
const FIRST = Number(DIBS_DISK_SEED ?? 1);
const FEW_RUNS = 20;
/** Calls of a run. */
export const CALLS = 32;

/** What can go wrong at one operation of the disk. */
export const DISASTERS = ["kill", "power cut", "flipped bit", "error", "full disk"] as const;
export type Disaster = (typeof DISASTERS)[number];

export function isTurnOf(disaster: Disaster, seed: number, operation: number): boolean {
  if (RUNS <= FEW_RUNS) return true;
  return DISASTERS[(seed + operation) % DISASTERS.length] === disaster;
}

/** The same for what goes wrong at one of the reads, of which there are about as many. */
export function isTurnOfRead(seed: number, read: number): boolean {
  return RUNS <= FEW_RUNS || (seed + read) % DISASTERS.length === 0;
}

/** Tries all seeds, and says which one failed. */
export async function forEachSeed(attempt: (seed: number) => Promise<void>): Promise<void> {
  for (let seed = FIRST; seed < FIRST + RUNS; seed += 1) {
    try {
      await attempt(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: try it alone with DIBS_DISK_SEED=${seed} DIBS_DISK_RUNS=1`, {
        cause: error,
      });
    }
  }
}

/** Long enough for the long mode on a slow machine. */
export const LIMIT_MS = 60_000 + RUNS * 4_000;
