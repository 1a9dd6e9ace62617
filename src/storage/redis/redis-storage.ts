import { randomBytes } from "node:crypto";
import type { Clock } from "../../clock.ts";
import { InvalidRequestError, StorageUnavailableError } from "../../task/errors.ts";
import { parseQueueName, type QueueName, queueOf, randomPartOf, type TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { QueueSnapshot } from "../../task/queue.ts";
import type { EpochMs, FinishedState, NewTask, Task, TaskState } from "../../task/task.ts";
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
import { claimReplyOf, memberOf, pushAsks } from "./asks.ts";
import { changedFields, snapshotOf } from "./config-fields.ts";
import { cursorOf, parseCursor } from "./cursor.ts";
import { type EnqueueReply, enqueueArgs, enqueueOutcomes } from "./enqueue.ts";
import { exportTasks } from "./export.ts";
import { Keys } from "./keys.ts";
import { RedisLink, type RedisOptions } from "./link/link.ts";
import type { Script } from "./link/script.ts";
import { stateOfLetter, taskOf } from "./record.ts";
import { FORMAT, SCRIPTS } from "./scripts.ts";
import { type OffsetClock, ServerClock } from "./server-clock.ts";
import { endOf, outcomeOf, pushSettlements } from "./settlements.ts";
import { importArgs } from "./stored.ts";
import { WaitingQueues } from "./waiting-queues.ts";

/** {@link RedisStorage.open}: where, and for tests a shifted time. */
export interface RedisStorageOptions extends RedisOptions {
  readonly clockOffset?: OffsetClock;
  /** Open also a store in the middle of a move, half filled or half emptied; for the one who moves it. */
  readonly midMove?: boolean;
}

const NONCE_RANGE = 2 ** 32;

/**
 * The scale engine: all state in Redis, each verb one script and one round trip. Any number of processes may
 * share a store. Durability is that of the Redis server.
 */
export class RedisStorage implements MovableStorage {
  readonly #link: RedisLink;
  readonly #keys: Keys;
  readonly #clock = new ServerClock();
  readonly #offset: OffsetClock | undefined;
  readonly #channel: string;
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  readonly #waiting: WaitingQueues;
  /** Queues at whose wake-up this process was called, and has not claimed since. */
  readonly #owed = new Set<QueueName>();
  /** Queues among whose waiting processes this one may stand. */
  readonly #standsAt = new Set<QueueName>();
  /** Queues that this process has entered into the list of all. */
  readonly #registered = new Set<QueueName>();
  #closing: Promise<void> | undefined;

  private constructor(link: RedisLink, keys: Keys, options: RedisStorageOptions) {
    this.#link = link;
    this.#keys = keys;
    this.#offset = options.clockOffset;
    this.#channel = keys.brokerChannel(randomBytes(8).toString("base64url"));
    this.#waiting = new WaitingQueues({
      look: (queue) => this.#look(queue),
      found: (queue) => this.#tell({ kind: "ready", queue }),
    });
  }

  /**
   * Connects, checks the server, prepares scripts and connections; then the first claim is as quick as any.
   *
   * @throws {StorageUnavailableError} when the server cannot be used, and says what to do.
   * @throws {InvalidRequestError} for a URL or an option that is none.
   */
  static async open(options: RedisStorageOptions): Promise<RedisStorage> {
    const link = await RedisLink.open(options, Object.values(SCRIPTS));
    try {
      const keys = new Keys(options.prefix ?? "dibs", link.isCluster);
      await checkFormat(link, keys);
      const storage = new RedisStorage(link, keys, options);
      // Seen first by whoever begins to move the store, and then looking whether somebody does.
      await storage.#listen();
      if (options.midMove !== true) refuseMidMove(await storage.readMoveMark(), options.prefix ?? "dibs");
      return storage;
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  get clock(): Clock {
    return this.#clock;
  }

  readonly callsInFlight = 2;

  get connections(): number {
    return this.#link.connections;
  }

  async enqueue(queue: QueueName, tasks: readonly NewTask[]): Promise<EnqueueOutcome[]> {
    if (tasks.length === 0) return [];
    const entered = this.#entered(queue);
    const reply = this.#run<EnqueueReply>(
      SCRIPTS.enqueue,
      queue,
      enqueueArgs(this.#shift, this.#self(queue), tasks),
    );
    // Who waits here asks right behind the enqueue, in the same pipeline: calls of one queue stay in order.
    const isTold = this.#waiting.has(queue);
    if (isTold) this.#tell({ kind: "ready", queue });
    const [answer] = await Promise.all([reply, entered]);
    const [, , woken, made] = answer;
    if (made === 1 && entered === undefined) this.#enterAgain(queue);
    const outcomes = enqueueOutcomes(queue, tasks, answer);
    if (isTold && woken === 1 && !this.#waiting.has(queue)) this.#wakeNext(queue);
    else if (!isTold && outcomes.some(isReady)) this.#readied(queue, woken);
    return outcomes;
  }

  async claim(queue: QueueName, asks: readonly ClaimAsk[]): Promise<ClaimReply> {
    this.#owed.delete(queue);
    const args: (string | number)[] = [this.#shift, this.#self(queue), newNonce()];
    pushAsks(args, asks);
    const [, more, counts, items] = await this.#run<GrantReply>(SCRIPTS.claim, queue, args);
    return claimReplyOf(queue, counts, items, more);
  }

  async settle(
    queue: QueueName,
    settlements: readonly Settlement[],
    asks: readonly ClaimAsk[] = [],
  ): Promise<SettleReply> {
    const args: (string | number)[] = [this.#shift, this.#self(queue), newNonce(), settlements.length];
    pushSettlements(args, queue, settlements);
    pushAsks(args, asks);
    const reply = await this.#run<SettleScriptReply>(SCRIPTS.settle, queue, args);
    const [, more, counts, items, words, woken] = reply;
    const outcomes = words.map(outcomeOf);
    outcomes.forEach((outcome, i) => {
      const end = endOf(outcome);
      if (end !== undefined)
        this.#tell({ kind: "finished", id: (settlements[i] as Settlement).id, state: end });
    });
    if (outcomes.some((outcome) => outcome.kind === "ready")) this.#readied(queue, woken);
    return { outcomes, claim: claimReplyOf(queue, counts, items, more) };
  }

  async heartbeat(queue: QueueName, beats: readonly Heartbeat[]): Promise<HeartbeatOutcome[]> {
    if (beats.length === 0) return [];
    const args: (string | number)[] = [this.#shift];
    for (const { id, token, leaseMs } of beats) args.push(memberOf(queue, id), token, leaseMs ?? "");
    const [, words] = await this.#run<[number, (string | number)[]]>(SCRIPTS.heartbeat, queue, args);
    return words.map(heartbeatOutcomeOf);
  }

  async promoteDue(queue: QueueName, limit: number): Promise<PromoteReply> {
    const [, more, woken, latenessMs] = await this.#run<[number, number, number, number[]]>(
      SCRIPTS.promote,
      queue,
      [this.#shift, this.#self(queue), limit],
    );
    if (latenessMs.length > 0) this.#readied(queue, woken);
    return { latenessMs, more: more === 1 };
  }

  async reapExpired(queue: QueueName, limit: number): Promise<ReapReply> {
    const [, more, woken, words] = await this.#run<[number, number, number, string[]]>(SCRIPTS.reap, queue, [
      this.#shift,
      this.#self(queue),
      limit,
    ]);
    const reaped = words.map((word) => ({
      id: `${queue}~${word.slice(0, 16)}` as TaskId,
      state: word.charAt(16) === "D" ? ("dead" as const) : ("ready" as const),
    }));
    for (const { id, state } of reaped) if (state === "dead") this.#tell({ kind: "finished", id, state });
    if (reaped.some(({ state }) => state === "ready")) this.#readied(queue, woken);
    return { reaped, more: more === 1 };
  }

  async prune(queue: QueueName, limit: number): Promise<PruneReply> {
    const [, pruned] = await this.#run<[number, number]>(SCRIPTS.prune, queue, [this.#shift, limit]);
    return { pruned, more: pruned === limit };
  }

  async purge(queue: QueueName, state: Exclude<TaskState, "leased">, limit: number): Promise<PruneReply> {
    const args = [this.#shift, state, limit];
    const [, pruned, more] = await this.#run<[number, number, number]>(SCRIPTS.purge, queue, args);
    return { pruned, more: more === 1 };
  }

  async cancel(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    const { outcomes } = await this.#move(queue, "cancel", ids);
    for (const outcome of outcomes) {
      if (outcome.kind === "moved") this.#tell({ kind: "finished", id: outcome.task.id, state: "cancelled" });
    }
    return outcomes;
  }

  async requeue(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    const { outcomes, woken } = await this.#move(queue, "requeue", ids);
    if (outcomes.some(({ kind }) => kind === "moved")) this.#readied(queue, woken);
    return outcomes;
  }

  async requeueDead(queue: QueueName, limit: number): Promise<RequeueDeadReply> {
    const [, more, woken, words] = await this.#run<MoveReply>(SCRIPTS.move, queue, [
      this.#shift,
      this.#self(queue),
      "dead",
      limit,
    ]);
    if (words.length > 0) this.#readied(queue, woken);
    return { requeued: words.length, more: more === 1 };
  }

  async forceRelease(queue: QueueName, ids: readonly TaskId[]): Promise<ForceReleaseOutcome[]> {
    if (ids.length === 0) return [];
    const [, , woken, words] = await this.#run<MoveReply>(SCRIPTS.move, queue, [
      this.#shift,
      this.#self(queue),
      "release",
      0,
      ...ids.map((id) => memberOf(queue, id)),
    ]);
    words.forEach((word, i) => {
      if (word === "D") this.#tell({ kind: "finished", id: ids[i] as TaskId, state: "dead" });
    });
    if (words.includes("M")) this.#readied(queue, woken);
    return words.map((word) => {
      if (word === "M") return { kind: "ready" };
      if (word === "D") return { kind: "dead" };
      return leftAsItWas(word);
    });
  }

  async get(queue: QueueName, ids: readonly TaskId[]): Promise<(Task | undefined)[]> {
    if (ids.length === 0) return [];
    const members = ids.map((id) => memberOf(queue, id));
    const found = await this.#call<(string | null)[][]>(SCRIPTS.get, queue, members);
    return found.map(([record, state, failures, result, expiresAt], i) =>
      typeof record === "string"
        ? taskOf(queue, members[i] as string, {
            record,
            state: state ?? null,
            failures: failures ?? null,
            result: result ?? null,
            expiresAt: expiresAt ?? null,
          })
        : undefined,
    );
  }

  async list(queue: QueueName, request: ListRequest): Promise<ListPage> {
    const { state, limit, cursor, bytesMax = LIMITS.bodyBytesMax } = request;
    const from = cursor === undefined ? [] : parseCursor(cursor, state);
    const reply = await this.#call<(string | null)[]>(SCRIPTS.list, queue, [state, limit, bytesMax, ...from]);
    const [first, second, ...items] = reply;
    const tasks: Task[] = [];
    for (let at = 0; at < items.length; at += 6) {
      const [random, record, stateText, failures, result, expiresAt] = items.slice(at, at + 6);
      tasks.push(
        taskOf(queue, random as string, {
          record: record as string,
          state: stateText ?? null,
          failures: failures ?? null,
          result: result ?? null,
          expiresAt: expiresAt ?? null,
        }),
      );
    }
    return first === "" ? { tasks } : { tasks, cursor: cursorOf(state, first as string, second as string) };
  }

  async snapshot(queue: QueueName): Promise<QueueSnapshot | undefined> {
    const [, , , fields, oldest] = await this.#run<ConfigureReply>(SCRIPTS.configure, queue, [
      this.#shift,
      "",
      0,
    ]);
    return snapshotOf(queue, fields, oldest);
  }

  async queues(): Promise<QueueName[]> {
    const names = (await this.#command<string[]>("SMEMBERS", this.#keys.queues)).flatMap(
      (name) => parseQueueName(name) ?? [],
    );
    // A process that died between entering a queue and its first task leaves a name without a queue.
    const made = await Promise.all(names.map((name) => this.#command("HEXISTS", this.#keys.meta(name), "v")));
    return names.filter((_, i) => made[i] === 1).sort();
  }

  async configure(queue: QueueName, change: QueueChange): Promise<QueueSnapshot> {
    const entered = this.#entered(queue);
    const args = [this.#shift, this.#self(queue), 1, ...changedFields(change)];
    const [answer] = await Promise.all([this.#run<ConfigureReply>(SCRIPTS.configure, queue, args), entered]);
    const [, woken, made, fields, oldest] = answer;
    if (made === 1 && entered === undefined) this.#enterAgain(queue);
    if (change.paused === false) this.#readied(queue, woken);
    return snapshotOf(queue, fields, oldest) as QueueSnapshot;
  }

  exportTasks(queue: QueueName, request: ExportRequest): Promise<ExportPage> {
    const [base] = this.#keys.of(queue);
    return exportTasks(
      queue,
      {
        list: (args) => this.#call(SCRIPTS.list, queue, args),
        keysFrom: (first, count) => this.#command("LRANGE", `${base}:keyorder`, first, first + count - 1),
        entries: (names) => this.#command("HMGET", `${base}:keys`, ...names),
      },
      request,
    );
  }

  async importTasks(queue: QueueName, batch: ImportBatch): Promise<ImportReply> {
    const { keys = [], tasks = [], pruned = "" } = batch;
    const entered = this.#entered(queue);
    const args: (string | number)[] = [this.#shift, pruned, tasks.length];
    for (const task of tasks) args.push(...importArgs(task));
    for (const { key, id, payloadHash, expiresAt } of keys) {
      args.push(key, randomPartOf(id), payloadHash, expiresAt);
    }
    const reply = this.#run<[number, number, number]>(SCRIPTS.import, queue, args);
    const [[, imported, made]] = await Promise.all([reply, entered]);
    if (made === 1 && entered === undefined) this.#enterAgain(queue);
    return { imported };
  }

  async readMoveMark(): Promise<MoveMark | undefined> {
    const text = await this.#command<string | null>("GET", this.#keys.move);
    return text === null ? undefined : parseMoveMark(text, this.#keys.move);
  }

  async writeMoveMark(mark: MoveMark | undefined): Promise<void> {
    if (mark === undefined) await this.#command("DEL", this.#keys.move);
    else await this.#command("SET", this.#keys.move, JSON.stringify(mark));
  }

  /** Every process that has the store open hears of ends, at one of the masters. */
  async otherUsers(): Promise<number> {
    const replies = await this.#link.everyMaster("PUBSUB", "NUMSUB", this.#keys.endsChannel);
    const users = (replies as [string, number][]).reduce((sum, [, count]) => sum + count, 0);
    return Math.max(0, users - 1);
  }

  async nextDueAt(limit: number): Promise<DueQueue[]> {
    const due = this.#link.isCluster
      ? (
          await Promise.all((await this.queues()).map((queue) => this.#readDue(this.#keys.dueOf(queue), 1)))
        ).flat()
      : await this.#readDue(this.#keys.due, limit);
    return due.sort((a, b) => a.at - b.at).slice(0, limit);
  }

  subscribe(listener: (event: StorageEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  setWaiting(queue: QueueName, waiting: boolean): void {
    if (this.#closing !== undefined) return;
    this.#waiting.set(queue, waiting);
    if (!waiting && this.#owed.delete(queue)) this.#wakeNext(queue);
  }

  async awaitEnd(id: TaskId): Promise<void> {
    const queue = queueOf(id);
    await this.#call(SCRIPTS.await, queue, [this.#keys.endsChannel, memberOf(queue, id)]);
  }

  trouble(): Trouble | undefined {
    if (this.#closing !== undefined) return { reason: CLOSED, isFinal: true };
    return this.#link.trouble();
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#waiting.close();
      // Whoever stays among those who wait after its end would cost others a wake-up that nobody hears.
      for (const queue of this.#standsAt) this.#wakeNext(queue);
      this.#closing = this.#link.close();
    }
    return this.#closing;
  }

  async #listen(): Promise<void> {
    await this.#link.subscribe(this.#channel, (text) => this.#woken(text));
    await this.#link.subscribe(this.#keys.endsChannel, (text) => this.#heardEnds(text));
    await this.#link.subscribe(this.#keys.dueChannel, (text) => this.#heardDue(text));
    this.#link.onReconnect(() => {
      // The server may have come back without its data, and messages were missed.
      this.#registered.clear();
      for (const queue of this.#waiting) this.#tell({ kind: "ready", queue });
    });
  }

  #woken(text: string): void {
    const queue = text.slice("ready ".length) as QueueName;
    if (!this.#waiting.has(queue)) this.#wakeNext(queue);
    else {
      this.#owed.add(queue);
      this.#tell({ kind: "ready", queue });
    }
  }

  #heardEnds(text: string): void {
    const [queue, ...ends] = text.split(" ");
    for (const end of ends) {
      const id = `${queue}~${end.slice(0, 16)}` as TaskId;
      this.#tell({ kind: "finished", id, state: stateOfLetter(end.charAt(16)) as FinishedState });
    }
  }

  #heardDue(text: string): void {
    const [at, queue] = text.split(" ");
    this.#tell({ kind: "due", queue: queue as QueueName, at: Number(at) });
  }

  /** Tells of ready tasks once a call that made them has answered. */
  #readied(queue: QueueName, woken: number): void {
    this.#passOn(queue, woken);
    this.#tell({ kind: "ready", queue });
  }

  /** The script found this process among those who wait; when nobody waits here any more, another is woken. */
  #passOn(queue: QueueName, woken: number): void {
    if (woken !== 1) return;
    if (this.#waiting.has(queue)) this.#owed.add(queue);
    else this.#wakeNext(queue);
  }

  #wakeNext(queue: QueueName): void {
    // When it fails, the safety look of who waits finds the task.
    this.#call(SCRIPTS.wake, queue, [this.#shift, this.#channel]).catch(() => {});
  }

  /** Whether something is ready, or this process is no longer among those who are woken. */
  async #look(queue: QueueName): Promise<boolean> {
    const [ready, waiting, paused] = await this.#command<(string | null)[]>(
      "HMGET",
      this.#keys.meta(queue),
      "ready",
      "waiting",
      "paused",
    );
    if (waiting === null || waiting === undefined || !waiting.includes(this.#channel)) return true;
    return Number(ready ?? 0) > 0 && paused !== "1";
  }

  /** Enters a queue into the list of all, once for each process; it travels with the first call. */
  #entered(queue: QueueName): Promise<void> | undefined {
    return this.#registered.has(queue) ? undefined : this.#enter(queue);
  }

  async #enter(queue: QueueName): Promise<void> {
    await this.#command("SADD", this.#keys.queues, queue);
    this.#registered.add(queue);
  }

  /** A call made a queue that should have been there: somebody has flushed the store, and its name is gone too. */
  #enterAgain(queue: QueueName): void {
    this.#registered.delete(queue);
    this.#enter(queue).catch(() => {});
  }

  async #readDue(key: string, limit: number): Promise<DueQueue[]> {
    // RESP3 answers in pairs, RESP2 flat.
    const reply = (await this.#command<string[]>("ZRANGE", key, 0, limit - 1, "WITHSCORES")).flat();
    const due: DueQueue[] = [];
    for (let i = 0; i < reply.length; i += 2) {
      due.push({ queue: reply[i] as QueueName, at: Number(reply[i + 1]) });
    }
    return due;
  }

  async #move(
    queue: QueueName,
    verb: "cancel" | "requeue",
    ids: readonly TaskId[],
  ): Promise<{ outcomes: MoveOutcome[]; woken: number }> {
    if (ids.length === 0) return { outcomes: [], woken: 0 };
    const members = ids.map((id) => memberOf(queue, id));
    const args = [this.#shift, this.#self(queue), verb, 0, ...members];
    const [, , woken, words, items] = await this.#run<MoveReply>(SCRIPTS.move, queue, args);
    let at = 0;
    const outcomes = words.map((word): MoveOutcome => {
      if (word !== "M") return leftAsItWas(word);
      const [random, record, state, failures] = items.slice(at, at + 4) as [string, string, string, string];
      at += 4;
      return { kind: "moved", task: taskOf(queue, random, { record, state, failures }) };
    });
    return { outcomes, woken };
  }

  get #shift(): number {
    return this.#offset?.offsetMs ?? 0;
  }

  /** The channel of this process when somebody waits here, for a script to know the caller by. */
  #self(queue: QueueName): string {
    if (!this.#waiting.has(queue)) return "";
    this.#standsAt.add(queue);
    return this.#channel;
  }

  /** Runs a script whose answer begins with the server's time. */
  async #run<Reply extends readonly [number, ...unknown[]]>(
    script: Script,
    queue: QueueName,
    args: readonly (string | number)[],
  ): Promise<Reply> {
    const reply = await this.#call<Reply>(script, queue, args);
    this.#clock.sample(reply[0]);
    return reply;
  }

  #call<Reply>(script: Script, queue: QueueName, args: readonly (string | number)[]): Promise<Reply> {
    if (this.#closing !== undefined) return Promise.reject(new StorageUnavailableError(CLOSED));
    return this.#link.run(script, this.#keys.of(queue) as readonly string[], args) as Promise<Reply>;
  }

  #command<Reply>(name: string, key: string, ...args: (string | number)[]): Promise<Reply> {
    if (this.#closing !== undefined) return Promise.reject(new StorageUnavailableError(CLOSED));
    return this.#link.command(name, key, ...args) as Promise<Reply>;
  }

  #tell(event: StorageEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const CLOSED = "The store is closed";

type GrantReply = [now: number, more: number, counts: number[], items: string[]];
type SettleScriptReply = [
  now: number,
  more: number,
  counts: number[],
  items: string[],
  words: string[],
  woken: number,
];
type MoveReply = [now: number, more: number, woken: number, words: string[], items: string[]];
type ConfigureReply = [now: number, woken: number, made: number, fields: string[], oldest: string[]];

function newNonce(): number {
  return Math.floor(Math.random() * NONCE_RANGE);
}

function isReady(outcome: EnqueueOutcome): boolean {
  return outcome.kind === "enqueued" && outcome.task.state === "ready";
}

function heartbeatOutcomeOf(word: string | number): HeartbeatOutcome {
  if (typeof word === "number") return { kind: "extended", expiresAt: word as EpochMs };
  if (word === "N") return { kind: "not-found" };
  return { kind: "lease-lost", state: stateOfLetter(word.charAt(1)) };
}

function leftAsItWas(word: string): { kind: "wrong-state"; state: TaskState } | { kind: "not-found" } {
  return word === "N" ? { kind: "not-found" } : { kind: "wrong-state", state: stateOfLetter(word.charAt(1)) };
}

/** A store of a later version, or keys that are not ours, must not be touched. */
async function checkFormat(link: RedisLink, keys: Keys): Promise<void> {
  await link.command("SET", keys.format, FORMAT, "NX");
  const found = await link.command("GET", keys.format);
  if (found === String(FORMAT)) return;
  const isLater = Number(found) > FORMAT;
  throw new InvalidRequestError(
    isLater
      ? `The store is of format ${found}, this version reads up to ${FORMAT}: use the version that wrote it, or a later one`
      : `The key ${keys.format} holds something else (${JSON.stringify(found)}): choose another prefix`,
  );
}
