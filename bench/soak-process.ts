import { readdirSync } from "node:fs";
import { Broker } from "../src/broker/broker.ts";
import type { SettleRequest } from "../src/broker/requests.ts";
import type { Clock } from "../src/clock.ts";
import { serveDuties } from "../src/lab/child.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { EmbeddedStorage } from "../src/storage/embedded/embedded-storage.ts";
import { DibsError } from "../src/task/errors.ts";
import { type QueueName, queueOf, type TaskId } from "../src/task/ids.ts";
import type { QueueConfigPatch, StateCounts } from "../src/task/queue.ts";
import type { NewTask, TaskState } from "../src/task/task.ts";
import { collectGarbage } from "./engine.ts";

/** One life of the soaked store: a broker on a folder, in a process that may be killed at any moment. */

/** Small, so that there are many snapshots. */
const SEGMENT_BYTES = 1024 * 1024;
/** Filled soon, so that the heap of a life is level for most of it. */
const CACHE_BYTES = 2 * 1024 * 1024;
/** The broker's timers sleep in real time, so its clock is looked at as often as a fast one needs. */
const DUE_MS = 10;
const PRUNE_MS = 100;

export interface SoakBatch {
  readonly queue: QueueName;
  readonly tasks: readonly NewTask[];
  readonly settlements: readonly SettleRequest[];
  readonly claimFrom: readonly QueueName[];
  readonly claimMax: number;
  readonly leaseMs: number;
}

export interface SoakOpening {
  readonly folder: string;
  /** By the fast clock. */
  readonly now: number;
  /** Milliseconds of the fast clock in a real one. */
  readonly speed: number;
  readonly queues: readonly QueueName[];
  readonly config: QueueConfigPatch;
}

let storage: EmbeddedStorage;
let broker: Broker;
let claims = new LatencyHistogram();
const timers: NodeJS.Timeout[] = [];
let trouble: Error | undefined;

const duties = {
  async open({ folder, now, speed, queues, config }: SoakOpening) {
    const startedAt = performance.now();
    const clock: Clock = { now: () => Math.floor(now + (performance.now() - startedAt) * speed) };
    const sizes = { segmentBytes: SEGMENT_BYTES, cacheBytesMax: CACHE_BYTES };
    storage = await EmbeddedStorage.open({ folder, clock, durability: "process", ...sizes });
    broker = await Broker.open(storage);
    const openMs = performance.now() - startedAt;
    for (const queue of queues) await broker.configure(queue, config);
    repeat(DUE_MS, () => broker.runDue());
    repeat(PRUNE_MS, () => broker.prune());
    return { openMs };
  },

  /** Enqueues, settles and claims. Sent again after a crash it does what is missing. */
  async work({ queue, tasks, settlements, claimFrom, claimMax, leaseMs }: SoakBatch) {
    if (trouble !== undefined) throw trouble;
    for (const { kind } of await storage.enqueue(queue, tasks)) {
      if (kind !== "enqueued") throw new Error(`An enqueue was answered "${kind}"`);
    }
    const { results } = await broker.settle(settlements);
    const ends: (TaskState | undefined)[] = [];
    for (const [place, result] of results.entries()) {
      const { id } = settlements[place] as SettleRequest;
      ends.push(result instanceof DibsError ? await stateOf(id) : result.state);
    }
    const startedAt = nowNs();
    const claimed = await broker.claim({ queues: claimFrom, max: claimMax, waitMs: 0, leaseMs });
    claims.record(nowNs() - startedAt);
    return { ends, claimed: claimed.map(({ id, lease: { token } }) => ({ id, token })) };
  },

  /** What this process takes now, and the claims since the last time. */
  sample() {
    collectGarbage();
    const { heapUsed, external, rss } = process.memoryUsage();
    const timed = claims.encode();
    claims = new LatencyHistogram();
    const handles = readdirSync("/proc/self/fd").length;
    return { heapBytes: heapUsed, externalBytes: external, rssBytes: rss, handles, claims: timed };
  },

  async counts(queues: readonly QueueName[]) {
    const found: { enqueued: number; pruned: number; counts: StateCounts }[] = [];
    for (const queue of queues) {
      const { enqueued, pruned, counts } = await broker.queue(queue);
      found.push({ enqueued, pruned, counts });
    }
    return found;
  },

  async close() {
    for (const timer of timers) clearInterval(timer);
    await broker.close();
  },
};

export type SoakDuties = typeof duties;

/** One round at a time; what fails is told at the next piece of work. */
function repeat(ms: number, round: () => Promise<unknown>): void {
  let isBusy = false;
  const timer = setInterval(async () => {
    if (isBusy) return;
    isBusy = true;
    await round().catch((error: unknown) => {
      trouble ??= error as Error;
    });
    isBusy = false;
  }, ms);
  timers.push(timer);
}

async function stateOf(id: TaskId): Promise<TaskState | undefined> {
  const [task] = await storage.get(queueOf(id), [id]);
  return task?.state;
}

serveDuties(duties);
