import type { QueueName } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";

/**
 * The names of all keys. Those of one queue share its name as hash tag, so that they live in one slot of a
 * cluster and a script may touch them together; a later split of a hot queue into partitions adds its number
 * inside the braces.
 *
 * ```
 * <prefix>:format                 the version of this layout
 * <prefix>:move                   the mark of a move, in JSON
 * <prefix>:queues                 SET of queue names
 * <prefix>:due                    ZSET queue → next due time (in a cluster one for each queue, in its slot)
 * <prefix>:{<queue>}:meta         HASH of configuration, totals, tombstones, and who waits
 * <prefix>:{<queue>}:tasks        HASH id → record, id + s → state, id + e → failures, id + r → result
 * <prefix>:{<queue>}:ready:<0-9>  LIST of seq,bytes:id for each priority, of a task with a past seq,bytes,id
 * <prefix>:{<queue>}:leases       ZSET id → end of lease
 * <prefix>:{<queue>}:scheduled    ZSET order + id → runAt
 * <prefix>:{<queue>}:completed    ZSET order + id → finishedAt; also :dead and :cancelled
 * <prefix>:{<queue>}:keys         HASH idempotency key → id, hash of the payload, end of its day
 * <prefix>:{<queue>}:keyorder     LIST of end of its day and key, by age
 * <prefix>:{<queue>}:awaited      SET of ids whose end somebody waits for
 * ```
 */
export class Keys {
  readonly format: string;
  readonly move: string;
  readonly queues: string;
  readonly due: string;
  /** Channel on which scheduling tells of an earlier due time. */
  readonly dueChannel: string;
  /** Channel that hears of awaited ends. */
  readonly endsChannel: string;
  readonly #prefix: string;
  readonly #isCluster: boolean;
  readonly #queues = new Map<QueueName, readonly [queue: string, due?: string, ...all: string[]]>();

  constructor(prefix: string, isCluster: boolean) {
    this.#prefix = prefix;
    this.#isCluster = isCluster;
    this.format = `${prefix}:format`;
    this.move = `${prefix}:move`;
    this.queues = `${prefix}:queues`;
    this.due = `${prefix}:due`;
    this.dueChannel = `${prefix}:due`;
    this.endsChannel = `${prefix}:ends`;
  }

  /**
   * The keys that each script of a queue is given: the stem of all its own. In a cluster also where its due time
   * stands, and every key that a script may touch: only then does a node that is giving up the slot see that some
   * have gone already, and answers TRYAGAIN instead of running on half of a queue.
   */
  of(queue: QueueName): readonly [queue: string, due?: string, ...all: string[]] {
    let keys = this.#queues.get(queue);
    if (keys === undefined) {
      const stem = `${this.#prefix}:{${queue}}`;
      keys = this.#isCluster ? [stem, `${stem}:due`, ...PARTS.map((part) => `${stem}:${part}`)] : [stem];
      if (this.#queues.size >= QUEUES_KEPT) this.#queues.clear();
      this.#queues.set(queue, keys);
    }
    return keys;
  }

  dueOf(queue: QueueName): string {
    return this.of(queue)[1] ?? this.due;
  }

  meta(queue: QueueName): string {
    return `${this.of(queue)[0]}:meta`;
  }

  /** The ready list of each priority. */
  ready(queue: QueueName): string[] {
    const [stem] = this.of(queue);
    return Array.from({ length: LIMITS.priorityMax + 1 }, (_, priority) => `${stem}:ready:${priority}`);
  }

  brokerChannel(id: string): string {
    return `${this.#prefix}:broker:${id}`;
  }
}

const PARTS: readonly string[] = [
  "meta",
  "tasks",
  "leases",
  "scheduled",
  "completed",
  "dead",
  "cancelled",
  "keys",
  "keyorder",
  "awaited",
  ...Array.from({ length: LIMITS.priorityMax + 1 }, (_, priority) => `ready:${priority}`),
];

/** Names of queues whose keys are kept ready made; a bound for a service that is asked for random names. */
const QUEUES_KEPT = 10_000;
