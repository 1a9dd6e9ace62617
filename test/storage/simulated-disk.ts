import { type Disk, type DiskFile, ReadError } from "../../src/storage/embedded/disk.ts";
import { Inode, SimulatedFile, survivingContent } from "./simulated-file.ts";

export type OperationKind = "create" | "rename" | "remove" | "write" | "truncate" | "sync" | "folder sync";

/** What a simulated disk does wrong at one of its operations, or at all of them for a while. */
export interface Fault {
  /** Counts from 1 over all operations that change something. */
  readonly operation: number;
  /** The last operation of a fault that lasts; default only the first. */
  readonly until?: number;
  readonly kind: "EIO" | "ENOSPC";
  /** How much gets through before it fails, 0 to 1. What is no write happens only at 1. */
  readonly part: number;
}

/** A sector that goes bad when it is read, and stays so until it is written again. */
export interface BadSector {
  /** At which read; counts from 1. */
  readonly read: number;
  /** Where in what is read there, 0 to 1. */
  readonly part: number;
}

/** An operation that is about to happen. */
export interface Operation {
  readonly kind: OperationKind;
  readonly name: string;
  /** Counts from 1. */
  readonly number: number;
  /** The disk as it is when everything ends here: with the first `part` of the bytes of a write. */
  readonly stopped: (part: number) => SimulatedDisk;
}

interface Writing {
  readonly inode: Inode;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Entries that change together; undefined: the name is gone. */
type FolderChange = readonly (readonly [name: string, inode: Inode | undefined])[];

/** What takes no room does not fail for the want of it. */
const TAKES_ROOM: ReadonlySet<OperationKind> = new Set(["create", "rename", "write"]);

/**
 * A disk in memory that can fail and lose power: writes reach the platter only by a sync of the file, names
 * only by a sync of the folder. A power cut keeps any part of what was not flushed, in any order.
 */
export class SimulatedDisk implements Disk {
  #entries = new Map<string, Inode>();
  /** Names on the platter, and the changes since. */
  #syncedEntries = new Map<string, Inode>();
  #folderChanges: FolderChange[] = [];
  operations = 0;
  reads = 0;
  syncs = 0;
  openFiles = 0;
  fault: Fault | undefined;
  /** Reads from this one on fail; counts from 1. */
  readFault: number | undefined;
  badSector: BadSector | undefined;
  /** What the bad sector was, since it is. */
  wentBad: { readonly name: string; readonly offset: number } | undefined;
  /** From here on every operation fails, as after the process was killed. */
  dead = false;
  /** Told of every operation that changes something, before it happens. */
  onOperation: ((operation: Operation) => void) | undefined;
  /** How many turns of the promise queue a flush that one waits for takes; other calls come in between. */
  turns: () => number = () => 0;

  list(): string[] {
    return [...this.#entries.keys()];
  }

  open(name: string, options: { readonly create: boolean }): DiskFile {
    let inode = this.#entries.get(name);
    if ((inode !== undefined) === options.create) throw coded(options.create ? "EEXIST" : "ENOENT", name);
    if (inode === undefined) {
      inode = new Inode();
      this.#changeFolder("create", name, [[name, inode]]);
    }
    this.openFiles += 1;
    return new SimulatedFile(this, name, inode);
  }

  rename(from: string, to: string): void {
    const inode = this.#entries.get(from);
    if (inode === undefined) throw coded("ENOENT", from);
    this.#changeFolder("rename", from, [
      [from, undefined],
      [to, inode],
    ]);
  }

  remove(name: string): void {
    if (this.#entries.has(name)) this.#changeFolder("remove", name, [[name, undefined]]);
  }

  async syncFolder(): Promise<void> {
    let covered: ReadonlySet<FolderChange>;
    try {
      covered = this.#beginFolderSync();
    } finally {
      await this.takeTurns();
    }
    if (this.dead) this.fail();
    this.#endFolderSync(covered);
  }

  syncFolderNow(): void {
    this.#endFolderSync(this.#beginFolderSync());
  }

  /** What the next process finds when this one was killed. */
  afterKill(): SimulatedDisk {
    return this.#clone().disk;
  }

  /** What is left after the power went: flushed bytes and names, and by chance some of the others. */
  afterPowerCut(random: () => number): SimulatedDisk {
    const next = new SimulatedDisk();
    for (const [name, inode] of this.#survivingEntries(random)) {
      const left = new Inode();
      left.synced = survivingContent(inode, random);
      left.seen = left.synced;
      next.#entries.set(name, left);
    }
    next.#syncedEntries = new Map(next.#entries);
    return next;
  }

  /** Flips one bit of a file, on the platter too. */
  flip(name: string, offset: number, bit = 0): void {
    const flipped = Buffer.from(this.content(name));
    flipped[offset] = (flipped[offset] as number) ^ (1 << bit);
    this.replace(name, flipped);
  }

  content(name: string): Buffer {
    return (this.#entries.get(name) as Inode).seen;
  }

  /** How much of a file a power cut cannot take. */
  flushed(name: string): number {
    return (this.#entries.get(name) as Inode).synced.length;
  }

  /** Replaces a file's content, as someone with another tool would. */
  replace(name: string, content: Buffer): void {
    const inode = new Inode();
    inode.seen = content;
    inode.synced = content;
    this.#entries.set(name, inode);
    this.#syncedEntries = new Map(this.#entries);
    this.#folderChanges = [];
  }

  /**
   * Counts an operation; when its turn to fail has come, returns the part that gets through before
   * {@link fail}, or throws when nothing does.
   */
  step(kind: OperationKind, name: string, writing?: Writing): number | undefined {
    if (this.dead) throw coded("EIO", "the process is gone");
    this.operations += 1;
    const number = this.operations;
    this.onOperation?.({ kind, name, number, stopped: (part) => this.#stopped(part, writing) });
    const { fault } = this;
    if (fault === undefined || number < fault.operation || number > (fault.until ?? fault.operation)) return;
    if (fault.kind === "ENOSPC" && !TAKES_ROOM.has(kind)) return;
    if (fault.part === 0 && kind !== "sync" && kind !== "folder sync") this.fail();
    return fault.part;
  }

  fail(): never {
    throw coded(this.dead ? "EIO" : (this.fault?.kind ?? "EIO"), "simulated");
  }

  /** Counts a read; answers how far into it a sector goes bad, when its turn has come. */
  countRead(name: string, offset: number): number | undefined {
    this.reads += 1;
    if (this.readFault !== undefined && this.reads >= this.readFault)
      throw new ReadError(name, offset, coded("EIO", "simulated read"));
    return this.badSector?.read === this.reads ? this.badSector.part : undefined;
  }

  failRead(name: string, offset: number): never {
    this.wentBad ??= { name, offset };
    throw new ReadError(name, offset, coded("EIO", "simulated sector"));
  }

  /** Cuts a file that is open, as someone with another tool would. */
  cut(name: string, length: number): void {
    (this.#entries.get(name) as Inode).apply({ offset: length, bytes: undefined });
  }

  /** Makes the sector of a byte unreadable. */
  spoil(name: string, offset: number): void {
    (this.#entries.get(name) as Inode).spoil(offset);
  }

  /** Makes all sectors readable again. */
  mend(): void {
    for (const inode of this.#entries.values()) inode.bad.clear();
  }

  /** The disk with all of its sectors readable again, as after an error that passed. */
  mended(): SimulatedDisk {
    const { disk } = this.#clone();
    disk.mend();
    return disk;
  }

  async takeTurns(): Promise<void> {
    for (let turns = this.turns(); turns > 0; turns -= 1) await undefined;
  }

  #changeFolder(kind: OperationKind, name: string, change: FolderChange): void {
    const part = this.step(kind, name);
    if (part === undefined || part === 1) {
      applyTo(this.#entries, change);
      this.#folderChanges.push(change);
    }
    if (part !== undefined) this.fail();
  }

  #beginFolderSync(): ReadonlySet<FolderChange> {
    const part = this.step("folder sync", ".");
    if (part !== undefined) this.fail();
    return new Set(this.#folderChanges);
  }

  #endFolderSync(covered: ReadonlySet<FolderChange>): void {
    for (const change of this.#folderChanges) if (covered.has(change)) applyTo(this.#syncedEntries, change);
    this.#folderChanges = this.#folderChanges.filter((change) => !covered.has(change));
  }

  /** Half of the time names changed in order up to a point; else any of them did. */
  #survivingEntries(random: () => number): Map<string, Inode> {
    const entries = new Map(this.#syncedEntries);
    const ordered = random() < 0.5;
    const upTo = Math.floor(random() * (this.#folderChanges.length + 1));
    for (const [index, change] of this.#folderChanges.entries()) {
      if (ordered ? index < upTo : random() < 0.7) applyTo(entries, change);
    }
    return entries;
  }

  #stopped(part: number, writing: Writing | undefined): SimulatedDisk {
    const { disk, twins } = this.#clone();
    if (writing !== undefined) {
      const bytes = Buffer.from(writing.bytes.subarray(0, Math.floor(writing.bytes.length * part)));
      twins.get(writing.inode)?.apply({ offset: writing.offset, bytes });
    }
    return disk;
  }

  #clone(): { readonly disk: SimulatedDisk; readonly twins: ReadonlyMap<Inode, Inode> } {
    const disk = new SimulatedDisk();
    const twins = new Map<Inode, Inode>();
    const twin = (inode: Inode): Inode => {
      const known = twins.get(inode) ?? inode.clone();
      twins.set(inode, known);
      return known;
    };
    for (const [name, inode] of this.#entries) disk.#entries.set(name, twin(inode));
    for (const [name, inode] of this.#syncedEntries) disk.#syncedEntries.set(name, twin(inode));
    disk.#folderChanges = this.#folderChanges.map((change) =>
      change.map(([name, inode]) => [name, inode === undefined ? undefined : twin(inode)] as const),
    );
    return { disk, twins };
  }
}

function applyTo(entries: Map<string, Inode>, change: FolderChange): void {
  for (const [name, inode] of change) {
    if (inode === undefined) entries.delete(name);
    else entries.set(name, inode);
  }
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
