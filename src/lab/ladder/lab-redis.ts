import { randomBytes } from "node:crypto";
import type { TlsOptions } from "../../storage/redis/link/connection.ts";
import { infoOf } from "../../storage/redis/link/info.ts";
import { RedisLink } from "../../storage/redis/link/link.ts";
import { parseRedisUrl } from "../../storage/redis/link/redis-url.ts";
import { InvalidRequestError } from "../../task/errors.ts";
import type { RungPlace } from "./rung.ts";
import type { TrialPlace } from "./trial.ts";

/** What all keys of the ladder begin with; nothing else on the server is written, and only counted. */
const PREFIX = "dibs-ladder";
const PAGE = 1_000;
/** About what a task takes in the largest of the layouts. */
const TASK_BYTES = 1_000;

type Where = Pick<RungPlace, "url" | "tls">;

/** The server that the ladder stands on, as it was found. */
export class LabRedis {
  /** The address without the password. */
  readonly shown: string;
  /** With its name: "redis 7.2.4", "valkey 8.0.1". */
  readonly version: string;
  /** Keys of others that it holds. */
  readonly foreignKeys: number;
  readonly #where: Where;
  readonly #link: RedisLink;
  /** What all keys begin with that this run writes. */
  readonly prefix = `${PREFIX}:${randomBytes(4).toString("hex")}`;
  #places = 0;

  private constructor(where: Where, link: RedisLink, version: string, foreignKeys: number) {
    this.#where = where;
    this.shown = parseRedisUrl(where.url).shown;
    this.version = version;
    this.foreignKeys = foreignKeys;
    this.#link = link;
  }

  /**
   * Connects, and looks whether `tasks` tasks have room.
   * @throws {InvalidRequestError} for a cluster or sentinels: the rungs look for their tasks on one server.
   * @throws {StorageUnavailableError} when it cannot be used, and says what to do.
   */
  static async open(url: string, tasks: number, tls?: TlsOptions): Promise<LabRedis> {
    const { kind, shown } = parseRedisUrl(url);
    if (kind !== "standalone")
      throw new InvalidRequestError(
        `The ladder stands on a single Redis, and ${shown} names ${kind === "cluster" ? "a cluster" : "sentinels"}: give redis://host:port of one server`,
      );
    const where = { url, ...(tls !== undefined && { tls }) };
    const link = await RedisLink.open({ ...where, connections: 1 }, []);
    try {
      const [[text], [keys]] = await Promise.all([link.everyMaster("INFO"), link.everyMaster("DBSIZE")]);
      const info = infoOf(text);
      refuseFull(info, tasks, shown);
      const valkey = info["valkey_version"];
      const version = valkey === undefined ? `redis ${info["redis_version"]}` : `valkey ${valkey}`;
      return new LabRedis(where, link, version, Number(keys));
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /** A place with keys of its own. */
  place(): TrialPlace {
    this.#places += 1;
    const prefix = `${this.prefix}-${this.#places}`;
    return { ...this.#where, prefix, link: this.#link, clear: () => this.#remove(`${prefix}[:{]*`) };
  }

  /** Removes what is left of all places, after an interruption too. */
  clear(): Promise<void> {
    return this.#remove(`${this.prefix}*`);
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  async #remove(pattern: string): Promise<void> {
    let cursor = "0";
    do {
      const reply = await this.#link.command("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE);
      const [next, [first, ...rest]] = reply as [string, string[]];
      if (first !== undefined) await this.#link.command("UNLINK", first, ...rest);
      cursor = next;
    } while (cursor !== "0");
  }
}

/** Somebody else's tasks must not be thrown out, nor their writes refused, for ours. */
function refuseFull(info: Readonly<Record<string, string>>, tasks: number, shown: string): void {
  const most = Number(info["maxmemory"] ?? 0);
  const free = most - Number(info["used_memory"] ?? 0);
  if (most === 0 || free >= tasks * TASK_BYTES) return;
  const mb = (bytes: number) => `${Math.max(0, Math.round(bytes / 1e6))} MB`;
  throw new InvalidRequestError(
    `The ladder's tasks take about ${mb(tasks * TASK_BYTES)}, and the Redis at ${shown} has ${mb(free)} left below its maxmemory of ${mb(most)}: raise it, or give a smaller --depth`,
  );
}
