import { copyFile, mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { DibsError, InvalidRequestError, StorageUnavailableError } from "../../../task/errors.ts";
import { type Disk, type DiskFile, isDiskFull } from "../disk.ts";
import { FolderLock } from "../lock.ts";
import { NodeDisk } from "../node-disk.ts";
import { segmentNumbers } from "../segment.ts";

/** Of a file that is not finished; recovery takes no notice of it. */
const UNFINISHED = ".new";
const MOVE_MARK = "move.json";

/**
 * A folder that becomes a store all at once: its files have names that no start looks at, until it is filled.
 * Whoever is killed before leaves a folder that nobody can take for a store, and the next try begins anew.
 */
export class NewFolder {
  readonly #folder: string;
  readonly #disk: Disk;
  readonly #real: NodeDisk;
  readonly #lock: FolderLock;
  readonly #isMade: boolean;

  private constructor(folder: string, lock: FolderLock, isMade: boolean) {
    this.#folder = folder;
    this.#real = new NodeDisk(folder);
    this.#disk = new UnfinishedDisk(this.#real);
    this.#lock = lock;
    this.#isMade = isMade;
  }

  /**
   * Makes the folder, or takes one that is empty, and lets `fill` write its files, each flushed by the time it
   * resolves. When that fails nothing is left behind.
   *
   * @throws {InvalidRequestError} when it is not empty, or lies within `from`.
   * @throws {StorageUnavailableError} when another process has it, or it cannot be written.
   */
  static async fill<T>(folder: string, from: string, fill: (disk: Disk) => Promise<T>): Promise<T> {
    const target = await NewFolder.#create(folder, from).catch((error: unknown) => {
      throw explained(error, folder);
    });
    try {
      const filled = await fill(target.#disk);
      await target.#takeMoveMark(from);
      await target.#finish();
      return filled;
    } catch (error) {
      await target.#abandon();
      throw explained(error, folder);
    }
  }

  static async #create(folder: string, from: string): Promise<NewFolder> {
    refuseWithin(folder, from);
    await refuseUnlessEmpty(folder);
    const isMade = (await mkdir(folder, { recursive: true })) !== undefined;
    const lock = await FolderLock.acquire(folder, { onLost: () => {}, waitMs: 0 });
    try {
      await refuseUnlessEmpty(folder);
      await removeUnfinished(folder);
      return new NewFolder(folder, lock, isMade);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Takes over what the other folder says of a move, so that half a store is not served from here either. */
  async #takeMoveMark(from: string): Promise<void> {
    await copyFile(join(from, MOVE_MARK), join(this.#folder, MOVE_MARK)).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      },
    );
  }

  /**
   * Makes a store of it; the content of all files has been flushed. The first segment gets its name last: until then
   * the others are a journal without its beginning, which a start refuses.
   */
  async #finish(): Promise<void> {
    await this.#real.syncFolder();
    const [first, ...rest] = segmentNames(await readdir(this.#folder));
    for (const name of rest) this.#real.rename(`${name}${UNFINISHED}`, name);
    await this.#real.syncFolder();
    if (first !== undefined) this.#real.rename(`${first}${UNFINISHED}`, first);
    await this.#real.syncFolder();
    await this.#lock.release();
  }

  /** Leaves nothing behind that was not there before. */
  async #abandon(): Promise<void> {
    await removeUnfinished(this.#folder);
    await rm(join(this.#folder, MOVE_MARK), { force: true });
    await this.#lock.release();
    await rm(join(this.#folder, "lock"), { recursive: true, force: true });
    // Somebody may have put something there meanwhile: then it stays.
    if (this.#isMade) await rmdir(this.#folder).catch(() => {});
  }
}

/** Gives each file the name of one that is not finished. */
class UnfinishedDisk implements Disk {
  readonly #real: NodeDisk;

  constructor(real: NodeDisk) {
    this.#real = real;
  }

  list(): string[] {
    return segmentNames(this.#real.list());
  }

  open(name: string, options: { readonly create: boolean }): DiskFile {
    return this.#real.open(`${name}${UNFINISHED}`, options);
  }

  rename(from: string, to: string): void {
    this.#real.rename(`${from}${UNFINISHED}`, `${to}${UNFINISHED}`);
  }

  remove(name: string): void {
    this.#real.remove(`${name}${UNFINISHED}`);
  }

  syncFolder(): Promise<void> {
    return this.#real.syncFolder();
  }

  syncFolderNow(): void {
    this.#real.syncFolderNow();
  }
}

/** The segments among unfinished names, the oldest first. */
function segmentNames(names: readonly string[]): string[] {
  return names
    .filter(isUnfinished)
    .map((name) => name.slice(0, -UNFINISHED.length))
    .sort();
}

function isUnfinished(name: string): boolean {
  return name.endsWith(UNFINISHED) && segmentNumbers([name.slice(0, -UNFINISHED.length)]).length > 0;
}

async function removeUnfinished(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter(isUnfinished)) await rm(join(folder, name));
}

/** What a try that was killed has left does not count. */
async function refuseUnlessEmpty(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR") throw wrongTarget(`${folder} is no folder`, folder);
    throw error;
  });
  const others = names.filter((name) => name !== "lock" && !isUnfinished(name));
  if (others.length === 0) return;
  throw wrongTarget(
    `${folder} is not empty: it has ${others.sort().slice(0, 3).join(", ")}. Name a new folder`,
    folder,
  );
}

/** What the system says of a folder that cannot be written names neither the folder nor what to do. */
function explained(error: unknown, folder: string): unknown {
  if (isDiskFull(error) || isDiskFull((error as Error).cause)) {
    const message = `The disk of ${folder} is full. Nothing was left there: name a folder on a disk with more room`;
    return new StorageUnavailableError(message, { details: { folder }, cause: error });
  }
  if (error instanceof DibsError || (error as NodeJS.ErrnoException).syscall === undefined) return error;
  const message = `Cannot fill ${folder}: ${(error as Error).message}`;
  return new StorageUnavailableError(message, { details: { folder }, cause: error });
}

function refuseWithin(folder: string, from: string): void {
  const way = relative(resolve(from), resolve(folder));
  const isWithin = way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && resolve(way) !== way);
  if (isWithin) throw wrongTarget(`${folder} lies within ${from}. Name a folder beside it`, folder);
}

function wrongTarget(message: string, folder: string): InvalidRequestError {
  return new InvalidRequestError(message, {
    details: { field: "to", bound: "a new or empty folder", value: folder },
  });
}
