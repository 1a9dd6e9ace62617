/**
 * All that the embedded engine asks of a disk. The engine is proven by putting a failing one in this place,
 * so nothing else in this folder touches files (the folder's lock apart).
 */
export interface Disk {
  /** Names of the files, in no order. */
  list(): string[];
  /** Opens a file for reading and writing; `create` makes it, and fails when it is there. */
  open(name: string, options: { readonly create: boolean }): DiskFile;
  /** Replaces `to` when it exists. */
  rename(from: string, to: string): void;
  /** Does nothing when the file is not there. */
  remove(name: string): void;
  /** Makes creations, renames and removals survive a power cut. */
  syncFolder(): Promise<void>;
  syncFolderNow(): void;
}

export interface DiskFile {
  size(): number;
  /**
   * Reads up to `target.length` bytes at `offset`; returns how many there were.
   * @throws {ReadError} for a part that is there and cannot be read.
   */
  read(target: Uint8Array, offset: number): number;
  /** Writes all of `bytes` at `offset`, or throws after having written none or a part. */
  write(bytes: Uint8Array, offset: number): void;
  truncate(length: number): void;
  /** Makes the content survive a power cut. After a failure nothing is known about what was written. */
  sync(): Promise<void>;
  syncNow(): void;
  close(): void;
  /** Closes a file that has been removed. Nobody waits for it: a disk takes its time to give the room back. */
  closeRemoved(): void;
}

/** A part of a file that the disk does not give back: a bad sector, a volume that went away. */
export class ReadError extends Error {
  readonly file: string;
  readonly offset: number;
  readonly code: string | undefined;

  constructor(file: string, offset: number, cause: unknown) {
    super(`Cannot read ${file} at offset ${offset}: ${(cause as Error).message}`, { cause });
    this.file = file;
    this.offset = offset;
    this.code = (cause as NodeJS.ErrnoException).code;
  }
}

const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** True for the errors of a disk (or quota) without room, after which the same write may work later. */
export function isDiskFull(error: unknown): boolean {
  return FULL.has((error as { code?: string } | null)?.code ?? "");
}
