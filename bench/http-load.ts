import { Child } from "../src/lab/child.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { type RawAnswer, RawHttpConnection, rawPost } from "../src/lab/raw-http.ts";
import type { HttpDuties } from "./http-process.ts";

/** Where the server under load keeps its tasks. */
export interface HttpStore {
  /** In the names of benchmarks and targets. */
  readonly name: "embedded" | "Redis";
  /** As a reader of the question must know it. */
  readonly title: string;
  /** Tasks that are there beyond those that are claimed. */
  readonly depth: number;
  /** More than the server answers in a second, so that a claim always finds a task. */
  readonly claimsPerSecondMax: number;
  /** Starts what the server needs; its URL, when there is one. */
  start(): Promise<{ readonly redisUrl?: string; stop(): Promise<void> }>;
}

export const EMBEDDED: HttpStore = {
  name: "embedded",
  title: "embedded engine, `process`",
  depth: 100_000,
  claimsPerSecondMax: 40_000,
  start: () => Promise.resolve({ stop: () => Promise.resolve() }),
};

/** The server in its own process, and connections to it from this one. */
export class HttpLoad {
  readonly url: string;
  readonly server: Child<HttpDuties>;
  readonly #connections: RawHttpConnection[] = [];
  readonly #stopStore: () => Promise<void>;
  #queues = 0;

  private constructor(server: Child<HttpDuties>, url: string, stopStore: () => Promise<void>) {
    this.server = server;
    this.url = url;
    this.#stopStore = stopStore;
  }

  static async start(store: HttpStore): Promise<HttpLoad> {
    const { stop, ...place } = await store.start();
    const server = Child.start<HttpDuties>(new URL("./http-process.js", import.meta.url));
    return new HttpLoad(server, await server.call("listen", place), stop);
  }

  /** The first `count` connections, opened when they are not yet. */
  async connections(count: number): Promise<readonly RawHttpConnection[]> {
    while (this.#connections.length < count) this.#connections.push(await RawHttpConnection.open(this.url));
    return this.#connections.slice(0, count);
  }

  /** A fresh queue of `depth` tasks, so that leases of earlier trials are in nobody's way. */
  async freshQueue(depth: number): Promise<LoadedQueue> {
    this.#queues += 1;
    const queue = `bench-${this.#queues}`;
    const ids = await this.server.call("fill", { queue, count: depth });
    return new LoadedQueue(this, queue, ids);
  }

  /** A claim of one task of that queue, for longer than any benchmark lasts. */
  claimRequestOf(queue: string): Buffer {
    const body = JSON.stringify({ queues: [queue], max: 1, leaseMs: 3_600_000 });
    return rawPost(this.url, "/v1/claims", body);
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    await this.server.call("close", undefined);
    await this.server.end();
    await this.#stopStore();
  }
}

/** One queue under load, and the account of what came out of it. */
export class LoadedQueue {
  readonly name: string;
  readonly ledger = new DeliveryLedger();
  readonly #load: HttpLoad;

  constructor(load: HttpLoad, name: string, ids: readonly string[]) {
    this.#load = load;
    this.name = name;
    for (const id of ids) this.ledger.enqueued(id);
  }

  /** The request that claims one task for longer than any benchmark lasts. */
  claimRequest(): Buffer {
    return this.#load.claimRequestOf(this.name);
  }

  /** Does nothing, with the same body. */
  noopRequest(): Buffer {
    const body = JSON.stringify({ queues: [this.name], max: 1, leaseMs: 3_600_000 });
    return rawPost(this.#load.url, "/bench/noop", body);
  }

  async audit() {
    return this.ledger.audit(await this.#load.server.call("pending", this.name));
  }
}

export interface ClosedLoop {
  readonly connections: readonly RawHttpConnection[];
  readonly seconds: number;
  request(): Buffer;
  onAnswer(answer: RawAnswer): void;
}

/** Each connection asks again as soon as it was answered. */
export async function closedLoop({ connections, seconds, request, onAnswer }: ClosedLoop) {
  const latency = new LatencyHistogram();
  const startedAt = nowNs();
  const end = startedAt + seconds * 1e9;
  await Promise.all(
    connections.map(async (connection) => {
      for (let askedAt = nowNs(); askedAt < end; askedAt = nowNs()) {
        const answer = await connection.ask(request());
        latency.record(nowNs() - askedAt);
        onAnswer(answer);
      }
    }),
  );
  return { seconds: (nowNs() - startedAt) / 1e9, operations: latency.count, latency };
}
