import { nowNs } from "../nano-clock.ts";
import { type RawAnswer, RawHttpConnection } from "../raw-http.ts";

/** No answer came in time: whether the call was carried out is not known. */
export class CallTimedOut extends Error {}

const CHECK_MS = 100;

/** Connections of a generator: each asks one thing at a time, is opened again when it broke, and waits for no answer for ever. */
export class WorkerConnections {
  readonly #all: WorkerConnection[] = [];
  readonly #timer: NodeJS.Timeout;

  private constructor(url: string, count: number, timeoutMs: number) {
    for (let n = 0; n < count; n += 1) this.#all.push(new WorkerConnection(url, timeoutMs));
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
  }

  /** Opens them all. @throws {Error} when the server does not take them. */
  static async open(url: string, count: number, timeoutMs: number): Promise<WorkerConnections> {
    const connections = new WorkerConnections(url, count, timeoutMs);
    for (const connection of connections.#all) await connection.open();
    return connections;
  }

  get all(): readonly WorkerConnection[] {
    return this.#all;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const connection of this.#all) connection.close();
  }

  #check(): void {
    const now = nowNs();
    for (const connection of this.#all) connection.endOverdue(now);
  }
}

export class WorkerConnection {
  readonly #url: string;
  readonly #timeoutMs: number;
  #raw: RawHttpConnection | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #isWaiting = false;

  constructor(url: string, timeoutMs: number) {
    this.#url = url;
    this.#timeoutMs = timeoutMs;
  }

  async open(): Promise<RawHttpConnection> {
    if (this.#raw === undefined || this.#raw.isClosed) this.#raw = await RawHttpConnection.open(this.#url);
    return this.#raw;
  }

  /** `waitMs`: how long the server may wait before it answers, beyond the time that any call has. */
  async ask(request: Buffer, waitMs = 0): Promise<RawAnswer> {
    const raw = this.#raw?.isClosed === false ? this.#raw : await this.open();
    this.#dueAt = nowNs() + (this.#timeoutMs + waitMs) * 1e6;
    this.#isWaiting = waitMs > 0;
    try {
      return await raw.ask(request);
    } finally {
      this.#isWaiting = false;
      this.#dueAt = Number.POSITIVE_INFINITY;
    }
  }

  endOverdue(now: number): void {
    if (now < this.#dueAt) return;
    this.#raw?.close(new CallTimedOut(`No answer within ${this.#timeoutMs} ms`));
  }

  /** Ends a call whose answer the server puts off until there is something to say. */
  endWaiting(): void {
    if (this.#isWaiting) this.close();
  }

  close(): void {
    this.#raw?.close(new Error("The load has ended"));
  }
}
