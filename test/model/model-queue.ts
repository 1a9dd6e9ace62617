import type {
  ClaimAsk,
  EnqueueOutcome,
  Heartbeat,
  QueueChange,
  Settlement,
} from "../../src/storage/storage.ts";
import { backoffMs } from "../../src/task/backoff.ts";
import type { TaskId } from "../../src/task/ids.ts";
import { LIMITS } from "../../src/task/limits.ts";
import { DEFAULT_QUEUE_CONFIG, patchedConfig, type QueueSnapshot } from "../../src/task/queue.ts";
import { type NewTask, TASK_STATES, type TaskState } from "../../src/task/task.ts";
import { cutToBytes } from "../../src/task/text.ts";
import type { Arrow } from "./arrows.ts";
import { type ModelTask, type Unsettled, viewOf } from "./model-task.ts";

/** What a settle or heartbeat comes to; the engine's answer must have at least these fields. */
export type Expected = Readonly<Record<string, unknown>>;

/**
 * One queue of the storage port in the plainest words: a list of tasks for each state, in the order in which
 * they came there. No index, no journal, no hurry: what it does should be plain from reading it.
 */
export class ModelQueue {
  readonly tasks = new Map<TaskId, ModelTask>();
  readonly places = Object.fromEntries(TASK_STATES.map((state) => [state, []])) as unknown as Record<
    TaskState,
    ModelTask[]
  >;
  exists = false;
  paused = false;
  config = DEFAULT_QUEUE_CONFIG;
  enqueued = 0;
  pruned = 0;
  readonly #keys = new Map<string, { id: TaskId; hash: string | undefined; until: number }>();
  readonly #name: QueueSnapshot["queue"];
  readonly #now: () => number;
  readonly #take: (arrow: Arrow) => void;
  readonly #turn: () => number;

  constructor(
    name: QueueSnapshot["queue"],
    now: () => number,
    take: (arrow: Arrow) => void,
    turn: () => number,
  ) {
    this.#name = name;
    this.#now = now;
    this.#take = take;
    this.#turn = turn;
  }

  enqueue(wanted: readonly NewTask[]): readonly EnqueueOutcome[] {
    return wanted.map((task) => {
      this.exists = true;
      const sent = this.tasks.get(task.id);
      if (sent !== undefined) return { kind: "enqueued", task: viewOf(sent) };
      const known = task.idempotencyKey === undefined ? undefined : this.#keys.get(task.idempotencyKey);
      if (known !== undefined && this.#now() < known.until) return this.#seen(known, task);
      const depth = this.places.scheduled.length + this.places.ready.length + this.places.leased.length;
      const { maxDepth } = this.config;
      if (maxDepth !== null && depth >= maxDepth) return { kind: "queue-full", depth, limit: maxDepth };
      return { kind: "enqueued", task: viewOf(this.#add(task)) };
    });
  }

  #seen(known: { readonly id: TaskId; readonly hash: string | undefined }, task: NewTask): EnqueueOutcome {
    if (known.hash !== task.payloadHash) return { kind: "conflict", id: known.id };
    const first = this.tasks.get(known.id);
    return first === undefined
      ? { kind: "pruned", id: known.id }
      : { kind: "deduplicated", task: viewOf(first) };
  }

  #add(wanted: NewTask): ModelTask {
    const now = this.#now();
    const runAt = Math.max(now, wanted.runAt ?? now + (wanted.delayMs ?? 0));
    const task: ModelTask = {
      ...wanted,
      queue: this.#name,
      state: runAt > now ? "scheduled" : "ready",
      priority: wanted.priority ?? 0,
      attempt: 0,
      releases: 0,
      maxAttempts: wanted.maxAttempts ?? this.config.maxAttempts,
      backoff: { ...this.config.backoff, ...wanted.backoff },
      createdAt: now,
      runAt,
      failures: [],
      lastError: undefined,
      lease: undefined,
      token: undefined,
      fence: 0,
      finishedAt: 0,
      finishedTurn: 0,
      deadReason: undefined,
      result: undefined,
    };
    this.tasks.set(task.id, task);
    this.places[task.state].push(task);
    this.enqueued += 1;
    this.#take(task.state === "ready" ? "enqueue → ready" : "enqueue → scheduled");
    if (wanted.idempotencyKey !== undefined) {
      const until = now + LIMITS.idempotencyKeyMs;
      this.#keys.set(wanted.idempotencyKey, { id: task.id, hash: wanted.payloadHash, until });
    }
    return task;
  }

  /** Which tasks each ask gets; the caller then tells with {@link lease} what the engine made of them. */
  grants(asks: readonly ClaimAsk[]): readonly (readonly ModelTask[])[] {
    const line = this.paused ? [] : [...this.listing("ready")];
    return asks.map(({ max, bytesMax = LIMITS.bodyBytesMax }) => {
      const grant: ModelTask[] = [];
      let bytes = 0;
      for (let next = line[0]; next !== undefined && grant.length < max; next = line[0]) {
        bytes += Buffer.byteLength(next.payload);
        if (grant.length > 0 && bytes > bytesMax) break;
        grant.push(next);
        line.shift();
      }
      return grant;
    });
  }

  get hasClaimable(): boolean {
    return !this.paused && this.places.ready.length > 0;
  }

  lease(task: ModelTask, ask: ClaimAsk, token: string, fence: number): void {
    const ms = ask.leaseMs ?? this.config.leaseMs;
    task.attempt += 1;
    task.token = token;
    task.fence = fence;
    const now = this.#now();
    task.lease = {
      expiresAt: now + ms,
      ms,
      fence,
      claimedAt: now,
      ...(ask.worker !== undefined && { worker: ask.worker }),
    };
    this.#move(task, "leased", "ready → leased (claim)");
  }

  settle(settlements: readonly Settlement[]): readonly Expected[] {
    const released: ModelTask[] = [];
    const outcomes = settlements.map((settlement) => this.#settleOne(settlement, released));
    // Several releases of one call stand at the head in the order given.
    for (const task of released.toReversed()) this.#toHead(task);
    return outcomes;
  }

  #settleOne(settlement: Settlement, released: ModelTask[]): Expected {
    const task = this.tasks.get(settlement.id);
    if (task === undefined) return { kind: "not-found" };
    if (!this.#isHeld(task, settlement.token)) {
      const again = settlement.outcome === "complete" && task.state === "completed";
      if (again && task.token === settlement.token) return { kind: "completed", repeated: true };
      return { kind: "lease-lost", state: task.state };
    }
    const ranMs = this.#now() - (task.lease?.claimedAt ?? 0);
    switch (settlement.outcome) {
      case "complete":
        task.result = settlement.result;
        this.#move(task, "completed", "leased → completed");
        return { kind: "completed", ranMs, repeated: false };
      case "refuse":
        this.#fail(task, settlement.error);
        task.deadReason = "refused";
        this.#move(task, "dead", "leased → dead (refuse)");
        return { kind: "dead", ranMs, reason: "refused" };
      case "release":
        return {
          ...this.#release(task, settlement.undelivered === true, released, "leased → ready (release)"),
          ranMs,
        };
      case "nack":
        return { ...this.#nack(task, settlement), ranMs };
    }
  }

  #nack(task: ModelTask, nack: Settlement & { readonly outcome: "nack" }): Expected {
    this.#fail(task, nack.error);
    if (task.attempt >= task.maxAttempts) {
      task.deadReason = "attempts";
      this.#move(task, "dead", "leased → dead (nack)");
      return { kind: "dead", reason: "attempts" };
    }
    const waitMs = nack.delayMs ?? backoffMs(task.attempt, task.backoff, nack.random);
    task.runAt = this.#now() + waitMs;
    if (waitMs === 0) {
      this.#move(task, "ready", "leased → ready (nack)");
      return { kind: "ready" };
    }
    this.#move(task, "scheduled", "leased → scheduled (nack)");
    return { kind: "scheduled", runAt: task.runAt };
  }

  #release(task: ModelTask, undelivered: boolean, released: ModelTask[], arrow: Arrow): Expected {
    const counts = !undelivered && task.releases >= LIMITS.releasesMax;
    if (counts && task.attempt >= task.maxAttempts) {
      task.deadReason = "attempts";
      this.#move(task, "dead", "leased → dead (release 101)");
      return { kind: "dead", reason: "attempts" };
    }
    if (!counts) task.attempt -= 1;
    if (!counts && !undelivered) task.releases += 1;
    this.#move(task, "ready", arrow);
    released.push(task);
    return { kind: "ready" };
  }

  forceRelease(ids: readonly TaskId[]): readonly Expected[] {
    const released: ModelTask[] = [];
    const outcomes = ids.map((id) => {
      const task = this.tasks.get(id);
      if (task === undefined) return { kind: "not-found" };
      if (task.state !== "leased") return { kind: "wrong-state", state: task.state };
      const { kind } = this.#release(task, false, released, "leased → ready (forced release)");
      return { kind };
    });
    for (const task of released.toReversed()) this.#toHead(task);
    return outcomes;
  }

  heartbeat(beats: readonly Heartbeat[]): readonly Expected[] {
    return beats.map(({ id, token, leaseMs }) => {
      const task = this.tasks.get(id);
      if (task === undefined) return { kind: "not-found" };
      if (!this.#isHeld(task, token)) return { kind: "lease-lost", state: task.state };
      const expiresAt = this.#now() + (leaseMs ?? task.lease?.ms ?? 0);
      task.lease = { ...(task.lease as NonNullable<ModelTask["lease"]>), expiresAt };
      return { kind: "extended", expiresAt };
    });
  }

  /** I3: a token holds while it is that of the last claim and its lease has not ended. */
  #isHeld(task: ModelTask, token: string): boolean {
    return task.state === "leased" && task.token === token && this.#now() < (task.lease?.expiresAt ?? 0);
  }

  due(): readonly ModelTask[] {
    return this.listing("scheduled").filter(({ runAt }) => runAt <= this.#now());
  }

  promote(task: ModelTask): void {
    this.#move(task, "ready", "scheduled → ready (promote)");
  }

  expired(): readonly ModelTask[] {
    return this.listing("leased").filter(({ lease }) => (lease?.expiresAt ?? 0) <= this.#now());
  }

  reap(task: ModelTask, error: string): "ready" | "dead" {
    this.#fail(task, error);
    if (task.attempt >= task.maxAttempts) {
      task.deadReason = "attempts";
      this.#move(task, "dead", "leased → dead (expired)");
      return "dead";
    }
    task.runAt = this.#now();
    this.#move(task, "ready", "leased → ready (expired)");
    return "ready";
  }

  /** Finished tasks that the retention no longer keeps, now and when the ones before are gone. */
  prunable(): readonly ModelTask[] {
    const { retention } = this.config;
    const old = (task: ModelTask, ms: number) =>
      this.#now() - task.finishedAt >= Math.max(ms, LIMITS.retentionMsMin);
    const over = (state: TaskState, ms: number, max: number) =>
      this.places[state].filter(
        (task, place, all) => old(task, ms) || (old(task, 0) && place < all.length - max),
      );
    const gone = new Set([
      ...over("completed", retention.completedMs, retention.completedMax),
      ...over("cancelled", retention.completedMs, retention.completedMax),
      ...over("dead", retention.deadMs, retention.deadMax),
    ]);
    const kept = [...this.places.completed, ...this.places.cancelled, ...this.places.dead]
      .filter((task) => !gone.has(task))
      .sort((a, b) => a.finishedAt - b.finishedAt || a.finishedTurn - b.finishedTurn);
    let bytes = kept.reduce((sum, task) => sum + bytesOf(task), 0);
    for (const task of kept) {
      if (bytes <= retention.bytesMax || !old(task, 0)) break;
      gone.add(task);
      bytes -= bytesOf(task);
    }
    return [...gone];
  }

  remove(task: ModelTask, arrow: Arrow): void {
    this.#leave(task);
    this.tasks.delete(task.id);
    this.pruned += 1;
    this.#take(arrow);
  }

  cancel(ids: readonly TaskId[]): readonly Expected[] {
    return ids.map((id) => {
      const task = this.tasks.get(id);
      if (task === undefined) return { kind: "not-found" };
      const { state } = task;
      if (!isUnfinished(state)) return { kind: "wrong-state", state };
      this.#move(task, "cancelled", `${state} → cancelled`);
      return { kind: "moved", task: viewOf(task) };
    });
  }

  requeue(ids: readonly TaskId[]): readonly Expected[] {
    return ids.map((id) => {
      const task = this.tasks.get(id);
      if (task === undefined) return { kind: "not-found" };
      const { state } = task;
      if (state !== "dead" && state !== "cancelled" && state !== "scheduled")
        return { kind: "wrong-state", state };
      task.attempt = 0;
      task.releases = 0;
      task.runAt = this.#now();
      task.deadReason = undefined;
      this.#move(task, "ready", `${state} → ready (requeue)`);
      return { kind: "moved", task: viewOf(task) };
    });
  }

  configure({ config, paused }: QueueChange): void {
    this.exists = true;
    if (config !== undefined) this.config = patchedConfig(this.config, config);
    if (paused !== undefined) this.paused = paused;
  }

  /** The tasks of a state in the order of a listing. */
  listing(state: TaskState): readonly ModelTask[] {
    const tasks = this.places[state];
    if (state === "ready") return tasks.toSorted((a, b) => b.priority - a.priority);
    if (state === "scheduled") return tasks.toSorted((a, b) => a.runAt - b.runAt);
    if (state === "leased")
      return tasks.toSorted((a, b) => (a.lease?.expiresAt ?? 0) - (b.lease?.expiresAt ?? 0));
    return tasks;
  }

  snapshot(): QueueSnapshot | undefined {
    if (!this.exists) return undefined;
    const heads = Array.from({ length: 10 }, (_, priority) =>
      this.places.ready.find((task) => task.priority === priority),
    ).flatMap((task) => task?.runAt ?? []);
    return {
      queue: this.#name,
      paused: this.paused,
      config: this.config,
      counts: Object.fromEntries(
        TASK_STATES.map((state) => [state, this.places[state].length]),
      ) as QueueSnapshot["counts"],
      enqueued: this.enqueued,
      pruned: this.pruned,
      ...(heads.length > 0 && { oldestReadyAt: Math.min(...heads) }),
    };
  }

  dueAt(): number | undefined {
    const times = [
      ...this.places.scheduled.map(({ runAt }) => runAt),
      ...this.places.leased.map(({ lease }) => lease?.expiresAt ?? 0),
    ];
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #fail(task: ModelTask, error: string | undefined): void {
    const worker = task.lease?.worker;
    const failure = {
      attempt: task.attempt,
      at: this.#now(),
      ...(worker !== undefined && { worker }),
      error: cutToBytes(error ?? "", LIMITS.failureErrorBytesMax),
    };
    task.failures = [...task.failures, failure].slice(-LIMITS.failuresMax);
    task.lastError = error ?? task.lastError;
  }

  #move(task: ModelTask, to: TaskState, arrow: Arrow): void {
    this.#leave(task);
    task.state = to;
    if (to !== "leased") task.lease = undefined;
    task.finishedAt = isUnfinished(to) ? 0 : this.#now();
    task.finishedTurn = this.#turn();
    this.places[to].push(task);
    this.#take(arrow);
  }

  #leave(task: ModelTask): void {
    const place = this.places[task.state];
    place.splice(place.indexOf(task), 1);
  }

  #toHead(task: ModelTask): void {
    if (task.state !== "ready") return;
    this.#leave(task);
    this.places.ready.unshift(task);
  }
}

function isUnfinished(state: TaskState): state is Unsettled {
  return state === "scheduled" || state === "ready" || state === "leased";
}

function bytesOf(task: ModelTask): number {
  return Buffer.byteLength(task.payload) + Buffer.byteLength(task.result ?? "");
}
