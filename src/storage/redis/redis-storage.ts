import type { Clock } from "../../clock.ts";
import { type QueueName, randomPartOf, type TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import { newNonce } from "../../task/nonce.ts";
import type { QueueSnapshot } from "../../task/queue.ts";
import type { NewTask, Task, TaskState } from "../../task/task.ts";
import { type MovableStorage, type MoveMark, parseMoveMark, refuseMidMove } from "../move-mark.ts";
import type {
  ClaimAsk,
  ClaimReply,
  DueQueue,
  EnqueueOutcome,
  ForceReleaseOutcome,
  Heartbeat,
  HeartbeatOutcome,
  ListPage,
  ListRequest,
  MoveOutcome,
  PromoteReply,
  PruneReply,
  QueueChange,
  ReapReply,
  RequeueDeadReply,
  Settlement,
  SettleReply,
  StorageEvent,
  Trouble,
} from "../storage.ts";
import type { ExportPage, ExportRequest, ImportBatch, ImportReply } from "../stored-task.ts";
import { claimReplyOf, type GrantReply, memberOf, pushAsks } from "./asks.ts";
import { type ConfigureReply, changedFields, snapshotOf } from "./config-fields.ts";
import { nextDueAt } from "./due.ts";
import { type EnqueueReply, enqueueArgs, enqueueOutcomes } from "./enqueue.ts";
import { exportTasks } from "./export.ts";
import { Lanes } from "./lanes.ts";
import type { RedisOptions } from "./link/link.ts";
import type { Script } from "./link/script.ts";
import { leftAsItWas, type Moved, type MoveReply, moveOutcomes } from "./moves.ts";
import { pageOf, parseCursor } from "./page.ts";
import { QueueNames } from "./queue-names.ts";
import { taskFrom } from "./record.ts";
import { SCRIPTS } from "./scripts.ts";
import type { OffsetClock } from "./server-clock.ts";
import {
  endOf,
  heartbeatOutcomeOf,
  outcomeOf,
  pushSettlements,
  type SettleScriptReply,
} from "./settlements.ts";
import { Steps } from "./steps.ts";
import { Store } from "./store.ts";
import { type ImportScriptReply, importArgs } from "./stored.ts";
import { WakeUps } from "./wake-ups.ts";

/** {@link RedisStorage.open}: where, and for tests a shifted time. */
export interface RedisStorageOptions extends RedisOptions {
  readonly clockOffset?: OffsetClock;
  /** Open also a store in the middle of a move, half filled or half emptied; for the one who moves it. */
  readonly midMove?: boolean;
}

/**
 * The scale engine: all state in Redis, each verb one script and one round trip. Any number of processes may
 * share a store. Durability is that of the Redis server.
 */
export class RedisStorage implements MovableStorage {
  /**
   * One is answered while the other is executed; see `lanes.ts`, and `merger.ts` for the number.
   */
  readonly callsInFlight = 2;
  readonly #store: Store;
  readonly #wakeUps: WakeUps;
  readonly #steps: Steps;
  readonly #names: QueueNames;
  readonly #lanes: Lanes;
  readonly #enqueues = new Lanes(1);

  private constructor(store: Store) {
    this.#store = store;
    this.#wakeUps = new WakeUps(store);
    this.#steps = new Steps(store, this.#wakeUps);
    this.#names = new QueueNames(store);
    this.#lanes = new Lanes(store.link.connections);
  }

  /**
   * Connects, checks the server, prepares scripts and connections; then the first claim is as quick as any.
   *
   * @throws {StorageUnavailableError} when the server cannot be used, and says what to do.
   * @throws {InvalidRequestError} for a URL or an option that is none.
   */
  static async open(options: RedisStorageOptions): Promise<RedisStorage> {
    const store = await Store.open(options, options.clockOffset);
    try {
      await store.checkFormat();
      const storage = new RedisStorage(store);
      // Seen first by whoever begins to move the store, and then looking whether somebody does.
      await storage.#wakeUps.listen(() => storage.#names.forget());
      if (options.midMove !== true) refuseMidMove(await storage.readMoveMark(), options.prefix ?? "dibs");
      return storage;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  get clock(): Clock {
    return this.#store.clock;
  }

  get connections(): number {
    return this.#store.link.connections;
  }

  async enqueue(queue: QueueName, tasks: readonly NewTask[]): Promise<EnqueueOutcome[]> {
    if (tasks.length === 0) return [];
    const args = enqueueArgs(this.#store.shift, this.#wakeUps.self(queue), tasks);
    const lane = this.#enqueues.take(queue);
    const reply = this.#names.making(queue, () =>
      this.#store.timed<EnqueueReply>(SCRIPTS.enqueue, queue, args, lane),
    );
    const isTold = this.#wakeUps.tellEarly(queue);
    const answer = await reply.finally(() => this.#enqueues.leave(queue, lane));
    const outcomes = enqueueOutcomes(queue, tasks, answer);
    const [, , woken] = answer;
    if (!isTold && outcomes.some(isReady)) this.#wakeUps.readied(queue, woken);
    return outcomes;
  }

  async claim(queue: QueueName, asks: readonly ClaimAsk[]): Promise<ClaimReply> {
    this.#wakeUps.claims(queue);
    const nonce = newNonce();
    const args: (string | number)[] = [this.#store.shift, this.#wakeUps.self(queue), nonce];
    pushAsks(args, asks);
    const reply = await this.#apart<GrantReply>(SCRIPTS.claim, queue, args);
    return claimReplyOf(queue, asks, nonce, reply);
  }

  async settle(
    queue: QueueName,
    settlements: readonly Settlement[],
    asks: readonly ClaimAsk[] = [],
  ): Promise<SettleReply> {
    const nonce = newNonce();
    const args: (string | number)[] = [
      this.#store.shift,
      this.#wakeUps.self(queue),
      nonce,
      settlements.length,
    ];
    pushSettlements(args, queue, settlements);
    pushAsks(args, asks);
    const reply = await this.#apart<SettleScriptReply>(SCRIPTS.settle, queue, args);
    const [, , words, woken] = reply;
    const outcomes = typeof words === "string" ? [outcomeOf(words)] : words.map(outcomeOf);
    outcomes.forEach((outcome, i) => {
      const end = endOf(outcome);
      if (end !== undefined)
        this.#wakeUps.tell({ kind: "finished", id: (settlements[i] as Settlement).id, state: end });
    });
    if (outcomes.some((outcome) => outcome.kind === "ready")) this.#wakeUps.readied(queue, woken);
    return { outcomes, claim: claimReplyOf(queue, asks, nonce, reply, 4) };
  }

  async heartbeat(queue: QueueName, beats: readonly Heartbeat[]): Promise<HeartbeatOutcome[]> {
    if (beats.length === 0) return [];
    const args: (string | number)[] = [this.#store.shift];
    for (const { id, token, leaseMs } of beats) args.push(memberOf(queue, id), token, leaseMs ?? "");
    const [, words] = await this.#store.timed<[number, (string | number)[]]>(SCRIPTS.heartbeat, queue, args);
    return words.map(heartbeatOutcomeOf);
  }

  promoteDue(queue: QueueName, limit: number): Promise<PromoteReply> {
    return this.#steps.promoteDue(queue, limit);
  }

  reapExpired(queue: QueueName, limit: number): Promise<ReapReply> {
    return this.#steps.reapExpired(queue, limit);
  }

  prune(queue: QueueName, limit: number): Promise<PruneReply> {
    return this.#steps.prune(queue, limit);
  }

  purge(queue: QueueName, state: Exclude<TaskState, "leased">, limit: number): Promise<PruneReply> {
    return this.#steps.purge(queue, state, limit);
  }

  async cancel(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    const { outcomes } = await this.#move(queue, "cancel", ids);
    for (const outcome of outcomes) {
      if (outcome.kind === "moved")
        this.#wakeUps.tell({ kind: "finished", id: outcome.task.id, state: "cancelled" });
    }
    return outcomes;
  }

  async requeue(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    const { outcomes, woken } = await this.#move(queue, "requeue", ids);
    if (outcomes.some(({ kind }) => kind === "moved")) this.#wakeUps.readied(queue, woken);
    return outcomes;
  }

  async requeueDead(queue: QueueName, limit: number): Promise<RequeueDeadReply> {
    const [, more, woken, words] = await this.#store.timed<MoveReply>(SCRIPTS.move, queue, [
      this.#store.shift,
      this.#wakeUps.self(queue),
      "dead",
      limit,
    ]);
    if (words.length > 0) this.#wakeUps.readied(queue, woken);
    return { requeued: words.length, more: more === 1 };
  }

  async forceRelease(queue: QueueName, ids: readonly TaskId[]): Promise<ForceReleaseOutcome[]> {
    if (ids.length === 0) return [];
    const [, , woken, words] = await this.#store.timed<MoveReply>(SCRIPTS.move, queue, [
      this.#store.shift,
      this.#wakeUps.self(queue),
      "release",
      0,
      ...ids.map((id) => memberOf(queue, id)),
    ]);
    words.forEach((word, i) => {
      if (word === "D") this.#wakeUps.tell({ kind: "finished", id: ids[i] as TaskId, state: "dead" });
    });
    if (words.includes("M")) this.#wakeUps.readied(queue, woken);
    return words.map((word) => {
      if (word === "M") return { kind: "ready" };
      if (word === "D") return { kind: "dead" };
      return leftAsItWas(word);
    });
  }

  async get(queue: QueueName, ids: readonly TaskId[]): Promise<(Task | undefined)[]> {
    if (ids.length === 0) return [];
    const members = ids.map((id) => memberOf(queue, id));
    const found = await this.#store.run<(string | null)[][]>(SCRIPTS.get, queue, members);
    return found.map((fields, i) =>
      typeof fields[0] === "string" ? taskFrom(queue, members[i] as string, fields) : undefined,
    );
  }

  async list(queue: QueueName, request: ListRequest): Promise<ListPage> {
    const { state, limit, cursor, bytesMax = LIMITS.bodyBytesMax } = request;
    const from = cursor === undefined ? [] : parseCursor(cursor, state);
    const args = [state, limit, bytesMax, ...from];
    return pageOf(queue, state, await this.#store.run<(string | null)[]>(SCRIPTS.list, queue, args));
  }

  async snapshot(queue: QueueName): Promise<QueueSnapshot | undefined> {
    const [, , , , fields, oldest] = await this.#store.timed<ConfigureReply>(SCRIPTS.configure, queue, [
      this.#store.shift,
      "",
      0,
    ]);
    return snapshotOf(queue, fields, oldest);
  }

  async queues(): Promise<QueueName[]> {
    const names = await this.#names.read();
    // A process that died between entering a queue and its first task leaves a name without a queue.
    const made = await Promise.all(
      names.map((name) => this.#store.command("HEXISTS", this.#store.keys.meta(name), "v")),
    );
    return names.filter((_, i) => made[i] === 1).sort();
  }

  async configure(queue: QueueName, change: QueueChange): Promise<QueueSnapshot> {
    const args = [this.#store.shift, this.#wakeUps.self(queue), 1, ...changedFields(change)];
    const [, , woken, , fields, oldest] = await this.#names.making(queue, () =>
      this.#store.timed<ConfigureReply>(SCRIPTS.configure, queue, args),
    );
    if (change.paused === false) this.#wakeUps.readied(queue, woken);
    return snapshotOf(queue, fields, oldest) as QueueSnapshot;
  }

  exportTasks(queue: QueueName, request: ExportRequest): Promise<ExportPage> {
    const [base] = this.#store.keys.of(queue);
    return exportTasks(
      queue,
      {
        list: (args) => this.#store.run(SCRIPTS.list, queue, args),
        keysFrom: (first, count) =>
          this.#store.command("LRANGE", `${base}:keyorder`, first, first + count - 1),
        entries: (names) => this.#store.command("HMGET", `${base}:keys`, ...names),
      },
      request,
    );
  }

  async importTasks(queue: QueueName, batch: ImportBatch): Promise<ImportReply> {
    const { keys = [], tasks = [], pruned = "" } = batch;
    const args: (string | number)[] = [this.#store.shift, pruned, tasks.length];
    for (const task of tasks) args.push(...importArgs(task));
    for (const { key, id, payloadHash, expiresAt } of keys) {
      args.push(key, randomPartOf(id), payloadHash, expiresAt);
    }
    const [, imported] = await this.#names.making(queue, () =>
      this.#store.timed<ImportScriptReply>(SCRIPTS.import, queue, args),
    );
    return { imported };
  }

  async readMoveMark(): Promise<MoveMark | undefined> {
    const text = await this.#store.command<string | null>("GET", this.#store.keys.move);
    return text === null ? undefined : parseMoveMark(text, this.#store.keys.move);
  }

  async writeMoveMark(mark: MoveMark | undefined): Promise<void> {
    if (mark === undefined) await this.#store.command("DEL", this.#store.keys.move);
    else await this.#store.command("SET", this.#store.keys.move, JSON.stringify(mark));
  }

  /** Every process that has the store open hears of ends, at one of the masters. */
  async otherUsers(): Promise<number> {
    const replies = await this.#store.link.everyMaster("PUBSUB", "NUMSUB", this.#store.keys.endsChannel);
    const users = (replies as [string, number][]).reduce((sum, [, count]) => sum + count, 0);
    return Math.max(0, users - 1);
  }

  nextDueAt(limit: number): Promise<DueQueue[]> {
    return nextDueAt(this.#store, this.#names, limit);
  }

  subscribe(listener: (event: StorageEvent) => void): () => void {
    return this.#wakeUps.subscribe(listener);
  }

  setWaiting(queue: QueueName, waiting: boolean): void {
    if (!this.#store.isClosed) this.#wakeUps.setWaiting(queue, waiting);
  }

  awaitEnd(id: TaskId): Promise<void> {
    return this.#wakeUps.awaitEnd(id);
  }

  trouble(): Trouble | undefined {
    return this.#store.trouble();
  }

  close(): Promise<void> {
    if (!this.#store.isClosed) this.#wakeUps.close();
    return this.#store.close();
  }

  /**
   * Runs a script that may overtake others of its queue. Not an enqueue: who was told of it early would come too soon,
   * find nothing, and be crossed off by the enqueue as woken.
   */
  async #apart<Reply extends readonly [now: number, ...unknown[]]>(
    script: Script,
    queue: QueueName,
    args: readonly (string | number)[],
  ): Promise<Reply> {
    const lane = this.#lanes.take(queue, this.#enqueues.has(queue));
    try {
      return await this.#store.timed<Reply>(script, queue, args, lane);
    } finally {
      this.#lanes.leave(queue, lane);
    }
  }

  async #move(queue: QueueName, verb: "cancel" | "requeue", ids: readonly TaskId[]): Promise<Moved> {
    if (ids.length === 0) return { outcomes: [], woken: 0 };
    const members = ids.map((id) => memberOf(queue, id));
    const args = [this.#store.shift, this.#wakeUps.self(queue), verb, 0, ...members];
    const [, , woken, words, items] = await this.#store.timed<MoveReply>(SCRIPTS.move, queue, args);
    return { outcomes: moveOutcomes(queue, words, items), woken };
  }
}

function isReady(outcome: EnqueueOutcome): boolean {
  return outcome.kind === "enqueued" && outcome.task.state === "ready";
}
