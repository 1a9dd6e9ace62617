import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** The journal of a store as its folder shows it, whatever the engine says of itself. */
export interface JournalFiles {
  readonly bytes: number;
  /** Number of the oldest segment: it grows by one with each snapshot. */
  readonly oldest: number;
}

const SEGMENT = /^journal-(\d+)\.log$/;

export async function readJournalFiles(folder: string): Promise<JournalFiles> {
  const names = (await readdir(folder)).filter((name) => SEGMENT.test(name)).sort();
  const sizes = await Promise.all(names.map((name) => sizeOf(join(folder, name))));
  const oldest = Number(SEGMENT.exec(names[0] ?? "")?.[1] ?? 0);
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), oldest };
}

/** 0 when a snapshot has just removed it. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}
