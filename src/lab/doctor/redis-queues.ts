import { snapshotOf } from "../../storage/redis/config-fields.ts";
import type { Keys } from "../../storage/redis/keys.ts";
import type { Connection } from "../../storage/redis/link/connection.ts";
import { loadScripts } from "../../storage/redis/link/load-scripts.ts";
import type { Reply } from "../../storage/redis/link/reply-parser.ts";
import { taskFrom } from "../../storage/redis/record.ts";
import { SCRIPTS } from "../../storage/redis/scripts.ts";
import { parseQueueName, type QueueName } from "../../task/ids.ts";
import type { QueueSnapshot } from "../../task/queue.ts";
import { LEASES_MAX, type QueueFacts, type RunningLease } from "./queue-health.ts";
import type { RedisServers } from "./redis-servers.ts";

/** Records are counted one by one in queues of up to so many fields, which holds Redis up for about a millisecond. */
const FIELDS_MAX = 20_000;
/** Of the part of an id that names a record. */
const ID_LENGTH = 16;
/** A record without a payload: leases are read from the state alone, for payloads may be large. */
const NO_RECORD = "0,0,,0,0\n\n";

/** The names of the queues of a store; empty where there is none. */
export async function queueNames(
  servers: RedisServers,
  connection: Connection,
  keys: Keys,
): Promise<QueueName[]> {
  const names = (await servers.ask(connection, "SMEMBERS", keys.queues)) as string[];
  return names.flatMap((name) => parseQueueName(name) ?? []).sort();
}

/** Reads queues and changes nothing: each with its counts, and its records counted again, in one atomic step. */
export class RedisQueues {
  readonly #servers: RedisServers;
  readonly #connection: Connection;
  readonly #keys: Keys;

  private constructor(servers: RedisServers, connection: Connection, keys: Keys) {
    this.#servers = servers;
    this.#connection = connection;
    this.#keys = keys;
  }

  /** On the master that has the queues. */
  static async open(servers: RedisServers, connection: Connection, keys: Keys): Promise<RedisQueues> {
    await servers.watching(loadScripts(connection, [SCRIPTS.configure]));
    return new RedisQueues(servers, connection, keys);
  }

  /** Undefined where the queue has a name and nothing else. */
  async read(queue: QueueName): Promise<QueueFacts | undefined> {
    const keys = this.#keys.of(queue) as readonly string[];
    const stem = keys[0] as string;
    const fields = Number(await this.#servers.ask(this.#connection, "HLEN", `${stem}:tasks`));
    const isCounted = fields <= FIELDS_MAX;
    const [told, leases, names] = await this.#servers.askAtOnce(this.#connection, [
      // With no change, it reads.
      ["EVALSHA", SCRIPTS.configure.sha, keys.length, ...keys, 0, "", 0],
      ["ZRANGE", `${stem}:leases`, 0, LEASES_MAX - 1, "WITHSCORES"],
      ...(isCounted ? [["HKEYS", `${stem}:tasks`]] : []),
    ]);
    const [, , , , meta, oldest] = told as [Reply, Reply, Reply, Reply, string[], string[]];
    const snapshot = snapshotOf(queue, meta, oldest);
    if (snapshot === undefined) return undefined;
    return {
      ...factsOf(snapshot),
      ...(isCounted && { records: recordsIn(names as string[]) }),
      leases: await this.#leases(queue, `${stem}:tasks`, (leases as Reply[]).flat() as string[]),
    };
  }

  async #leases(queue: QueueName, tasks: string, members: readonly string[]): Promise<RunningLease[]> {
    const ids = members.filter((_, at) => at % 2 === 0);
    if (ids.length === 0) return [];
    const states = await this.#servers.ask(this.#connection, "HMGET", tasks, ...ids.map((id) => `${id}s`));
    return ids.flatMap((id, at) => {
      const state = (states as (string | null)[])[at];
      if (state === null || state === undefined) return []; // It has ended since.
      const task = taskFrom(queue, id, [NO_RECORD, state, null, null, members[2 * at + 1]]);
      return task.state === "leased" ? [task.lease] : [];
    });
  }
}

function factsOf({ queue, paused, counts, enqueued, pruned, config, oldestReadyAt }: QueueSnapshot) {
  return {
    queue,
    paused,
    counts,
    enqueued,
    pruned,
    config,
    ...(oldestReadyAt !== undefined && { oldestReadyAt }),
  };
}

/** Beside its record, named by its id alone, a task may have a state, failures and a result. */
function recordsIn(fields: readonly string[]): number {
  return fields.filter((field) => field.length === ID_LENGTH).length;
}
