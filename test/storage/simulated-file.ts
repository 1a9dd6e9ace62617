import type { DiskFile } from "../../src/storage/embedded/disk.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** Platters are written in sectors: a write that was not flushed can be torn between any two. */
const SECTOR = 512;

interface Change {
  readonly offset: number;
  /** Undefined: the file is cut to `offset`. */
  readonly bytes: Buffer | undefined;
}

/** A file: what a reader sees, what is on the platter, and the changes between the two. */
export class Inode {
  seen: Buffer = Buffer.alloc(0);
  synced: Buffer = Buffer.alloc(0);
  pending: Change[] = [];
  /** Sectors that cannot be read. */
  readonly bad = new Set<number>();

  /** The same file on another disk. */
  clone(): Inode {
    const copy = new Inode();
    copy.seen = this.seen;
    copy.synced = this.synced;
    copy.pending = this.pending.slice();
    for (const sector of this.bad) copy.bad.add(sector);
    return copy;
  }

  /** The first byte from `from` that cannot be read. */
  badFrom(from: number, to: number): number | undefined {
    for (let sector = Math.floor(from / SECTOR); sector * SECTOR < to; sector += 1)
      if (this.bad.has(sector)) return Math.max(from, sector * SECTOR);
    return undefined;
  }

  spoil(offset: number): void {
    this.bad.add(Math.floor(offset / SECTOR));
  }

  apply(change: Change): void {
    const { offset, bytes } = change;
    // A disk takes another sector for one that is written and cannot be.
    for (const sector of this.bad)
      if (bytes === undefined ? sector * SECTOR >= offset : isIn(sector, offset, bytes.length))
        this.bad.delete(sector);
    this.seen = changed(this.seen, change);
    this.pending.push(change);
  }

  /** Brings these changes to the platter, as far as nothing else has done it or lost them. */
  flush(covered: ReadonlySet<Change>): void {
    this.synced = this.pending
      .filter((change) => covered.has(change))
      .reduce((content, change) => changed(content, change), this.synced);
    this.pending = this.pending.filter((change) => !covered.has(change));
  }
}

/** An open file of a {@link SimulatedDisk}. */
export class SimulatedFile implements DiskFile {
  readonly #disk: SimulatedDisk;
  readonly #name: string;
  readonly #inode: Inode;

  constructor(disk: SimulatedDisk, name: string, inode: Inode) {
    this.#disk = disk;
    this.#name = name;
    this.#inode = inode;
  }

  size(): number {
    return this.#inode.seen.length;
  }

  read(target: Uint8Array, offset: number): number {
    const spoiled = this.#disk.countRead(this.#name, offset);
    const part = this.#inode.seen.subarray(offset, offset + target.length);
    if (spoiled !== undefined && part.length > 0)
      this.#inode.spoil(offset + Math.floor(spoiled * part.length));
    const bad = this.#inode.badFrom(offset, offset + part.length);
    if (bad !== undefined) this.#disk.failRead(this.#name, bad);
    target.set(part);
    return part.length;
  }

  write(bytes: Uint8Array, offset: number): void {
    const part = this.#disk.step("write", this.#name, { inode: this.#inode, offset, bytes });
    const through = Buffer.from(bytes.subarray(0, Math.floor(bytes.length * (part ?? 1))));
    this.#inode.apply({ offset, bytes: through });
    if (part !== undefined) this.#disk.fail();
  }

  truncate(length: number): void {
    const part = this.#disk.step("truncate", this.#name);
    if (part === undefined || part === 1) this.#inode.apply({ offset: length, bytes: undefined });
    if (part !== undefined) this.#disk.fail();
  }

  async sync(): Promise<void> {
    let covered: ReadonlySet<Change>;
    try {
      covered = this.#beginSync();
    } finally {
      // One that fails is heard of as late as one that succeeds.
      await this.#disk.takeTurns();
    }
    if (this.#disk.dead) this.#disk.fail();
    this.#endSync(covered);
  }

  syncNow(): void {
    this.#endSync(this.#beginSync());
  }

  close(): void {
    this.#disk.openFiles -= 1;
  }

  closeRemoved(): void {
    this.close();
  }

  #beginSync(): ReadonlySet<Change> {
    const part = this.#disk.step("sync", this.#name);
    const covered = new Set(this.#inode.pending);
    if (part === undefined) return covered;
    // After a failed flush the cache shows what the platter never gets, unless it is written again: nothing is
    // pending any more, and the next flush succeeds without it.
    this.#inode.pending = [];
    this.#disk.fail();
  }

  #endSync(covered: ReadonlySet<Change>): void {
    this.#disk.syncs += 1;
    this.#inode.flush(covered);
  }
}

function isIn(sector: number, offset: number, length: number): boolean {
  return sector * SECTOR >= offset && (sector + 1) * SECTOR <= offset + length;
}

function changed(content: Buffer, { offset, bytes }: Change): Buffer {
  if (bytes === undefined) return content.subarray(0, offset);
  const next = Buffer.alloc(Math.max(content.length, offset + bytes.length));
  content.copy(next);
  bytes.copy(next, offset);
  return next;
}

/** What of a file survives a power cut: half of the time what was written in order up to a point; else any sectors of any writes. */
export function survivingContent(inode: Inode, random: () => number): Buffer {
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
