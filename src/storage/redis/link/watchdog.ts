import type { Connection } from "./connection.ts";

/** After this long without a byte a connection is asked whether it lives; half-open ones are found so. */
const IDLE_MS = 15_000;
const IDLE_CHECK_MS = 2_500;
/** How long it may take to answer that. */
const PING_MS = 3_000;

/**
 * Ends connections that do not answer. Instead of a timer for each call, one interval looks at the oldest call
 * of each connection, for replies come in order; it runs only while calls are under way.
 */
export class Watchdog {
  readonly #connections: () => Iterable<Connection>;
  readonly #timeoutMs: number;
  readonly #tickMs: number;
  readonly #idle: NodeJS.Timeout;
  #ticks: NodeJS.Timeout | undefined;
  #tickedAt = 0;

  /** `timeoutMs` is that of a call: it is kept to within a tenth, or a quarter second. */
  constructor(timeoutMs: number, connections: () => Iterable<Connection>) {
    this.#connections = connections;
    this.#timeoutMs = timeoutMs;
    this.#tickMs = Math.max(10, Math.min(250, timeoutMs / 10));
    this.#idle = setInterval(() => this.#ping(), IDLE_CHECK_MS);
    this.#idle.unref();
  }

  /** To be told of every command that is sent. */
  wake(): void {
    if (this.#ticks !== undefined) return;
    this.#tickedAt = performance.now();
    this.#ticks = setInterval(() => this.#tick(), this.#tickMs);
  }

  close(): void {
    clearInterval(this.#idle);
    clearInterval(this.#ticks);
    this.#ticks = undefined;
  }

  #tick(): void {
    const now = performance.now();
    // When this process itself stood still, replies may lie unread: they are read before the next tick.
    const wasStill = now - this.#tickedAt > 2 * this.#tickMs + 100;
    this.#tickedAt = now;
    let areWaiting = false;
    for (const connection of this.#connections()) {
      const { dueAt } = connection;
      if (dueAt === undefined) continue;
      areWaiting = true;
      if (dueAt < now && !wasStill) this.#endAll(connection, dueAt - this.#timeoutMs);
    }
    if (areWaiting) return;
    clearInterval(this.#ticks);
    this.#ticks = undefined;
  }

  /** Ends one that did not answer what was sent `since`, and those to its server that have not been heard since either. */
  #endAll(silent: Connection, since: number): void {
    for (const other of [...this.#connections()])
      if (other !== silent && other.where === silent.where && other.heardAt < since)
        other.end("its server does not answer");
    silent.end("no answer in time");
  }

  #ping(): void {
    const quietSince = performance.now() - IDLE_MS;
    for (const connection of this.#connections()) {
      if (connection.waiting > 0 || connection.heardAt > quietSince) continue;
      // What becomes of it is the connection's matter: the answer counts as heard, none ends it.
      connection.ask("PING", [], PING_MS).catch(() => undefined);
      this.wake();
    }
  }
}
