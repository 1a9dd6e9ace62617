import { randomBytes } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { Keys } from "../../storage/redis/keys.ts";
import { RedisLink, type RedisOptions } from "../../storage/redis/link/link.ts";
import { parseRedisUrl } from "../../storage/redis/link/redis-url.ts";
import type { QueueName } from "../../task/ids.ts";
import {
  differenceOf,
  infoField,
  parseRedisStatistics,
  type RedisStatistics,
  type ServerReading,
  sumOfReadings,
} from "../redis-statistics.ts";

import { ScratchRegister } from "./scratch-register.ts";

/** What all keys of all benches begin with; nothing else on a Redis is read or written. */
export const SCRATCH_PREFIX = "dibs-bench";

const REMOVE_TRIES = 4;
const REMOVE_AGAIN_MS = 500;
const REGISTER_KEY = `${SCRATCH_PREFIX}:open`;

export type ScratchKeysOptions = Pick<RedisOptions, "url" | "tls" | "onWarning">;

/** What a Redis was like before the bench began. */
export interface AboutRedis {
  /** The address without secrets. */
  readonly place: string;
  /** With its name, e.g. `redis 7.0.15`. */
  readonly version: string;
  /** What an acknowledged call survives there. */
  readonly durability: string;
  readonly foreignKeys: number;
  /** Connected to its busiest server, the bench's own not counted. */
  readonly foreignClients: number;
}

/** A store of a bench's own on somebody's Redis: its keys, what the server did meanwhile, and their removal. */
export class ScratchKeys {
  readonly prefix = `${SCRATCH_PREFIX}:${Date.now().toString(36)}-${randomBytes(4).toString("hex")}`;
  readonly about: AboutRedis;
  readonly #link: RedisLink;
  readonly #register: ScratchRegister;
  readonly #readings: ServerReading[] = [];
  #before: readonly RedisStatistics[] | undefined;

  private constructor(link: RedisLink, register: ScratchRegister, about: AboutRedis) {
    this.#link = link;
    this.#register = register;
    this.about = about;
  }

  /** @throws {StorageUnavailableError} when the server cannot be used, and says what to do. */
  static async open(options: ScratchKeysOptions): Promise<ScratchKeys> {
    const survivals = new Set<string>();
    const link = await RedisLink.open(
      { ...options, connections: 1, onSurvival: (text) => survivals.add(text) },
      [],
    );
    try {
      const [server] = await texts(link, "INFO", "server");
      const clients = await texts(link, "INFO", "clients");
      const register = new ScratchRegister(link, REGISTER_KEY);
      for (const prefix of await register.abandoned()) {
        await removeStore(link, prefix);
        await register.leave(prefix);
      }
      const sizes = (await link.everyMaster("DBSIZE")) as number[];
      const scratch = new ScratchKeys(link, register, {
        place: parseRedisUrl(options.url).shown,
        version: versionOf(server),
        durability: [...survivals].join(" or "),
        foreignKeys: sizes.reduce((sum, size) => sum + size, 0),
        // This link has two connections to each server: one for commands, one that hears.
        foreignClients: Math.max(
          0,
          ...clients.map((text) => Number(infoField(text, "connected_clients")) - 2),
        ),
      });
      await register.enter(scratch.prefix);
      return scratch;
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  async resume(): Promise<void> {
    this.#before = await this.#read();
  }

  async pause(): Promise<void> {
    const before = this.#before ?? [];
    const after = await this.#read();
    after.forEach((each, n) => {
      const earlier = before[n];
      if (earlier !== undefined) this.#readings.push(differenceOf(each, earlier));
    });
  }

  /** What all its servers did since the last call, between `resume` and `pause`. */
  reading(): ServerReading {
    return sumOfReadings(this.#readings.splice(0));
  }

  /** Removes every key. Nobody may use the store any more. Tried again for a while when the connection is lost. */
  async remove(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await removeStore(this.#link, this.prefix);
        return await this.#register.leave(this.prefix);
      } catch (error) {
        if (tries === REMOVE_TRIES) throw error;
      }
      await wait(REMOVE_AGAIN_MS);
    }
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  async #read(): Promise<readonly RedisStatistics[]> {
    const [stats, cpu] = await Promise.all([
      texts(this.#link, "INFO", "commandstats"),
      texts(this.#link, "INFO", "cpu"),
    ]);
    return stats.map((text, n) => parseRedisStatistics(text, cpu[n] ?? ""));
  }
}

async function removeStore(link: RedisLink, prefix: string): Promise<void> {
  // As in a cluster: there every key is named.
  const keys = new Keys(prefix, true);
  const queues = (await link.command("SMEMBERS", keys.queues)) as readonly string[];
  const names: string[] = [keys.format, keys.move, keys.due];
  for (const queue of queues) names.push(...(keys.of(queue as QueueName) as readonly string[]));
  await Promise.all(names.map((name) => link.command("UNLINK", name)));
  // Last, so that what is interrupted in the middle can be done again.
  await link.command("UNLINK", keys.queues);
}

async function texts(link: RedisLink, name: string, ...args: string[]): Promise<readonly string[]> {
  return (await link.everyMaster(name, ...args)).map(String);
}

/** Valkey calls itself so, and names a version of Redis beside its own. */
function versionOf(info = ""): string {
  return info.includes("\nvalkey_version:")
    ? `valkey ${infoField(info, "valkey_version")}`
    : `redis ${infoField(info, "redis_version")}`;
}
