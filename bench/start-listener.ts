import { LatencyHistogram } from "../src/lab/histogram.ts";
import { PeerQueue } from "./bullmq.ts";
import { QUEUE } from "./engine.ts";
import { type BenchRedis, openScratchClient } from "./redis.ts";

export type Side = "Dibs" | "BullMQ";

/** Nanoseconds of the machine's monotonic clock: the same in every process, unlike `nowNs`. */
export function machineNs(): bigint {
  return process.hrtime.bigint();
}

/** A payload of the usual size that says when it was enqueued. */
export function stampedPayload(n: number): {
  readonly n: number;
  readonly at: string;
  readonly text: string;
} {
  const head = { n, at: machineNs().toString() };
  return { ...head, text: "x".repeat(213 - JSON.stringify({ ...head, text: "" }).length) };
}

/** An idle worker that notes, for each task, how long ago it was enqueued when its handler starts. */
export interface StartListener {
  /** Enqueues one stamped task through the same client; its id. */
  enqueue(n: number): Promise<string>;
  pending(): Promise<number>;
  /** What was heard since the start or since this was called last. */
  heard(): Heard;
  close(): Promise<void>;
}

export interface Heard {
  readonly startLatency: LatencyHistogram;
  readonly started: readonly string[];
  readonly completed: readonly string[];
}

export async function openListener(
  side: Side,
  address: Pick<BenchRedis, "url" | "address">,
  options: { readonly prefix: string; readonly concurrency: number; readonly works: boolean },
): Promise<StartListener> {
  return side === "Dibs" ? openDibs(address, options) : openPeer(address, options);
}

type Options = Parameters<typeof openListener>[2];
type Address = Parameters<typeof openListener>[1];

class Notes {
  #latency = new LatencyHistogram();
  #started: string[] = [];
  #completed: string[] = [];

  started(id: string, payload: unknown): void {
    const ns = Number(machineNs() - BigInt((payload as { at: string }).at));
    this.#latency.record(ns);
    this.#started.push(id);
  }

  completed(id: string): void {
    this.#completed.push(id);
  }

  heard(): Heard {
    const heard = { startLatency: this.#latency, started: this.#started, completed: this.#completed };
    this.#latency = new LatencyHistogram();
    this.#started = [];
    this.#completed = [];
    return heard;
  }
}

async function openDibs(address: Address, { prefix, concurrency, works }: Options): Promise<StartListener> {
  const scratch = await openScratchClient(address, { prefix });
  const notes = new Notes();
  if (works) {
    const worker = scratch.dibs.work(QUEUE, ({ task }) => notes.started(task.id, task.payload), {
      concurrency,
    });
    worker.on("completed", ({ task }) => notes.completed(task.id));
  }
  return {
    enqueue: async (n) => (await scratch.dibs.enqueue(QUEUE, stampedPayload(n))).id,
    pending: scratch.pending,
    heard: () => notes.heard(),
    close: scratch.close,
  };
}

async function openPeer(address: Address, { prefix, concurrency, works }: Options): Promise<StartListener> {
  const peer = await PeerQueue.open(address, prefix);
  const notes = new Notes();
  if (works) {
    const worker = peer.work((id, data) => notes.started(id, data), concurrency);
    worker.on("completed", ({ id }) => notes.completed(id as string));
    await worker.waitUntilReady();
  }
  return {
    enqueue: async (n) => (await peer.queue.add("task", stampedPayload(n))).id as string,
    pending: () => peer.pending(),
    heard: () => notes.heard(),
    close: () => peer.close(),
  };
}
