import { StorageUnavailableError } from "../../../task/errors.ts";
import type { Connection } from "./connection.ts";
import { KeptConnection } from "./kept-connection.ts";
import { prepared } from "./prepared.ts";
import { refusal } from "./refusal.ts";
import { type Reply, ReplyError } from "./reply-parser.ts";

type Listener = (text: string) => void;

/** Who listens to which channel, on a connection of its own that is opened again when it is lost. */
export class Subscriptions {
  readonly kept: KeptConnection;
  readonly #timeoutMs: number;
  readonly #sent: () => void;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #onReconnect = new Set<() => void>();

  constructor(dial: () => Promise<Connection>, timeoutMs: number, sent: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#sent = sent;
    this.kept = new KeptConnection(() => this.#prepared(dial), { back: () => this.#isBack() });
  }

  /** Resolves when Redis has confirmed it; rejects when it cannot now. */
  async subscribe(channel: string, listener: Listener): Promise<() => void> {
    const connection = this.kept.current;
    if (connection === undefined)
      throw new StorageUnavailableError(this.kept.trouble ?? "Redis is away", { details: { applied: "no" } });
    const listeners = this.#listeners.get(channel) ?? new Set<Listener>();
    this.#listeners.set(channel, listeners);
    // One registration is one object, so that the same function may listen twice.
    const own: Listener = (text) => listener(text);
    listeners.add(own);
    try {
      await this.#ask(connection, "SUBSCRIBE", channel);
    } catch (error) {
      this.#drop(channel, listeners, own);
      throw error instanceof ReplyError ? refusal(error, `SUBSCRIBE ${channel}`) : error;
    }
    return () => this.#drop(channel, listeners, own);
  }

  onReconnect(listener: () => void): void {
    this.#onReconnect.add(listener);
  }

  #drop(channel: string, listeners: Set<Listener>, own: Listener): void {
    listeners.delete(own);
    if (listeners.size > 0 || this.#listeners.get(channel) !== listeners) return;
    this.#listeners.delete(channel);
    const connection = this.kept.current;
    // When it fails the connection is lost, and the next one does not have it.
    if (connection !== undefined) this.#ask(connection, "UNSUBSCRIBE", channel).catch(() => undefined);
  }

  async #prepared(dial: () => Promise<Connection>): Promise<Connection> {
    const connection = await dial();
    connection.onPush = (items) => this.#heard(items);
    const channels = [...this.#listeners.keys()];
    return prepared(connection, () =>
      Promise.all(channels.map((name) => this.#ask(connection, "SUBSCRIBE", name))),
    );
  }

  #ask(connection: Connection, name: string, channel: string): Promise<Reply> {
    const reply = connection.ask(name, [channel], this.#timeoutMs);
    this.#sent();
    return reply;
  }

  #heard([kind, channel, text]: Reply[]): void {
    if (kind !== "message") return;
    const listeners = this.#listeners.get(String(channel));
    for (const listener of [...(listeners ?? [])]) {
      try {
        listener(String(text));
      } catch (error) {
        // A fault of the listener's, and none of the connection's: it is not to end it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #isBack(): void {
    for (const listener of [...this.#onReconnect]) listener();
  }
}
