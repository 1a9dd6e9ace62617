import type { Disk, DiskFile } from "../../src/storage/embedded/disk.ts";

/** What a simulated disk does wrong at one of its operations. */
export interface Fault {
  /** Counts from 1 over all operations that change something. */
  readonly operation: number;
  readonly kind: "EIO" | "ENOSPC";
  /** For a write: how much of it gets through before it fails, 0 to 1. */
  readonly part: number;
}

interface Change {
  readonly offset: number;
  /** Undefined: the file is cut to `offset`. */
  readonly bytes: Buffer | undefined;
}

/** A file: what a reader sees, what is on the platter, and the changes between the two. */
class Inode {
  seen: Buffer = Buffer.alloc(0);
  synced: Buffer = Buffer.alloc(0);
  pending: Change[] = [];
  /** True when a flush failed: what a reader sees and the platter differ also where nothing is pending. */
  hasLost = false;
}

type Entries = ReadonlyMap<string, Inode>;

/** Platters are written in sectors: a write that was not flushed can be torn between any two. */
const SECTOR = 512;

/**
 * A disk in memory that can fail and lose power: writes reach the platter only by a sync of the file, names
 * only by a sync of the folder. A power cut keeps any part of what was not flushed, in any order.
 */
export class SimulatedDisk implements Disk {
  #entries = new Map<string, Inode>();
  /** Folder states since the last flush, the flushed one first. */
  #history: Entries[] = [new Map()];
  operations = 0;
  syncs = 0;
  fault: Fault | undefined;
  /** From here on every operation fails, as after the process was killed. */
  dead = false;

  list(): string[] {
    return [...this.#entries.keys()];
  }

  open(name: string, options: { readonly create: boolean }): DiskFile {
    let inode = this.#entries.get(name);
    if ((inode !== undefined) === options.create) throw coded(options.create ? "EEXIST" : "ENOENT", name);
    if (inode === undefined) {
      this.step();
      inode = new Inode();
      this.#rename(() => this.#entries.set(name, inode as Inode));
    }
    return new SimulatedFile(this, inode);
  }

  rename(from: string, to: string): void {
    this.step();
    const inode = this.#entries.get(from);
    if (inode === undefined) throw coded("ENOENT", from);
    this.#rename(() => {
      this.#entries.delete(from);
      this.#entries.set(to, inode);
    });
  }

  remove(name: string): void {
    this.step(false);
    if (!this.#entries.has(name)) throw coded("ENOENT", name);
    this.#rename(() => this.#entries.delete(name));
  }

  async syncFolder(): Promise<void> {
    this.syncFolderNow();
  }

  syncFolderNow(): void {
    this.step(false);
    this.#history = [new Map(this.#entries)];
  }

  /** What the next process finds when this one was killed. */
  afterKill(): SimulatedDisk {
    const next = new SimulatedDisk();
    for (const [name, inode] of this.#entries) next.#entries.set(name, inode);
    next.#history = this.#history.slice();
    return next;
  }

  /** What is left after the power went: flushed bytes, and by chance some of the others. */
  afterPowerCut(random: () => number): SimulatedDisk {
    const next = new SimulatedDisk();
    const entries = this.#history[Math.floor(random() * this.#history.length)] as Entries;
    for (const [name, inode] of entries) {
      const left = new Inode();
      left.synced = survivingContent(inode, random);
      left.seen = left.synced;
      next.#entries.set(name, left);
    }
    next.#history = [new Map(next.#entries)];
    return next;
  }

  /** Flips one bit of a file. */
  flip(name: string, offset: number): void {
    const inode = this.#entries.get(name) as Inode;
    const changed = Buffer.from(inode.seen);
    changed[offset] = (changed[offset] as number) ^ 1;
    inode.seen = changed;
  }

  content(name: string): Buffer {
    return (this.#entries.get(name) as Inode).seen;
  }

  /** Replaces a file's content, as someone with another tool would. */
  replace(name: string, content: Buffer): void {
    const inode = new Inode();
    inode.seen = content;
    inode.synced = content;
    this.#entries.set(name, inode);
    this.#history = [new Map(this.#entries)];
  }

  /**
   * Counts an operation; throws when its turn to fail has come. Returns the part that a write gets through.
   * What takes no room, a flush, does not fail for the want of it.
   */
  step(takesRoom = true): number {
    if (this.dead) throw coded("EIO", "the process is gone");
    this.operations += 1;
    if (this.fault?.operation !== this.operations) return 1;
    if (this.fault.kind === "ENOSPC" && !takesRoom) return 1;
    if (this.fault.part === 0 || this.fault.part === 1) throw coded(this.fault.kind, "simulated");
    return this.fault.part;
  }

  failed(): never {
    throw coded(this.fault?.kind ?? "EIO", "simulated, after a part");
  }

  #rename(change: () => void): void {
    change();
    this.#history.push(new Map(this.#entries));
  }
}

class SimulatedFile implements DiskFile {
  readonly #disk: SimulatedDisk;
  readonly #inode: Inode;

  constructor(disk: SimulatedDisk, inode: Inode) {
    this.#disk = disk;
    this.#inode = inode;
  }

  size(): number {
    return this.#inode.seen.length;
  }

  read(target: Uint8Array, offset: number): number {
    const part = this.#inode.seen.subarray(offset, offset + target.length);
    target.set(part);
    return part.length;
  }

  write(bytes: Uint8Array, offset: number): void {
    const part = this.#disk.step();
    const through = Buffer.from(bytes.subarray(0, Math.floor(bytes.length * part)));
    this.#apply({ offset, bytes: through });
    if (part < 1) this.#disk.failed();
  }

  truncate(length: number): void {
    if (this.#disk.step(false) < 1) this.#disk.failed();
    this.#apply({ offset: length, bytes: undefined });
  }

  async sync(): Promise<void> {
    this.syncNow();
  }

  syncNow(): void {
    if (this.#disk.dead) this.#disk.failed();
    const { pending } = this.#inode;
    // After a failed flush the cache shows what the platter never gets, unless it is written again: nothing is
    // pending any more, and the next flush succeeds without it.
    this.#inode.pending = [];
    const hadLost = this.#inode.hasLost;
    this.#inode.hasLost ||= pending.length > 0;
    if (this.#disk.step(false) < 1) this.#disk.failed();
    this.#inode.hasLost = hadLost;
    this.#disk.syncs += 1;
    this.#inode.synced = hadLost
      ? pending.reduce((content, change) => changed(content, change), this.#inode.synced)
      : this.#inode.seen;
  }

  close(): void {}

  #apply(change: Change): void {
    this.#inode.seen = changed(this.#inode.seen, change);
    this.#inode.pending.push(change);
  }
}

function changed(content: Buffer, { offset, bytes }: Change): Buffer {
  if (bytes === undefined) return content.subarray(0, offset);
  const end = Math.max(content.length, offset + bytes.length);
  const next = Buffer.alloc(end);
  content.copy(next);
  bytes.copy(next, offset);
  return next;
}

/** Half of the time what was written in order up to a point; else any sectors of any writes. */
function survivingContent(inode: Inode, random: () => number): Buffer {
  let content = inode.synced;
  const ordered = random() < 0.5;
  const upTo = Math.floor(random() * (inode.pending.length + 1));
  for (const [index, change] of inode.pending.entries()) {
    if (change.bytes === undefined) {
      if (index < upTo) content = changed(content, change);
      continue;
    }
    if (ordered && index < upTo) content = changed(content, change);
    else if (ordered && index === upTo && random() < 0.5) content = changed(content, torn(change, random));
    else if (!ordered) content = withSomeSectors(content, change, random);
  }
  return content;
}

function torn(change: Change, random: () => number): Change {
  const bytes = change.bytes as Buffer;
  return { offset: change.offset, bytes: bytes.subarray(0, Math.floor(random() * bytes.length)) };
}

function withSomeSectors(content: Buffer, change: Change, random: () => number): Buffer {
  const bytes = change.bytes as Buffer;
  let next = content;
  let at = 0;
  while (at < bytes.length) {
    const sectorEnd = SECTOR - ((change.offset + at) % SECTOR);
    const part = bytes.subarray(at, at + sectorEnd);
    if (random() < 0.7) next = changed(next, { offset: change.offset + at, bytes: part });
    at += part.length;
  }
  return next;
}

function coded(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}

/** A small seeded generator (mulberry32), so that every run can be had again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
