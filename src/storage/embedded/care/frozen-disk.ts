import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { InvalidRequestError } from "../../../task/errors.ts";
import { type Disk, type DiskFile, ReadError } from "../disk.ts";
import { segmentName, segmentNumbers } from "../segment.ts";

/** What a disk fails to read at once. */
const BLOCK = 4_096;
/** What stands for bytes that it does not give: fits no checksum, and is no room that was kept for more. */
const UNREADABLE = 0xff;
/** A server that begins a segment at each look would have to write 32 MiB in a millisecond. */
const LOOKS_MAX = 100;

/**
 * The journal of a folder as it is at one moment, for reading only; a server may go on writing to the folder.
 *
 * Segments are only appended to, and removed from the front after what lives in them was written again behind.
 * So all segments of one listing, the last one as long as it is at that moment, are a whole journal: the one
 * that a kill at that moment would leave. They are kept open, because a server may remove one meanwhile.
 *
 * Its files fail where the disk cannot read, as a start would. Its own reads go on: what the disk does not give becomes
 * bytes that fit no checksum, and is remembered.
 */
export class FrozenDisk implements Disk {
  readonly folder: string;
  readonly numbers: readonly number[];
  readonly #files: Map<string, FrozenFile>;
  readonly #byNumber: ReadonlyMap<number, FrozenFile>;

  private constructor(folder: string, files: ReadonlyMap<number, FrozenFile>) {
    this.folder = folder;
    this.numbers = [...files.keys()];
    this.#byNumber = files;
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
    return this.read(number, 0, this.#file(number).size());
  }

  /** A part of a segment; shorter where the segment ends. */
  read(number: number, offset: number, length: number): Buffer {
    const content = Buffer.allocUnsafeSlow(length);
    return content.subarray(0, this.#file(number).readAround(content, offset));
  }

  /** The first of these bytes that the disk did not give; undefined when it gave them all. */
  unreadableIn(number: number, start: number, end: number): number | undefined {
    return this.#file(number).unreadableIn(start, end);
  }

  #file(number: number): FrozenFile {
    const file = this.#byNumber.get(number);
    if (file === undefined) throw new Error(`${segmentName(number)} is not in ${this.folder}`);
    return file;
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
    for (const file of this.#byNumber.values()) file.end();
  }
}

class FrozenFile implements DiskFile {
  readonly #name: string;
  readonly #fd: number;
  readonly #size: number;
  /** Where blocks begin that the disk did not give. */
  readonly #unreadable = new Set<number>();

  constructor(path: string) {
    this.#name = basename(path);
    this.#fd = openSync(path, "r");
    this.#size = fstatSync(this.#fd).size;
  }

  size(): number {
    return this.#size;
  }

  read(target: Uint8Array, offset: number): number {
    return this.#readAll(target, offset, (at, length, from) => {
      try {
        return readSync(this.#fd, target, at, length, from);
      } catch (error) {
        throw new ReadError(this.#name, from, error);
      }
    });
  }

  /** As {@link read}, with other bytes in the place of those that the disk cannot read. */
  readAround(target: Uint8Array, offset: number): number {
    return this.#readAll(target, offset, (at, length, from) => {
      const one = Math.min(length, BLOCK - (from % BLOCK));
      try {
        if (!this.#unreadable.has(blockOf(from))) return readSync(this.#fd, target, at, length, from);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
        // What is read at once fails as a whole: so each block of it by itself.
        if (one < length) return this.readAround(target.subarray(at, at + one), from);
        this.#unreadable.add(blockOf(from));
      }
      target.fill(UNREADABLE, at, at + one);
      return one;
    });
  }

  unreadableIn(start: number, end: number): number | undefined {
    for (let block = blockOf(start); block < end; block += BLOCK)
      if (this.#unreadable.has(block)) return Math.max(start, block);
    return undefined;
  }

  #readAll(
    target: Uint8Array,
    offset: number,
    readSome: (at: number, length: number, from: number) => number,
  ): number {
    const wanted = Math.max(0, Math.min(target.length, this.#size - offset));
    let done = 0;
    while (done < wanted) {
      const count = readSome(done, wanted - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
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

function blockOf(offset: number): number {
  return offset - (offset % BLOCK);
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
