import type { Disk, DiskFile } from "./disk.ts";

const CHUNK = 256 * 1024;

/**
 * Files in memory: what `memory:` and durability `none` run on. The same engine over it, journal included,
 * so that there is no second truth to maintain.
 */
export class MemoryDisk implements Disk {
  readonly #files = new Map<string, MemoryFile>();

  list(): string[] {
    return [...this.#files.keys()];
  }

  open(name: string, options: { readonly create: boolean }): DiskFile {
    const present = this.#files.get(name);
    if (present !== undefined && !options.create) return present;
    if (present !== undefined || !options.create) {
      throw Object.assign(new Error(`${name}: ${options.create ? "exists" : "not found"}`), {
        code: options.create ? "EEXIST" : "ENOENT",
      });
    }
    const file = new MemoryFile();
    this.#files.set(name, file);
    return file;
  }

  rename(from: string, to: string): void {
    const file = this.#files.get(from);
    if (file === undefined) throw Object.assign(new Error(`${from}: not found`), { code: "ENOENT" });
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  remove(name: string): void {
    this.#files.delete(name);
  }

  async syncFolder(): Promise<void> {}

  syncFolderNow(): void {}
}

/** Grows by whole chunks: one growing buffer would copy, and hold twice, all that was written. */
class MemoryFile implements DiskFile {
  readonly #chunks: Buffer[] = [];
  #length = 0;

  size(): number {
    return this.#length;
  }

  read(target: Uint8Array, offset: number): number {
    const end = Math.min(offset + target.length, this.#length);
    let at = offset;
    while (at < end) {
      const chunk = this.#chunks[Math.floor(at / CHUNK)] as Buffer;
      const from = at % CHUNK;
      const count = Math.min(CHUNK - from, end - at);
      target.set(chunk.subarray(from, from + count), at - offset);
      at += count;
    }
    return Math.max(0, end - offset);
  }

  write(bytes: Uint8Array, offset: number): void {
    const end = offset + bytes.length;
    while (this.#chunks.length * CHUNK < end) this.#chunks.push(Buffer.alloc(CHUNK));
    let at = offset;
    while (at < end) {
      const from = at % CHUNK;
      const count = Math.min(CHUNK - from, end - at);
      const chunk = this.#chunks[Math.floor(at / CHUNK)] as Buffer;
      chunk.set(bytes.subarray(at - offset, at - offset + count), from);
      at += count;
    }
    this.#length = Math.max(this.#length, end);
  }

  truncate(length: number): void {
    this.#chunks.length = Math.min(this.#chunks.length, Math.ceil(length / CHUNK));
    this.#length = Math.min(this.#length, length);
    const rest = length % CHUNK;
    if (rest > 0) this.#chunks.at(-1)?.fill(0, rest);
  }

  async sync(): Promise<void> {}

  syncNow(): void {}

  close(): void {}

  closeRemoved(): void {}
}
