import { InvalidRequestError, StorageUnavailableError } from "../../task/errors.ts";
import type { QueueName } from "../../task/ids.ts";
import type { Trouble } from "../storage.ts";
import { Keys } from "./keys.ts";
import { RedisLink, type RedisOptions } from "./link/link.ts";
import type { Script } from "./link/script.ts";
import { FORMAT, SCRIPTS } from "./scripts.ts";
import { type OffsetClock, ServerClock } from "./server-clock.ts";

type Argument = string | number;

const CLOSED = "The store is closed";

/** A store as one process reaches it: scripts and commands on the keys of its queues, until it is closed. */
export class Store {
  readonly keys: Keys;
  readonly link: RedisLink;
  readonly clock = new ServerClock();
  readonly #offset: OffsetClock | undefined;
  #closing: Promise<void> | undefined;

  private constructor(link: RedisLink, keys: Keys, offset: OffsetClock | undefined) {
    this.link = link;
    this.keys = keys;
    this.#offset = offset;
  }

  static async open(options: RedisOptions, offset: OffsetClock | undefined): Promise<Store> {
    const link = await RedisLink.open(options, Object.values(SCRIPTS));
    return new Store(link, new Keys(options.prefix ?? "dibs", link.isCluster), offset);
  }

  /** What the scripts add to the server's time: 0, but in tests. */
  get shift(): number {
    return this.#offset?.offsetMs ?? 0;
  }

  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /** @throws {InvalidRequestError} A store of a later version, or keys that are not ours, must not be touched. */
  async checkFormat(): Promise<void> {
    const { format } = this.keys;
    await this.command("SET", format, FORMAT, "NX");
    const found = await this.command<string>("GET", format);
    if (found === String(FORMAT)) return;
    throw new InvalidRequestError(
      Number(found) > FORMAT
        ? `The store is of format ${found}, this version reads up to ${FORMAT}: use the version that wrote it, or a later one`
        : `The key ${format} holds something else (${JSON.stringify(found)}): choose another prefix`,
    );
  }

  /** Runs a script whose answer begins with the server's time. */
  async timed<Reply extends readonly [now: number, ...unknown[]]>(
    script: Script,
    queue: QueueName,
    args: readonly Argument[],
    lane?: number,
  ): Promise<Reply> {
    const reply = await this.run<Reply>(script, queue, args, lane);
    this.clock.sample(reply[0]);
    return reply;
  }

  run<Reply>(script: Script, queue: QueueName, args: readonly Argument[], lane?: number): Promise<Reply> {
    if (this.isClosed) return Promise.reject(new StorageUnavailableError(CLOSED));
    return this.link.run(script, this.keys.of(queue) as readonly string[], args, lane) as Promise<Reply>;
  }

  command<Reply>(name: string, key: string, ...args: Argument[]): Promise<Reply> {
    if (this.isClosed) return Promise.reject(new StorageUnavailableError(CLOSED));
    return this.link.command(name, key, ...args) as Promise<Reply>;
  }

  trouble(): Trouble | undefined {
    return this.isClosed ? { reason: CLOSED, isFinal: true } : this.link.trouble();
  }

  /** Waits for what is under way. Again is harmless. */
  close(): Promise<void> {
    this.#closing ??= this.link.close();
    return this.#closing;
  }
}
