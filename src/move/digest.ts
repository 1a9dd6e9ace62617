import { createHash } from "node:crypto";
import type { Storage } from "../storage/storage.ts";
import type { StoredTask } from "../storage/stored-task.ts";
import type { QueueName } from "../task/ids.ts";
import { type EpochMs, TASK_STATES, type TaskState } from "../task/task.ts";
import { pagesOf } from "./pages.ts";

/** Many records in few bytes: how many, and a hash of all of them. */
export interface Digest {
  readonly count: number;
  readonly hash: string;
}

export interface QueueDigest {
  readonly queue: QueueName;
  /** Configuration, pause and totals, as text. */
  readonly settings: string;
  /** What the queue's own counters say. */
  readonly counts: Readonly<Record<TaskState, number>>;
  readonly states: Readonly<Record<TaskState, Digest>>;
  readonly keys: Digest;
}

/** Every field of every record goes into it, and the order of each state. */
export interface StoreDigest {
  readonly queues: readonly QueueDigest[];
}

export interface DigestOptions {
  /** Keys that end at or before it do not count: they may be forgotten between two looks. */
  readonly keysAfter: EpochMs;
  /** Called after each page, with the records in it. */
  readonly onPage: (records: number) => void;
}

export async function digestOf(storage: Storage, options: DigestOptions): Promise<StoreDigest> {
  const queues: QueueDigest[] = [];
  for (const queue of await storage.queues()) queues.push(await digestOfQueue(storage, queue, options));
  return { queues };
}

async function digestOfQueue(
  storage: Storage,
  queue: QueueName,
  { keysAfter, onPage }: DigestOptions,
): Promise<QueueDigest> {
  const snapshot = await storage.snapshot(queue);
  if (snapshot === undefined) throw new Error(`Queue ${queue} is named and has no snapshot`);
  const states = mapStates((state) => (state === "leased" ? new Heap() : new Line()));
  const keys = new Heap();
  for await (const page of pagesOf(storage, queue)) {
    for (const stored of page.tasks) states[stored.task.state].add(textOfTask(stored));
    for (const key of page.keys) if (key.expiresAt > keysAfter) keys.add(canonical(key));
    onPage(page.tasks.length);
  }
  const { config, paused, enqueued, pruned, counts } = snapshot;
  return {
    queue,
    settings: canonical({ config, paused, enqueued, pruned }),
    counts,
    states: mapStates((state) => states[state].digest()),
    keys: keys.digest(),
  };
}

/** One hash over all tasks and settings of a store, to see later whether anything has changed. Keys fade by themselves. */
export function fingerprint({ queues }: StoreDigest): string {
  return hashOf(canonical(queues.map(({ keys: _, ...rest }) => rest))).toString("hex");
}

/** What two stores do not have in common, a sentence for each difference; none when they hold the same. */
export function differences(from: StoreDigest, to: StoreDigest): string[] {
  const names = new Set([...from.queues, ...to.queues].map(({ queue }) => queue));
  return [...names].sort().flatMap((name) => {
    const a = from.queues.find(({ queue }) => queue === name);
    const b = to.queues.find(({ queue }) => queue === name);
    if (a === undefined || b === undefined) {
      return [`queue ${name} is only in the ${a === undefined ? "new" : "old"} store`];
    }
    return differencesOfQueue(a, b);
  });
}

function differencesOfQueue(from: QueueDigest, to: QueueDigest): string[] {
  const told: string[] = [];
  const { queue } = from;
  if (from.settings !== to.settings) told.push(`queue ${queue}: ${from.settings} became ${to.settings}`);
  for (const state of TASK_STATES) {
    for (const [store, digest] of [
      ["old", from],
      ["new", to],
    ] as const) {
      const { count } = digest.states[state];
      if (count !== digest.counts[state])
        told.push(
          `queue ${queue}: the ${store} store counts ${digest.counts[state]} ${state} and has ${count}`,
        );
    }
    tell(told, `queue ${queue}: ${state} tasks`, from.states[state], to.states[state]);
  }
  tell(told, `queue ${queue}: keys`, from.keys, to.keys);
  return told;
}

function tell(told: string[], what: string, from: Digest, to: Digest): void {
  if (from.count !== to.count) told.push(`${what}: ${from.count} became ${to.count}`);
  else if (from.hash !== to.hash)
    told.push(`${what}: ${from.count} in both, but not the same in the same order`);
}

/** Records whose order counts. */
class Line {
  readonly #hash = createHash("sha256");
  #count = 0;

  add(text: string): void {
    this.#count += 1;
    this.#hash.update(text).update("\n");
  }

  digest(): Digest {
    return { count: this.#count, hash: this.#hash.digest("hex") };
  }
}

/** Records whose order says nothing: leases of one millisecond stand in any order, and so do keys. */
class Heap {
  readonly #sum = Buffer.alloc(32);
  #count = 0;

  add(text: string): void {
    this.#count += 1;
    const hash = hashOf(text);
    for (let i = 0; i < 32; i += 1) this.#sum[i] = (this.#sum[i] as number) ^ (hash[i] as number);
  }

  digest(): Digest {
    return { count: this.#count, hash: this.#sum.toString("hex") };
  }
}

/** Without the hash of a key, which is that of the key itself and fades with it. */
function textOfTask({ payloadHash: _, ...stored }: StoredTask): string {
  return canonical(stored);
}

/** JSON with the fields in the order of their names: engines build the same object in different orders. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}

function hashOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function mapStates<T>(value: (state: TaskState) => T): Record<TaskState, T> {
  return Object.fromEntries(TASK_STATES.map((state) => [state, value(state)])) as Record<TaskState, T>;
}
