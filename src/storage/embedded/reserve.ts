import type { Disk, DiskFile } from "./disk.ts";
import { isDiskFull } from "./disk.ts";

const NAME = "reserve";
const UNFINISHED = "reserve.new";
const CHUNK = Buffer.alloc(256 * 1024);

/**
 * Room on the disk that is already ours: a file of zeros. When the disk is full it becomes the next segment,
 * so that claims, settles, pruning and compaction go on, and by that make room, while enqueues wait.
 */
export class Reserve {
  readonly #disk: Disk;
  /** 0: no reserve is kept. */
  readonly bytes: number;
  #present = false;

  constructor(disk: Disk, bytes: number) {
    this.#disk = disk;
    this.bytes = bytes;
  }

  get present(): boolean {
    return this.#present;
  }

  /** Makes the reserve when it is not there; false when the disk has no room for it. */
  fill(): boolean {
    if (this.bytes === 0 || this.#present) return true;
    const names = this.#disk.list();
    this.#disk.remove(UNFINISHED);
    if (names.includes(NAME) && this.#sizeOf(NAME) === this.bytes) this.#present = true;
    else this.#present = this.#write();
    return this.#present;
  }

  /** Tries whether the disk has room again, with and without the reserve in place. */
  roomAgain(): boolean {
    if (!this.#present) return this.fill();
    return this.#whenRoom(() => {
      this.#allocate();
      this.#disk.remove(UNFINISHED);
    });
  }

  /** Turns the reserve into the file `name`. */
  becomes(name: string): DiskFile {
    this.#disk.rename(NAME, name);
    this.#present = false;
    return this.#disk.open(name, { create: false });
  }

  #write(): boolean {
    return this.#whenRoom(() => {
      this.#allocate();
      this.#disk.rename(UNFINISHED, NAME);
    });
  }

  /** False, and nothing left behind, when the disk has no room for what it does. */
  #whenRoom(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#disk.remove(UNFINISHED);
      return false;
    }
  }

  #allocate(): void {
    const file = this.#disk.open(UNFINISHED, { create: true });
    try {
      for (let at = 0; at < this.bytes; at += CHUNK.length) {
        file.write(CHUNK.subarray(0, Math.min(CHUNK.length, this.bytes - at)), at);
      }
    } finally {
      file.close();
    }
  }

  #sizeOf(name: string): number {
    const file = this.#disk.open(name, { create: false });
    try {
      return file.size();
    } finally {
      file.close();
    }
  }
}
