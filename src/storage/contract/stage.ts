import assert from "node:assert/strict";
import type { QueueName, TaskId } from "../../task/ids.ts";
import type { QueueConfigPatch, QueueSnapshot, StateCounts } from "../../task/queue.ts";
import type { ClaimedTask, NewTask, Task } from "../../task/task.ts";
import type { ClaimAsk, ListRequest, Settlement, SettleOutcome, Storage } from "../storage.ts";
import { QUEUE } from "./builders.ts";

/** What an engine hands to each test: itself, over a fresh namespace, and its time. */
export interface Opened {
  readonly storage: Storage;
  readonly clock: ContractClock;
  /** Closes the engine and opens the same data again; only for engines that keep something. */
  readonly reopen?: () => Promise<Storage>;
  /** Removes what the namespace left behind, after the engine was closed. */
  readonly dispose?: () => Promise<void>;
}

/** The engine's time moves when the suite says so, and by nothing else that matters to it. */
export interface ContractClock {
  advance(ms: number): void | Promise<void>;
}

/** A list of exactly N, so that a test may take it apart by position. */
export type Exactly<T, N extends number, Found extends readonly T[] = readonly []> = number extends N
  ? readonly T[]
  : Found["length"] extends N
    ? Found
    : Exactly<T, N, readonly [...Found, T]>;

/**
 * Where one test plays: an open engine and the few steps that nearly every test takes, each of which
 * asserts that the step went as the test expects. All in the queue of the builders, unless said otherwise.
 */
export class Stage {
  #opened: Opened;
  #storage: Storage;
  #closed = false;
  /** How far an engine's own time may run on between two calls; 0 where it stands still. */
  readonly #slackMs: number;

  constructor(opened: Opened, slackMs: number) {
    this.#opened = opened;
    this.#storage = opened.storage;
    this.#slackMs = slackMs;
  }

  get storage(): Storage {
    return this.#storage;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  async advance(ms: number): Promise<void> {
    await this.#opened.clock.advance(ms);
  }

  async reopen(): Promise<Storage> {
    assert.ok(this.#opened.reopen, "This test needs an engine that can be opened again");
    this.#storage = await this.#opened.reopen();
    return this.#storage;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#storage.close();
  }

  /** Closes what the test left open and removes the namespace. */
  async clear(): Promise<void> {
    if (!this.#closed) await this.close();
    await this.#opened.dispose?.();
  }

  async enqueue<const Tasks extends readonly NewTask[]>(
    ...tasks: Tasks
  ): Promise<{ [K in keyof Tasks]: Task }> {
    return this.enqueueTo(QUEUE, ...tasks);
  }

  async enqueueTo<const Tasks extends readonly NewTask[]>(
    queue: QueueName,
    ...tasks: Tasks
  ): Promise<{ [K in keyof Tasks]: Task }> {
    const outcomes = await this.storage.enqueue(queue, tasks);
    const enqueued = outcomes.map((outcome) => {
      assert.equal(outcome.kind, "enqueued");
      return (outcome as { readonly task: Task }).task;
    });
    assert.equal(enqueued.length, tasks.length);
    return enqueued as unknown as { [K in keyof Tasks]: Task };
  }

  /** Claims exactly `count` tasks in one ask. */
  async claim<const N extends number>(
    count: N,
    ask: Partial<ClaimAsk> = {},
  ): Promise<Exactly<ClaimedTask, N>> {
    const reply = await this.storage.claim(QUEUE, [{ max: count, ...ask }]);
    const granted = reply.grants[0] ?? [];
    assert.equal(granted.length, count, `Expected ${count} tasks from the claim, got ${granted.length}`);
    return granted as Exactly<ClaimedTask, N>;
  }

  async claimOne(ask: Partial<ClaimAsk> = {}): Promise<ClaimedTask> {
    const [task] = await this.claim(1, ask);
    return task;
  }

  /** Claims whatever is ready, in claim order. */
  async claimAll(ask: Partial<ClaimAsk> = {}): Promise<readonly ClaimedTask[]> {
    const claimed: ClaimedTask[] = [];
    for (;;) {
      const reply = await this.storage.claim(QUEUE, [{ max: 1_000, ...ask }]);
      claimed.push(...(reply.grants[0] ?? []));
      if (!reply.more) return claimed;
    }
  }

  async settle(...settlements: readonly Settlement[]): Promise<readonly SettleOutcome[]> {
    const { outcomes } = await this.storage.settle(QUEUE, settlements);
    assert.equal(outcomes.length, settlements.length);
    return outcomes;
  }

  /** The task as a reader sees it now. */
  async task(id: TaskId): Promise<Task> {
    const [task] = await this.storage.get(QUEUE, [id]);
    assert.ok(task, `Expected task ${id} to be there`);
    return task;
  }

  async taskIn<State extends Task["state"]>(
    id: TaskId,
    state: State,
  ): Promise<Extract<Task, { state: State }>> {
    const task = await this.task(id);
    assert.equal(task.state, state);
    return task as Extract<Task, { state: State }>;
  }

  async configure(config: QueueConfigPatch): Promise<QueueSnapshot> {
    return this.storage.configure(QUEUE, { config });
  }

  async counts(queue: QueueName = QUEUE): Promise<StateCounts> {
    const snapshot = await this.storage.snapshot(queue);
    assert.ok(snapshot, `Expected queue ${queue} to exist`);
    return snapshot.counts;
  }

  /** Promotes all that is due; how many there were. */
  async promoteAll(): Promise<number> {
    let promoted = 0;
    for (;;) {
      const reply = await this.storage.promoteDue(QUEUE, 500);
      promoted += reply.latenessMs.length;
      if (!reply.more) return promoted;
    }
  }

  /** Reaps all that has expired; how many there were. */
  async reapAll(): Promise<number> {
    let reaped = 0;
    for (;;) {
      const reply = await this.storage.reapExpired(QUEUE, 500);
      reaped += reply.reaped.length;
      if (!reply.more) return reaped;
    }
  }

  /** Prunes all that the retention lets go; how many there were. */
  async pruneAll(): Promise<number> {
    let pruned = 0;
    for (;;) {
      const reply = await this.storage.prune(QUEUE, 500);
      pruned += reply.pruned;
      if (!reply.more) return pruned;
    }
  }

  /** Every task of a state, page by page, from the cursor on if there is one. */
  async listAll(request: Partial<ListRequest> & Pick<ListRequest, "state">): Promise<readonly Task[]> {
    const tasks: Task[] = [];
    let cursor = request.cursor;
    do {
      const page = await this.storage.list(QUEUE, {
        limit: 200,
        ...request,
        ...(cursor !== undefined && { cursor }),
      });
      tasks.push(...page.tasks);
      cursor = page.cursor;
    } while (cursor !== undefined);
    return tasks;
  }

  /** A moment or a length that the engine's own time decided: `expected`, or a little later where time flows. */
  assertAbout(actual: number | undefined, expected: number): void {
    assert.ok(
      actual !== undefined && actual >= expected && actual <= expected + this.#slackMs,
      `Expected about ${expected}, got ${actual}`,
    );
  }
}

/** The ids of tasks, for comparing orders. */
export function idsOf(tasks: readonly { readonly id: TaskId }[]): readonly TaskId[] {
  return tasks.map((task) => task.id);
}

/** Waits until `condition` holds: for what an engine does shortly after a call. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 5_000;
  while (!condition()) {
    assert.ok(performance.now() < end, `Expected within five seconds: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
