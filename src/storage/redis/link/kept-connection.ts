import { StorageUnavailableError } from "../../../task/errors.ts";
import type { Connection } from "./connection.ts";

/** The first wait before connecting again, and the longest; each is jittered down to its half. */
const BACKOFF_MS = 50;
const BACKOFF_MAX_MS = 2_000;

/**
 * A connection that is opened again, for ever, when it is lost. What was under way on the old one is not
 * sent again: its callers were told.
 */
export class KeptConnection {
  readonly #dial: () => Promise<Connection>;
  readonly #onBack: (connection: Connection) => void;
  readonly #onAway: () => void;
  #current: Connection | undefined;
  #reason = "not connected yet";
  #awaySince = performance.now();
  #openedAt = 0;
  #attempts = 0;
  #waitedMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `dial` opens a connection and makes it ready for use. */
  constructor(
    dial: () => Promise<Connection>,
    on: { back?: (connection: Connection) => void; away?: () => void } = {},
  ) {
    this.#dial = dial;
    this.#onBack = on.back ?? (() => undefined);
    this.#onAway = on.away ?? (() => undefined);
  }

  /** The first connection; rejects when there is none, without trying again. Nothing to do when it is there. */
  async open(): Promise<void> {
    if (this.#current !== undefined) return;
    const connection = await this.#dial();
    if (!this.#adopt(connection))
      throw new StorageUnavailableError(`Lost the connection to Redis at ${connection.where}`);
  }

  /** Begins to connect without waiting for it. */
  start(): void {
    this.#again(0);
  }

  /** Undefined while it is away. */
  get current(): Connection | undefined {
    return this.#current;
  }

  /** Why it is away; undefined when it is not. */
  get trouble(): string | undefined {
    if (this.#current !== undefined) return undefined;
    const seconds = Math.round((performance.now() - this.#awaySince) / 1_000);
    return `${this.#reason} (away for ${seconds} s, trying again)`;
  }

  close(reason: string): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#reason = reason;
    this.#current?.end(reason);
  }

  #adopt(connection: Connection): boolean {
    if (this.#isClosed) connection.end(this.#reason);
    if (!connection.isOpen) return false;
    this.#current = connection;
    this.#openedAt = performance.now();
    connection.onEnd = (reason) => this.#lost(connection, reason);
    return true;
  }

  #lost(connection: Connection, reason: string): void {
    this.#current = undefined;
    this.#reason = `The connection to Redis at ${connection.where} is lost: ${reason}`;
    this.#awaySince = performance.now();
    // One that lived longer than we waited for it was worth it; a server that takes connections only to drop
    // them is asked ever more rarely, as one that takes none is.
    if (this.#awaySince - this.#openedAt > this.#waitedMs) this.#attempts = 0;
    if (!this.#isClosed) this.#onAway();
    this.#again(backoffMs(this.#attempts));
  }

  #again(afterMs: number): void {
    if (this.#isClosed) return;
    this.#attempts += 1;
    this.#waitedMs = afterMs;
    this.#timer = setTimeout(() => void this.#connect(), afterMs);
  }

  async #connect(): Promise<void> {
    try {
      const connection = await this.#dial();
      if (this.#adopt(connection)) this.#onBack(connection);
      else this.#again(backoffMs(this.#attempts));
    } catch (error) {
      this.#reason = error instanceof Error ? error.message : String(error);
      this.#again(backoffMs(this.#attempts));
    }
  }
}

/** Opens all; rejects with the first reason, after each has succeeded or failed. */
export async function openAll(connections: Iterable<KeptConnection>): Promise<void> {
  const ends = await Promise.allSettled([...connections].map((kept) => kept.open()));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

function backoffMs(attempts: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(attempts, 10));
  return ceiling * (0.5 + Math.random() / 2);
}
