import { type QueueName, queueOf, type TaskId } from "../task/ids.ts";
import type { Task, TaskState } from "../task/task.ts";
import { bytesOf } from "./sizes.ts";
import { type CacheMode, CacheSwitch } from "./task-cache-switch.ts";

export interface TaskCacheOptions {
  /** `auto`: on only while it pays, see {@link CacheSwitch}. */
  readonly mode: CacheMode;
  /** How old, at most, an answer may be as to what other processes did. Milliseconds, default 1,000. */
  readonly ttlMs?: number;
}

export const CACHE_TTL_MS = 1_000;
const ENTRIES_MAX = 10_000;
const BYTES_MAX = 32 * 1_048_576;
/** A task that takes more is not kept: it would drive out too many others. */
const ENTRY_BYTES_MAX = BYTES_MAX / 32;
/** About what an entry takes beside its texts. */
const ENTRY_BYTES = 1_000;

interface Entry {
  readonly task: Task;
  readonly bytes: number;
  /** From when on it is too old. */
  readonly staleAt: number;
}

interface Reading {
  readonly startedAt: number;
  readonly task: Promise<Task | undefined>;
}

/**
 * Keeps tasks that were read by their id for a short time, in front of a store behind a network.
 *
 * Whatever this process writes is forgotten before the write is answered, a reading of it that is under way too; so
 * nobody sees a task here as it was before one's own acknowledged write. What other processes write may go unseen for
 * `ttlMs`, counted from when the reading began. Claims, and whoever waits for the end of a task, do not come here.
 *
 * All entries last equally long, so the oldest is also the next to go stale, and a Map in order of insertion is all
 * that it takes: no list of recent use.
 */
export class TaskCache {
  hits = 0;
  misses = 0;
  /** Entries that a write removed. */
  invalidations = 0;
  readonly #fetch: (id: TaskId) => Promise<Task | undefined>;
  readonly #switch: CacheSwitch;
  readonly #ttlMs: number;
  readonly #now: () => number;
  readonly #entries = new Map<TaskId, Entry>();
  readonly #underWay = new Map<TaskId, Reading>();
  readonly #places = new Map<string, Set<TaskId>>();
  #bytes = 0;

  /** `fetch` reads the store. `now` is monotonic, in milliseconds. */
  constructor(
    fetch: (id: TaskId) => Promise<Task | undefined>,
    options: TaskCacheOptions,
    now: () => number = () => performance.now(),
  ) {
    this.#fetch = fetch;
    this.#switch = new CacheSwitch(options.mode, now());
    this.#ttlMs = options.ttlMs ?? CACHE_TTL_MS;
    this.#now = now;
  }

  get isOn(): boolean {
    return this.#switch.isOn(this.#now());
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Reads by id for each task written, lately. */
  get readsAWrite(): number {
    return this.#switch.readsAWrite(this.#now());
  }

  /** The task as it is, or as it was less than `ttlMs` ago before another process moved it. */
  read(id: TaskId): Promise<Task | undefined> {
    const now = this.#now();
    this.#switch.noteRead();
    if (!this.#switch.isOn(now)) {
      this.#clear();
      return this.#fetch(id);
    }
    const kept = this.#kept(id, now);
    if (kept === undefined) {
      this.misses += 1;
      return this.#readThrough(id, now);
    }
    this.hits += 1;
    return kept;
  }

  /** The task as the store has it now, for whoever decides on it; nobody sees it as it was before that again. */
  readAnew(id: TaskId): Promise<Task | undefined> {
    const now = this.#now();
    return this.#switch.isOn(now) ? this.#readThrough(id, now) : this.#fetch(id);
  }

  /** Notes that tasks were written: what is known of them is no longer true. */
  wrote(ids: readonly TaskId[]): void {
    this.#switch.noteWrites(ids.length);
    for (const id of ids) this.forget(id);
  }

  /** Notes that `count` tasks of a queue that were in one of the states were written, nobody knows which. */
  wroteSome(queue: QueueName, states: readonly TaskState[], count: number): void {
    this.#switch.noteWrites(count);
    for (const state of states) {
      for (const id of this.#places.get(placeOf(queue, state)) ?? []) this.forget(id);
    }
    for (const id of this.#underWay.keys()) if (queueOf(id) === queue) this.#underWay.delete(id);
  }

  forget(id: TaskId): void {
    this.#underWay.delete(id);
    if (!this.#drop(id)) return;
    this.invalidations += 1;
    this.#switch.noteInvalidation();
  }

  #kept(id: TaskId, now: number): Promise<Task | undefined> | undefined {
    const entry = this.#entries.get(id);
    if (entry !== undefined && now < entry.staleAt) return Promise.resolve(entry.task);
    const reading = this.#underWay.get(id);
    return reading !== undefined && now < reading.startedAt + this.#ttlMs ? reading.task : undefined;
  }

  #readThrough(id: TaskId, startedAt: number): Promise<Task | undefined> {
    const reading: Reading = { startedAt, task: this.#fetch(id) };
    this.#underWay.set(id, reading);
    // False when the task was written, or a younger reading began: this one may have seen what is no longer true.
    const isLatest = () => this.#underWay.get(id) === reading && this.#underWay.delete(id);
    reading.task.then(
      (task) => {
        const isTrue = isLatest();
        // What is kept is older than what whoever asked sees now.
        this.#drop(id);
        if (isTrue && task !== undefined) this.#keep(task, startedAt + this.#ttlMs);
      },
      // Whoever asked hears of the failure.
      isLatest,
    );
    return reading.task;
  }

  #keep(task: Task, staleAt: number): void {
    const bytes = memoryOf(task);
    if (bytes > ENTRY_BYTES_MAX) return;
    this.#entries.set(task.id, { task, bytes, staleAt });
    this.#bytes += bytes;
    const place = placeOf(task.queue, task.state);
    const ids = this.#places.get(place);
    if (ids === undefined) this.#places.set(place, new Set([task.id]));
    else ids.add(task.id);
    this.#makeRoom();
  }

  #makeRoom(): void {
    const now = this.#now();
    for (const [id, { staleAt }] of this.#entries) {
      if (staleAt > now && this.#entries.size <= ENTRIES_MAX && this.#bytes <= BYTES_MAX) return;
      this.#drop(id);
    }
  }

  #drop(id: TaskId): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
    const place = placeOf(entry.task.queue, entry.task.state);
    const ids = this.#places.get(place);
    ids?.delete(id);
    if (ids?.size === 0) this.#places.delete(place);
    return true;
  }

  #clear(): void {
    if (this.#entries.size === 0 && this.#underWay.size === 0) return;
    this.#entries.clear();
    this.#underWay.clear();
    this.#places.clear();
    this.#bytes = 0;
  }
}

function placeOf(queue: QueueName, state: TaskState): string {
  return `${queue} ${state}`;
}

function memoryOf(task: Task): number {
  let bytes = ENTRY_BYTES + bytesOf(task.payload) + bytesOf(task.lastError ?? "");
  if (task.state === "completed") bytes += bytesOf(task.result ?? "");
  for (const { error } of task.failures) bytes += bytesOf(error);
  return bytes;
}
