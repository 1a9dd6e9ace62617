import { readFileSync } from "node:fs";
import { type FileHandle, readdir, readFile } from "node:fs/promises";
import { hostname, uptime } from "node:os";
import { join } from "node:path";

/** What a holder of a folder says of itself in its lock file. */
export interface HolderRecord {
  /** The run of the machine that the holder lives in; a process never outlives it. */
  readonly boot: string;
  readonly pid: number;
  /** Names this one holding, and its socket. */
  readonly nonce: string;
  /** Epoch milliseconds. */
  readonly since: number;
  /** Grows with each beat of a living holder; all that another machine can see of it. */
  readonly counter: number;
  /** Where the holder serves, once it does. */
  readonly url?: string;
  /** False where the file system takes no sockets; the counter decides then. */
  readonly socket: boolean;
  /** True once the holder has let go. */
  readonly released: boolean;
}

/**
 * Lock files are `holder-1`, `holder-2`, …; the highest number holds the folder, or held it last.
 *
 * A number is taken once, by creating its file, and the highest file is never removed. So of many that see
 * the same dead holder exactly one gets the next number, and one that slept since then cannot take a number
 * that is still worth anything. (One file, moved aside when stale, has a moment in which a living holder's
 * file is away, and a third process takes the folder.)
 */
export function holderPath(place: string, generation: number): string {
  return join(place, `holder-${generation}`);
}

/** The numbers of the lock files, highest last; none when their folder was removed. */
export async function generationsIn(place: string): Promise<number[]> {
  const names = (await readdir(place).catch(missingAsUndefined)) ?? [];
  const numbers = names.map((name) => Number(/^holder-(\d+)$/.exec(name)?.[1]));
  return numbers.filter((number) => number > 0).sort((a, b) => a - b);
}

/** A lock file as found: its text, and what it says when it says something. */
export interface FoundRecord {
  readonly text: string;
  readonly record?: HolderRecord;
}

/** Reads a lock file; undefined when it is not there. */
export async function readRecord(path: string): Promise<FoundRecord | undefined> {
  const text = await readFile(path, "utf8").catch(missingAsUndefined);
  if (text === undefined) return undefined;
  try {
    return { text, record: JSON.parse(text) as HolderRecord };
  } catch {
    return { text }; // Empty or half-written: just being made, or what a power cut left of it.
  }
}

function missingAsUndefined(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/** Long enough for any honest URL. A fixed length is written over in place, which a full disk does not stop. */
const RECORD_BYTES = 1024;

/** Writes the record over the one before. */
export async function writeRecord(file: FileHandle, record: HolderRecord): Promise<void> {
  const bytes = Buffer.alloc(RECORD_BYTES, " ");
  const text = JSON.stringify(record);
  if (bytes.write(text) < Buffer.byteLength(text)) throw new RangeError(`Too long for a lock file: ${text}`);
  await file.write(bytes, 0, RECORD_BYTES, 0);
}

/**
 * Names the present run of this machine. Elsewhere than on Linux it is made of the host name and the minute
 * of the start; where that goes wrong it looks like another run, and the counter decides.
 */
export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return `${hostname()}@${Math.round((Date.now() / 1_000 - uptime()) / 60)}`;
  }
}
