import { randomBytes } from "node:crypto";
import { type FileHandle, link, mkdir, open, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { StorageUnavailableError } from "../../task/errors.ts";
import { isDiskFull } from "./disk.ts";
import {
  bootId,
  type FoundRecord,
  generationsIn,
  type HolderRecord,
  holderPath,
  readRecord,
  writeRecord,
} from "./lock-record.ts";
import { HolderSocket, removeSocketOf, sight } from "./lock-socket.ts";

// One process per folder. Two that append to one journal would destroy it, so a process holds the folder
// before it reads a byte of it. What stands in the way of a takeover is only a living holder: one that died,
// however it died, is seen at its closed socket and replaced at once.

export interface FolderLockOptions {
  /** Called once when the folder went to another holder: stop writing at once. */
  readonly onLost: (error: Error) => void;
  /** Where this process serves, told to those who come second. Also {@link FolderLock.setUrl}. */
  readonly url?: string;
  /**
   * How long to wait for a holder to leave, milliseconds, default 2,000: a dev server that restarts meets
   * the process that it replaces. The wait ends the moment the holder is gone. 0 refuses at once.
   */
  readonly waitMs?: number;
  /** Told, in a sentence, what is waited for. */
  readonly onWait?: (reason: string) => void;
  /** How often the counter moves, milliseconds; default 2,000. */
  readonly beatMs?: number;
  /** A counter that stands still for so long has no living holder, milliseconds; default 10,000. */
  readonly stillMs?: number;
}

const DEFAULTS = Object.freeze({ waitMs: 2_000, beatMs: 2_000, stillMs: 10_000 });

/** The holding of a folder by this process. */
export class FolderLock {
  readonly #holding: Holding;
  readonly #onLost: (error: Error) => void;
  readonly #beatMs: number;
  #record: HolderRecord;
  #timer: NodeJS.Timeout | undefined;
  /** Writes go one after the other. */
  #writing: Promise<void> = Promise.resolve();
  #isOver = false;

  private constructor(holding: Holding, options: FolderLockOptions) {
    this.#holding = holding;
    this.#record = holding.record;
    this.#onLost = options.onLost;
    this.#beatMs = options.beatMs ?? DEFAULTS.beatMs;
  }

  /**
   * Holds the folder, which is made when it is not there.
   *
   * @throws {StorageUnavailableError} when another process holds it, or this one does already; `details` has
   *   `folder`, `pid` and, when known, `url`.
   */
  static async acquire(folder: string, options: FolderLockOptions): Promise<FolderLock> {
    const place = resolve(folder, "lock");
    await mkdir(place, { recursive: true });
    const deadline = performance.now() + (options.waitMs ?? DEFAULTS.waitMs);
    for (;;) {
      const latest = await latestIn(place);
      const state = await judge(place, latest, options);
      if (state.kind === "free") {
        const holding = await tryHold(place, latest.generation + 1, options.url);
        if (holding !== undefined) return FolderLock.#start(holding, options);
      } else if (state.kind === "held") {
        await waitToLeave(state, folder, deadline, options);
      }
    }
  }

  static #start(holding: Holding, options: FolderLockOptions): FolderLock {
    const lock = new FolderLock(holding, options);
    lock.#beatLater();
    return lock;
  }

  /** Tells those who come second where this process serves. */
  async setUrl(url: string): Promise<void> {
    await this.#write({ url });
  }

  /** Lets go: the next process gets the folder at once. */
  async release(): Promise<void> {
    if (this.#isOver) return;
    this.#stop();
    // Its file stays, as the highest number, and says so.
    await this.#write({ released: true }).finally(() => letGo(this.#holding));
  }

  #beatLater(): void {
    this.#timer = setTimeout(() => void this.#beat(), this.#beatMs).unref();
  }

  async #beat(): Promise<void> {
    const loss = await this.#moveCounter();
    if (this.#isOver) return;
    if (loss === undefined) this.#beatLater();
    else await this.#lose(loss);
  }

  /** Why there is no counter to move any more; undefined when all is well. */
  async #moveCounter(): Promise<string | undefined> {
    try {
      const loss = await lossOf(this.#holding);
      if (loss === undefined && !this.#isOver) await this.#write({ counter: this.#record.counter + 1 });
      return loss;
    } catch {
      return undefined; // A disk that cannot answer now. The next beat sees who came in the meantime.
    }
  }

  async #lose(loss: string): Promise<void> {
    this.#stop();
    await letGo(this.#holding);
    const folder = dirname(this.#holding.place);
    this.#onLost(new StorageUnavailableError(`Lost the folder ${folder}: ${loss}`, { details: { folder } }));
  }

  #stop(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #write(change: Partial<HolderRecord>): Promise<void> {
    const record = { ...this.#record, ...change };
    this.#record = record;
    const before = this.#writing.catch(() => {}); // Its own caller has heard of it.
    this.#writing = before.then(() => writeRecord(this.#holding.file, record));
    return this.#writing;
  }
}

/** What a holder has in hand. */
interface Holding {
  readonly place: string;
  readonly generation: number;
  readonly file: FileHandle;
  readonly socket: HolderSocket | undefined;
  readonly record: HolderRecord;
}

/** Takes the next number; undefined when another was faster. */
async function tryHold(place: string, generation: number, url?: string): Promise<Holding | undefined> {
  const nonce = randomBytes(8).toString("hex");
  // The socket first: a file without its socket would look like a dead holder's.
  const socket = await HolderSocket.listen(place, nonce);
  const record = { ...newRecord(nonce, socket !== undefined), ...(url !== undefined && { url }) };
  const file = await createRecord(place, generation, record).catch(async (error: unknown) => {
    await socket?.close();
    throw error;
  });
  if (file === undefined) {
    await socket?.close();
    return undefined;
  }
  const holding: Holding = { place, generation, file, socket, record };
  try {
    // This process may have slept since it looked, while others came and went.
    const isLatest = (await generationsIn(place)).at(-1) === generation;
    if (isLatest) await removeOlder(place, generation);
    else await rm(holderPath(place, generation));
    if (isLatest) return holding;
  } catch (error) {
    await letGo(holding);
    throw error;
  }
  await letGo(holding);
  return undefined;
}

/** Makes the lock file of a number; undefined when it is there. */
async function createRecord(
  place: string,
  generation: number,
  record: HolderRecord,
): Promise<FileHandle | undefined> {
  const path = holderPath(place, generation);
  const file = await open(path, "wx").catch(existingAsUndefined);
  if (file === undefined) return undefined;
  try {
    await writeRecord(file, record);
    return file;
  } catch (error) {
    await file.close();
    await rm(path);
    if (!isDiskFull(error)) throw error;
  }
  return createOverOlder(place, generation, record);
}

/** On a full disk: a second name for the file of the holder before, whose room is written over. */
async function createOverOlder(
  place: string,
  generation: number,
  record: HolderRecord,
): Promise<FileHandle | undefined> {
  const path = holderPath(place, generation);
  try {
    await link(holderPath(place, generation - 1), path);
    const file = await open(path, "r+");
    await writeRecord(file, record);
    return file;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    const folder = dirname(place);
    throw new StorageUnavailableError(
      `The disk of ${folder} is full: there is no room for a lock file. Free a few kilobytes and start again`,
      { details: { folder }, cause: error },
    );
  }
}

function newRecord(nonce: string, socket: boolean): HolderRecord {
  return { boot: bootId(), pid: process.pid, nonce, since: Date.now(), counter: 0, socket, released: false };
}

async function removeOlder(place: string, generation: number): Promise<void> {
  for (const older of (await generationsIn(place)).filter((number) => number < generation)) {
    const path = holderPath(place, older);
    const nonce = (await readRecord(path))?.record?.nonce;
    if (nonce !== undefined) await removeSocketOf(place, nonce);
    await rm(path, { force: true });
  }
}

/** Why the holding is over although it was not released; undefined while it is not. */
async function lossOf({ place, generation, record }: Holding): Promise<string | undefined> {
  const latest = await latestIn(place);
  if (latest.generation < generation) return "its lock file was removed";
  const holder = latest.found?.record;
  if (latest.generation > generation) return `process ${holder?.pid ?? "unknown"} took it over`;
  return holder === undefined || holder.nonce === record.nonce ? undefined : `process ${holder.pid} holds it`;
}

async function letGo({ file, socket }: Holding): Promise<void> {
  await file.close();
  await socket?.close();
}

/** The lock file with the highest number; generation 0 when there is none. */
interface Latest {
  readonly generation: number;
  readonly found?: FoundRecord;
}

async function latestIn(place: string): Promise<Latest> {
  const generation = (await generationsIn(place)).at(-1) ?? 0;
  const found = generation === 0 ? undefined : await readRecord(holderPath(place, generation));
  return found === undefined ? { generation } : { generation, found };
}

type State =
  | { readonly kind: "free" }
  /** `left` resolves when it is worth looking again. */
  | { readonly kind: "held"; readonly holder: HolderRecord; readonly left: Promise<void>; end(): void }
  /** The lock file changed while it was looked at: look again. */
  | { readonly kind: "changed" };

const FREE: State = { kind: "free" };
const CHANGED: State = { kind: "changed" };

async function judge(place: string, latest: Latest, options: FolderLockOptions): Promise<State> {
  const { generation, found } = latest;
  if (generation === 0 || found?.record?.released) return FREE;
  if (found === undefined) return CHANGED;
  const holder = found.record;
  if (holder?.socket && holder.boot === bootId()) {
    const sighting = await sight(place, holder.nonce);
    if (sighting.kind === "gone") return FREE;
    if (sighting.kind === "alive") return { ...sighting, kind: "held", holder };
  }
  return judgeByCounter(holderPath(place, generation), found, options);
}

/** For a holder on another machine, or before this one's last start: it lives if its counter moves. */
async function judgeByCounter(path: string, seen: FoundRecord, options: FolderLockOptions): Promise<State> {
  const stillMs = options.stillMs ?? DEFAULTS.stillMs;
  const who = seen.record === undefined ? "someone" : `process ${seen.record.pid}`;
  options.onWait?.(
    `${path} is by ${who}, on another machine or before this one's restart; watching its counter for ${stillMs} ms`,
  );
  const end = performance.now() + stillMs;
  while (performance.now() < end) {
    await delay(Math.min(250, stillMs / 20));
    const now = await readRecord(path);
    if (now?.text === seen.text) continue;
    const holder = now?.record;
    if (seen.record === undefined || holder === undefined || holder.released) return CHANGED;
    return { kind: "held", holder, left: Promise.resolve(), end: () => {} };
  }
  return FREE;
}

async function waitToLeave(
  { holder, left, end }: State & { kind: "held" },
  folder: string,
  deadline: number,
  options: FolderLockOptions,
): Promise<void> {
  const remainingMs = deadline - performance.now();
  const over = new AbortController();
  try {
    if (remainingMs <= 0) throw heldError(folder, holder);
    options.onWait?.(
      `${folder} is held by process ${holder.pid}; waiting ${Math.ceil(remainingMs)} ms for it to leave`,
    );
    await Promise.race([left, delay(remainingMs, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
    end();
  }
}

function heldError(folder: string, { pid, url, since }: HolderRecord): StorageUnavailableError {
  const who = pid === process.pid ? `this process (${pid})` : `process ${pid}`;
  const serving = url === undefined ? "" : `, which serves ${url}`;
  const instead = url === undefined ? "the URL of the process that holds it, if it serves" : `"${url}"`;
  return new StorageUnavailableError(
    `${folder} is held by ${who} since ${new Date(since).toISOString()}${serving}. ` +
      `A folder belongs to one process at a time: use connect(${instead}) here, ` +
      `or run \`dibs serve\` on the folder and connect both to it.`,
    { details: { folder, pid, ...(url !== undefined && { url }) } },
  );
}

function existingAsUndefined(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "EEXIST") throw error;
}
