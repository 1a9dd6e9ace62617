import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { InvalidRequestError } from "../../../task/errors.ts";
import type { Disk, DiskFile } from "../disk.ts";
import { segmentName, segmentNumbers } from "../segment.ts";

/** What a disk fails to read at once. */
const BLOCK = 4_096;
/** A server that begins a segment at each look would have to write 32 MiB in a millisecond. */
const LOOKS_MAX = 100;

/**
 * The journal of a folder as it is at one moment, for reading only; a server may go on writing to the folder.
 *
 * Segments are only appended to, and removed from the front after what lives in them was written again behind.
 * So all segments of one listing, the last one as long as it is at that moment, are a whole journal: the one
 * that a kill at that moment would leave. They are kept open, because a server may remove one meanwhile.
 */
export class FrozenDisk implements Disk {
  readonly folder: string;
  readonly numbers: readonly number[];
  readonly #files: Map<string, FrozenFile>;

  private constructor(folder: string, files: ReadonlyMap<number, FrozenFile>) {
    this.folder = folder;
    this.numbers = [...files.keys()];
    this.#files = new Map([...files].map(([number, file]) => [segmentName(number), file]));
  }

  /** @throws {InvalidRequestError} when there is no journal at that place. */
  static open(folder: string): FrozenDisk {
    refuseUnlessStore(folder);
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      const files = openAll(folder);
      if (files !== undefined) return new FrozenDisk(folder, files);
    }
    throw new Error(`The files of ${folder} changed at each of ${LOOKS_MAX} looks`);
  }

  /** Bytes of all segments. */
  get bytes(): number {
    let bytes = 0;
    for (const file of this.#files.values()) bytes += file.size();
    return bytes;
  }

  /** All of a segment. */
  content(number: number): Buffer {
    return this.read(number, 0, this.open(segmentName(number)).size());
  }

  /** A part of a segment; shorter where the segment ends. */
  read(number: number, offset: number, length: number): Buffer {
    const content = Buffer.allocUnsafeSlow(length);
    return content.subarray(0, this.open(segmentName(number)).read(content, offset));
  }

  list(): string[] {
    return [...this.#files.keys()];
  }

  open(name: string): DiskFile {
    const file = this.#files.get(name);
    if (file === undefined) throw new Error(`${name} is not in ${this.folder}`);
    return file;
  }

  /** Hides a file: recovery removes what a power cut left behind a torn tail. */
  remove(name: string): void {
    this.#files.delete(name);
  }

  rename(): never {
    throw readOnly();
  }

  async syncFolder(): Promise<void> {}

  syncFolderNow(): void {}

  close(): void {
    for (const file of this.#files.values()) file.end();
  }
}

class FrozenFile implements DiskFile {
  readonly #fd: number;
  readonly #size: number;

  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.#size = fstatSync(this.#fd).size;
  }

  size(): number {
    return this.#size;
  }

  read(target: Uint8Array, offset: number): number {
    const wanted = Math.max(0, Math.min(target.length, this.#size - offset));
    let done = 0;
    while (done < wanted) {
      const count = this.#readSome(target, done, wanted - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  /** What the disk cannot read becomes bytes that fit no checksum: what lies behind it is read all the same. */
  #readSome(target: Uint8Array, at: number, length: number, offset: number): number {
    try {
      return readSync(this.#fd, target, at, length, offset);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
    }
    const one = Math.min(length, BLOCK - (offset % BLOCK));
    try {
      return readSync(this.#fd, target, at, one, offset);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
      target.fill(0xff, at, at + one);
      return one;
    }
  }

  write(): never {
    throw readOnly();
  }

  /** Recovery cuts what lies behind the last frame; here nobody reads that far. */
  truncate(): void {}

  async sync(): Promise<void> {}

  syncNow(): void {}

  /** Many open and close a file; it is the disk that ends it. */
  close(): void {}

  closeRemoved(): void {}

  end(): void {
    closeSync(this.#fd);
  }
}

function readOnly(): Error {
  return new Error("This folder is only read");
}

function refuseUnlessStore(folder: string): void {
  if (!existsSync(folder)) throw noStore(folder, "there is no such folder");
  if (!statSync(folder).isDirectory()) throw noStore(folder, "it is no folder");
  if (segmentNumbers(readdirSync(folder)).length === 0) throw noStore(folder, "it has no journal");
}

function noStore(folder: string, why: string): InvalidRequestError {
  return new InvalidRequestError(`${folder} is not a store of Dibs: ${why}`, {
    details: { field: "folder", bound: "a folder with journal-….log files", value: folder },
  });
}

/** All segments of one moment; undefined when they changed meanwhile. */
function openAll(folder: string): ReadonlyMap<number, FrozenFile> | undefined {
  const numbers = segmentNumbers(readdirSync(folder));
  const files = new Map<number, FrozenFile>();
  try {
    for (const number of numbers) files.set(number, new FrozenFile(join(folder, segmentName(number))));
    const later = segmentNumbers(readdirSync(folder));
    if (later.length === numbers.length && later.every((number, at) => number === numbers[at])) return files;
  } catch (error) {
    closeAll(files);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
  closeAll(files);
  return undefined;
}

function closeAll(files: ReadonlyMap<number, FrozenFile>): void {
  for (const file of files.values()) file.end();
}
