import type { MoveMark } from "../storage/move-mark.ts";
import type { Storage } from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import { TASK_STATES } from "../task/task.ts";
import { differences, digestOf, fingerprint, type StoreDigest } from "./digest.ts";
import { type MoveEnd, MoveRefusedError, refuseWhenServed } from "./move-end.ts";
import { pagesOf } from "./pages.ts";

export interface MoveProgress {
  readonly step: "copying" | "auditing" | "emptying";
  readonly queue?: QueueName;
  /** Tasks done in this step, and of how many. */
  readonly done: number;
  readonly of: number;
}

export interface MoveOptions {
  /** Empty the old store, once an audit has passed. */
  readonly finish: boolean;
  /** Stops the move between two pages; what was done stays, and the same move again goes on. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: MoveProgress) => void;
}

export interface MoveReport {
  /** `moved`: the old store is as it was. `finished`: it was emptied. */
  readonly outcome: "moved" | "finished";
  /** What was compared, when this run compared something. */
  readonly audit?: StoreDigest;
  /** Tasks that this run brought over, and those that it removed from the old store. */
  readonly imported: number;
  readonly removed: number;
}

/** The two stores do not hold the same. The old one has everything; the new one keeps the mark of an unfinished move. */
export class AuditFailedError extends Error {
  readonly differences: readonly string[];

  constructor(told: readonly string[]) {
    super(
      `The audit found ${told.length === 1 ? "a difference" : `${told.length} differences`}: ` +
        `${told.slice(0, 10).join("; ")}. The old store has everything. When it was served since the move began, ` +
        "remove the new store and move again",
    );
    this.differences = told;
  }
}

/**
 * Moves all that a store keeps to another one, which must be empty or the half-filled end of this same move.
 *
 * Tasks go over in bounded pages, in order, each at most once by its id; so a move that was killed begins again
 * and skips what is there. What counts is the mark in the new store: it is written before the first task and
 * says so when the audit has passed, and only then may the old store be emptied.
 */
export async function move(from: MoveEnd, to: MoveEnd, options: MoveOptions): Promise<MoveReport> {
  await refuseWhenServed(from);
  const mark = await refuseStrangers(from, to);
  if (mark?.phase === "finished") return settleFinished(from);
  if (mark?.phase === "arrived") {
    return options.finish
      ? finish(from, to, mark.digest, options)
      : { outcome: "moved", imported: 0, removed: 0 };
  }
  await refuseWhenServed(to);
  await to.storage.writeMoveMark({ phase: "arriving", from: from.name });
  await refuseLateComers(to, mark);
  const imported = await copy(from.storage, to.storage, options);
  const audit = await auditOf(from, to, options);
  const digest = fingerprint(audit);
  await to.storage.writeMoveMark({ phase: "arrived", from: from.name, digest });
  if (!options.finish) return { outcome: "moved", audit, imported, removed: 0 };
  const finished = await finish(from, to, digest, options);
  return { ...finished, audit, imported };
}

/** The mark of this move in the new store, when it has begun. */
async function refuseStrangers(from: MoveEnd, to: MoveEnd): Promise<MoveMark | undefined> {
  const [old, mark] = [await from.storage.readMoveMark(), await to.storage.readMoveMark()];
  if (old?.phase === "arriving") {
    throw new MoveRefusedError(
      `${from.name} is itself half filled, by a move from ${old.from}: end that one first`,
    );
  }
  if (old?.phase === "leaving" && old.to !== to.name) {
    throw new MoveRefusedError(`${from.name} has moved to ${old.to} already and was being emptied`);
  }
  if (mark?.phase === "leaving") {
    throw new MoveRefusedError(
      `${to.name} is itself being emptied, by a move to ${mark.to}: end that one first`,
    );
  }
  if (mark !== undefined && mark.from === from.name) return mark;
  if (mark?.phase === "arriving") {
    throw new MoveRefusedError(
      `${to.name} is half filled by another move, from ${mark.from}: end that one first`,
    );
  }
  const queues = await to.storage.queues();
  if (queues.length > 0) {
    throw new MoveRefusedError(
      `${to.name} has queues already (${queues.slice(0, 3).join(", ")}): a move needs an empty store`,
    );
  }
  return undefined;
}

/** Who opened the new store before the mark stood there is told apart from who finds it and stays away. */
async function refuseLateComers(to: MoveEnd, before: MoveMark | undefined): Promise<void> {
  try {
    await refuseWhenServed(to);
  } catch (error) {
    if (before === undefined) await to.storage.writeMoveMark(undefined);
    throw error;
  }
}

async function copy(from: Storage, to: Storage, { signal, onProgress }: MoveOptions): Promise<number> {
  const of = await tasksIn(from);
  let done = 0;
  let imported = 0;
  for (const queue of await from.queues()) {
    const snapshot = await from.snapshot(queue);
    if (snapshot === undefined) continue;
    await to.configure(queue, { config: snapshot.config, paused: snapshot.paused });
    await to.importTasks(queue, { pruned: snapshot.pruned });
    for await (const { tasks, keys } of pagesOf(from, queue)) {
      signal.throwIfAborted();
      if (tasks.length + keys.length > 0) imported += (await to.importTasks(queue, { tasks, keys })).imported;
      done += tasks.length;
      onProgress({ step: "copying", queue, done, of });
    }
  }
  return imported;
}

/** Compares both stores record by record, through hashes. */
async function auditOf(from: MoveEnd, to: MoveEnd, options: MoveOptions): Promise<StoreDigest> {
  const of = 2 * (await tasksIn(from.storage));
  const keysAfter = from.storage.clock.now();
  let done = 0;
  const onPage = (records: number) => {
    options.signal.throwIfAborted();
    done += records;
    options.onProgress({ step: "auditing", done, of: Math.max(of, done) });
  };
  const [a, b] = (await Promise.all(
    [from, to].map(({ storage }) => digestOf(storage, { keysAfter, onPage })),
  )) as [StoreDigest, StoreDigest];
  const told = differences(a, b);
  if (told.length > 0) throw new AuditFailedError(told);
  await refuseWhenServed(from);
  return a;
}

/** Empties the old store, when it still holds what was audited. */
async function finish(from: MoveEnd, to: MoveEnd, digest: string, options: MoveOptions): Promise<MoveReport> {
  if ((await from.storage.readMoveMark())?.phase !== "leaving") {
    await refuseWhenChanged(from, digest, options);
    await from.storage.writeMoveMark({ phase: "leaving", to: to.name });
  }
  const removed = await empty(from.storage, options);
  await to.storage.writeMoveMark({ phase: "finished", from: from.name });
  await from.storage.writeMoveMark(undefined);
  return { outcome: "finished", imported: 0, removed };
}

async function refuseWhenChanged(from: MoveEnd, digest: string, options: MoveOptions): Promise<void> {
  const of = await tasksIn(from.storage);
  let done = 0;
  const now = await digestOf(from.storage, {
    keysAfter: from.storage.clock.now(),
    onPage: (records) => {
      options.signal.throwIfAborted();
      done += records;
      options.onProgress({ step: "auditing", done, of });
    },
  });
  if (fingerprint(now) === digest) return;
  throw new MoveRefusedError(
    `${from.name} is not what it was when it was moved: somebody has used it since. It is left alone; look at ` +
      "what is in it, and empty it yourself with dibs queues purge",
  );
}

/** A move that has ended before: only the last mark may still be there. */
async function settleFinished(from: MoveEnd): Promise<MoveReport> {
  if ((await from.storage.readMoveMark())?.phase === "leaving") await from.storage.writeMoveMark(undefined);
  const left = await tasksIn(from.storage);
  if (left === 0) return { outcome: "finished", imported: 0, removed: 0 };
  throw new MoveRefusedError(
    `This move was finished before, and ${from.name} has ${left} tasks again: they came since, and stay there`,
  );
}

async function empty(storage: Storage, { signal, onProgress }: MoveOptions): Promise<number> {
  const of = await tasksIn(storage);
  let done = 0;
  for (const queue of await storage.queues()) {
    await cancelLeased(storage, queue, signal);
    for (const state of TASK_STATES) {
      if (state === "leased") continue;
      for (let more = true; more; ) {
        signal.throwIfAborted();
        const reply = await storage.purge(queue, state, LIMITS.stepMax);
        more = reply.more;
        done += reply.pruned;
        onProgress({ step: "emptying", queue, done, of });
      }
    }
  }
  return done;
}

/** A leased task cannot be removed as such; its holder goes on in the new store. */
async function cancelLeased(storage: Storage, queue: QueueName, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const { tasks } = await storage.list(queue, { state: "leased", limit: LIMITS.listMax });
    if (tasks.length === 0) return;
    await storage.cancel(
      queue,
      tasks.map(({ id }) => id),
    );
  }
}

async function tasksIn(storage: Storage): Promise<number> {
  let tasks = 0;
  for (const queue of await storage.queues()) {
    const { counts } = (await storage.snapshot(queue)) ?? {};
    if (counts !== undefined) for (const state of TASK_STATES) tasks += counts[state];
  }
  return tasks;
}
