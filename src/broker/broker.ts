import type { ListPage, ListRequest, Storage } from "../storage/storage.ts";
import type { DibsError } from "../task/errors.ts";
import type { QueueName, TaskId } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { QueueConfigPatch } from "../task/queue.ts";
import type { ClaimedTask, Task, TaskState } from "../task/task.ts";
import { type Logger, SILENT } from "./logger.ts";
import type { BrokerMetrics } from "./metrics.ts";
import { assembled, type Parts } from "./parts.ts";
import { NO_PEERS, type OwnFigures, type Peers } from "./peers.ts";
import type {
  ClaimRequest,
  EnqueueRequest,
  EnqueueResult,
  HeartbeatRequest,
  HeartbeatResult,
  QueueView,
  SettleRequest,
  SettleResult,
} from "./requests.ts";
import type { SettleAnswer } from "./settlements.ts";
import type { TaskCacheOptions } from "./task-cache.ts";

export interface BrokerOptions {
  /** Bound on a payload and on a result, bytes of UTF-8; default 1 MiB. */
  readonly payloadBytesMax?: number;
  /** Draws the jitter of backoffs, in [0, 1). */
  readonly random?: () => number;
  /** Default: silent. */
  readonly logger?: Logger;
  /**
   * Storage calls of one kind and queue under way at a time, 1 or more; default: what the engine says. Over a
   * network a second one lets both sides work at once; more make the batches smaller and weaken the order
   * among the callers.
   */
  readonly callsInFlight?: number;
  /** Keeps tasks that were read by id, for a store behind a network. Default: off, right for one in the process. */
  readonly cache?: TaskCacheOptions;
  /** Other processes of the same server, whose figures are added to those of this one. Default: none. */
  readonly peers?: Peers;
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not. */
  readonly reason?: string;
  /** True when only a restart can help. */
  readonly isFinal?: boolean;
}

/** Asked for no task of a queue that nobody has: does the work of a claim, and nothing else. */
const WARM_UP = "warm-up" as QueueName;

/** How long {@link Broker.close} waits for storage calls that are under way. */
const CLOSE_WAIT_MS = 10_000;

/**
 * The gate to a store: the rules that hold over any engine.
 *
 * Requests come checked against the schemas. What cannot be done is thrown as a `DibsError`, or stands in its
 * place where many things were asked at once. A call rejects with `storage_unavailable` when the engine could
 * do nothing of it.
 */
export class Broker {
  readonly #storage: Storage;
  readonly #parts: Parts;
  #closing: Promise<void> | undefined;

  private constructor(storage: Storage, parts: Parts) {
    this.#storage = storage;
    this.#parts = parts;
  }

  /**
   * Takes over a store: checks that it answers, and starts the loops. The broker closes it in the end.
   *
   * @throws {RangeError} for an option out of range.
   * @throws {StorageUnavailableError}
   */
  static async open(storage: Storage, options: BrokerOptions = {}): Promise<Broker> {
    atLeastOne("callsInFlight", options.callsInFlight);
    atLeastOne("payloadBytesMax", options.payloadBytesMax);
    atLeastOne("cache.ttlMs", options.cache?.ttlMs);
    const parts = assembled(storage, {
      payloadBytesMax: options.payloadBytesMax ?? LIMITS.payloadBytesMax,
      random: options.random ?? Math.random,
      logger: options.logger ?? SILENT,
      callsInFlight: options.callsInFlight ?? storage.callsInFlight,
      cache: options.cache ?? { mode: "off" },
      peers: options.peers ?? NO_PEERS,
    });
    // The first real claim must not pay for what an engine prepares at its first one.
    await parts.calls.run("claim", () => storage.claim(WARM_UP, [{ max: 0 }]));
    parts.start();
    return new Broker(storage, parts);
  }

  /** Adds a task; it travels with others of the moment. */
  enqueue(request: EnqueueRequest): Promise<EnqueueResult> {
    return this.#parts.enqueues.one(request);
  }

  /** Adds tasks of any queues; one answer each, in order. */
  enqueueMany(requests: readonly EnqueueRequest[]): Promise<(EnqueueResult | DibsError)[]> {
    return this.#parts.enqueues.many(requests);
  }

  /**
   * Leases ready tasks; `[]` when there are none within `waitMs`. Claims that wait are served in order of
   * arrival. When `signal` aborts, the answer is `[]`, and what was claimed in that instant is given back at
   * once.
   *
   * @throws {ShuttingDownError} while the broker drains.
   */
  claim(request: ClaimRequest, signal?: AbortSignal): Promise<readonly ClaimedTask[]> {
    return this.#parts.claims.one(request, signal);
  }

  /**
   * Gives back, uncounted, what a claim answered and its caller can no longer receive: for a door whose
   * connection broke between the answer and its writing.
   */
  giveBack(tasks: readonly ClaimedTask[]): Promise<void> {
    return this.#parts.undelivered.giveBack(tasks);
  }

  /**
   * Ends claims, of any queues, and then claims the next tasks: one storage call when all is in one queue.
   * With `claim.waitMs` the settlements are applied at once, and the answer waits. `signal` concerns the claim.
   */
  settle(
    settlements: readonly SettleRequest[],
    claim?: ClaimRequest,
    signal?: AbortSignal,
  ): Promise<SettleAnswer> {
    return this.#parts.settlements.many(settlements, claim, signal);
  }

  settleOne(settlement: SettleRequest): Promise<SettleResult> {
    return this.#parts.settlements.one(settlement);
  }

  heartbeat(beats: readonly HeartbeatRequest[]): Promise<(HeartbeatResult | DibsError)[]> {
    return this.#parts.heartbeats.many(beats);
  }

  /** With the cache on it may be `cache.ttlMs` old as to what other processes did. @throws {TaskNotFoundError} */
  get(id: TaskId): Promise<Task> {
    return this.#parts.results.read(id);
  }

  /**
   * The task as soon as it is finished, or as it is after `waitMs` or when `signal` aborts.
   *
   * @throws {TaskNotFoundError} when there is none, or it was removed meanwhile.
   */
  result(id: TaskId, waitMs: number, signal?: AbortSignal): Promise<Task> {
    return this.#parts.results.wait(id, waitMs, signal);
  }

  /** @throws {TaskNotFoundError | WrongStateError} */
  cancel(id: TaskId): Promise<Task> {
    return this.#parts.moves.cancel(id);
  }

  /** @throws {TaskNotFoundError | WrongStateError} */
  requeue(id: TaskId): Promise<Task> {
    return this.#parts.moves.requeue(id);
  }

  /** Takes a leased task from its holder. @throws {TaskNotFoundError | WrongStateError} */
  forceRelease(id: TaskId): Promise<SettleResult> {
    return this.#parts.moves.forceRelease(id);
  }

  /** All queues, sorted by name. */
  queues(): Promise<QueueView[]> {
    return this.#parts.queues.all();
  }

  /** @throws {QueueNotFoundError} */
  queue(name: QueueName): Promise<QueueView> {
    return this.#parts.queues.one(name);
  }

  /** Changes a queue's configuration; makes the queue when there is none. */
  configure(name: QueueName, patch: QueueConfigPatch): Promise<QueueView> {
    return this.#parts.queues.configure(name, patch);
  }

  /** Claims of the queue give nothing until {@link resume}; enqueues go on. @throws {QueueNotFoundError} */
  pause(name: QueueName): Promise<QueueView> {
    return this.#parts.queues.pause(name, true);
  }

  /** @throws {QueueNotFoundError} */
  resume(name: QueueName): Promise<QueueView> {
    return this.#parts.queues.pause(name, false);
  }

  /** @throws {QueueNotFoundError | InvalidRequestError} */
  list(queue: QueueName, request: ListRequest): Promise<ListPage> {
    return this.#parts.queues.list(queue, request);
  }

  /** Brings at most `limit` dead tasks back, oldest first; answers how many. @throws {QueueNotFoundError} */
  requeueDead(queue: QueueName, limit: number): Promise<number> {
    return this.#parts.queues.requeueDead(queue, limit);
  }

  /** Removes all tasks of a state; answers how many. @throws {QueueNotFoundError} */
  purge(queue: QueueName, state: Exclude<TaskState, "leased">): Promise<number> {
    return this.#parts.queues.purge(queue, state);
  }

  /** Promotes and reaps all that is due by the clock now, as the timers do by themselves. */
  runDue(): Promise<void> {
    return this.#parts.dueTimer.runOnce();
  }

  /** Removes all that retention no longer keeps, as the pruner does by itself; answers how many tasks went. */
  prune(): Promise<number> {
    return this.#parts.pruner.runOnce();
  }

  get metrics(): BrokerMetrics {
    return this.#parts.metrics;
  }

  /** What this broker alone knows, for its peers. */
  get figures(): OwnFigures {
    const { queues, metrics } = this.#parts;
    return {
      queue: (queue) => queues.figures(queue),
      waiting: () => queues.waiting(),
      metrics: () => metrics.part(),
    };
  }

  /** Whether this broker should be sent work: the engine is well, the loops run, and it does not drain. */
  readiness(): Readiness {
    const { claims, dueTimer, pruner } = this.#parts;
    const trouble = this.#storage.trouble();
    if (trouble?.isFinal === true) return { ready: false, reason: trouble.reason, isFinal: true };
    const reason = claims.isDraining
      ? "the broker drains"
      : (trouble?.reason ?? dueTimer.trouble ?? pruner.trouble);
    return reason === undefined ? { ready: true } : { ready: false, reason };
  }

  /**
   * Hands out no more tasks: every claim, and every wait for a result, is answered at once. Enqueues,
   * settlements and heartbeats go on.
   */
  drain(): void {
    this.#parts.claims.drain();
    this.#parts.results.drain();
  }

  /** Drains, lets the calls under way end (10 s at most), and closes the store. Leases stay as they are. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.drain();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_WAIT_MS);
    });
    await Promise.race([this.#atRest(), patience]);
    clearTimeout(timer);
    await this.#storage.close();
  }

  async #atRest(): Promise<void> {
    await this.#parts.stop();
    await this.#parts.calls.idle();
  }
}

function atLeastOne(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value >= 1)) return;
  throw new RangeError(`Expected ${name} to be a whole number, 1 or more, got ${value}`);
}
