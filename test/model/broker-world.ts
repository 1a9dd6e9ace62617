import assert from "node:assert/strict";
import type { Broker } from "../../src/broker/broker.ts";
import type { ClaimAsk, Storage } from "../../src/storage/storage.ts";
import type { DibsError } from "../../src/task/errors.ts";
import type { QueueName, TaskId } from "../../src/task/ids.ts";
import { type ClaimedTask, isFinished, type Task } from "../../src/task/task.ts";
import type { ModelQueue } from "./model-queue.ts";
import { type ModelTask, viewOf } from "./model-task.ts";
import { assertSame, same, type World } from "./world.ts";

/** The broker under test, and the store below it for comparing everything. */
export interface RealBroker {
  broker: Broker;
  storage: Storage;
  /** Closes the broker with its store, and opens both over the same data. */
  reopen(): Promise<void>;
}

/** Something that waits in the broker, and what came of it. */
class Waiting<T> {
  readonly controller = new AbortController();
  value: T | undefined;
  error: unknown;

  constructor(begin: (signal: AbortSignal) => Promise<T>) {
    begin(this.controller.signal).then(
      (value) => {
        this.value = value;
      },
      (error: unknown) => {
        this.error = error;
      },
    );
  }

  get isOver(): boolean {
    return this.value !== undefined || this.error !== undefined;
  }
}

interface ParkedClaim {
  readonly queue: QueueName;
  readonly ask: ClaimAsk;
  readonly waiting: Waiting<readonly ClaimedTask[]>;
}

interface AwaitedResult {
  readonly id: TaskId;
  readonly waiting: Waiting<Task>;
}

/** Longer than any run: who waits ends by a task, by going away, or with the broker. */
const WAIT_MS = 60_000;

/** What the model knows of the broker beyond its store: who waits there, and for what. */
export class BrokerWorld {
  readonly world: World;
  #parked: ParkedClaim[] = [];
  #awaited: AwaitedResult[] = [];

  constructor(world: World) {
    this.world = world;
  }

  park({ broker }: RealBroker, queue: QueueName, ask: ClaimAsk): void {
    const request = { ...ask, queues: [queue], waitMs: WAIT_MS };
    const waiting = new Waiting((signal) => broker.claim(request, signal));
    this.#parked.push({ queue, ask, waiting });
  }

  awaitResult({ broker }: RealBroker, id: TaskId): void {
    this.#awaited.push({ id, waiting: new Waiting((signal) => broker.result(id, WAIT_MS, signal)) });
  }

  /** Resolves when what was claimed for somebody who vanished is back. */
  async givenBack({ storage }: RealBroker, queue: QueueName): Promise<void> {
    const leased = this.world.queue(queue).places.leased.length;
    const isBack = async () => ((await storage.snapshot(queue))?.counts.leased ?? 0) === leased;
    await until(isBack, "what nobody received is given back");
  }

  /** The `place`th of those who wait for a task goes away. */
  async leave(place: number): Promise<void> {
    const parked = this.#parked[place % this.#parked.length];
    await this.#leave((other) => other === parked);
  }

  async leaveAll(queue: QueueName): Promise<void> {
    await this.#leave((parked) => parked.queue === queue);
  }

  /** All in one moment: the broker's own loops may serve whoever is still there in the next. */
  async #leave(goes: (parked: ParkedClaim) => boolean): Promise<void> {
    const gone = this.#parked.filter(goes);
    this.#parked = this.#parked.filter((parked) => !goes(parked));
    for (const { waiting } of gone) waiting.controller.abort();
    for (const { waiting } of gone) {
      await until(() => waiting.isOver, "an aborted claim is answered");
      same(waiting.value, [], "the answer of an aborted claim");
    }
  }

  /** Everybody who waits is answered by a broker that closes. */
  async closed(): Promise<void> {
    for (const { waiting } of this.#parked) {
      await until(() => waiting.isOver, "a parked claim is answered at the close");
      same(waiting.value, [], "the answer of a parked claim at the close");
    }
    for (const { id, waiting } of this.#awaited) {
      await until(() => waiting.isOver, "a wait for a result is answered at the close");
      if (waiting.error === undefined) assert.equal(waiting.value?.id, id);
    }
    this.#parked = [];
    this.#awaited = [];
  }

  /** Moves time from one due moment to the next, lets the broker work at each, and the model after it. */
  async advance(ms: number, real: RealBroker): Promise<void> {
    const { clock, queues } = this.world;
    const end = clock.now() + ms;
    for (let now = clock.now(); now < end; now = clock.now()) {
      const due = [...queues.values()].flatMap((queue) => queue.dueAt() ?? []).filter((at) => at > now);
      clock.advance(Math.min(end, ...due) - now);
      await this.settleDown(real);
    }
  }

  /** Lets the broker do all that is due and serve all who wait, does the same in the model, and compares. */
  async settleDown(real: RealBroker): Promise<void> {
    for (const [name, model] of this.world.queues) {
      // Whether a waiter comes between a promotion and a reaping of one moment is nobody's promise.
      if (model.due().length > 0 && model.expired().length > 0) await this.leaveAll(name);
    }
    await real.broker.runDue();
    for (const [name, model] of this.world.queues) {
      for (const task of model.due()) model.promote(task);
      await this.#reap(real, name, model);
      await this.#serveParked(name, model);
    }
    await real.broker.prune();
    for (const model of this.world.queues.values())
      for (const task of model.prunable())
        model.remove(task, `${task.state as "completed" | "dead" | "cancelled"} → pruned`);
    await this.#tellAwaited();
    await assertSame(this.world, real);
    await this.#assertOthersWait(real);
  }

  async #reap({ storage }: RealBroker, name: QueueName, model: ModelQueue): Promise<void> {
    // Those that end in one millisecond come back in any order: the one that the engine chose.
    const { tasks } = await storage.list(name, { state: "ready", limit: 200 });
    const place = new Map(tasks.map(({ id }, index) => [id, index]));
    const order = (task: ModelTask) => place.get(task.id) ?? 0;
    const expired = [...model.expired()].sort(
      (a, b) => (a.lease?.expiresAt ?? 0) - (b.lease?.expiresAt ?? 0) || order(a) - order(b),
    );
    for (const task of expired) {
      const [stored] = await storage.get(name, [task.id]);
      model.reap(task, stored?.failures.at(-1)?.error ?? "");
    }
  }

  /** First come, first served: nobody waits while a task is ready. */
  async #serveParked(name: QueueName, model: ModelQueue): Promise<void> {
    for (const parked of this.#parked.filter(({ queue }) => queue === name)) {
      if (!model.hasClaimable) return;
      const expected = model.grants([parked.ask])[0] ?? [];
      await until(() => parked.waiting.isOver, `the parked claim of ${name} is served`);
      this.granted(name, parked.ask, expected, parked.waiting.value ?? []);
      this.#parked.splice(this.#parked.indexOf(parked), 1);
    }
  }

  /** Compares what a caller got with what the model would give, and takes it into the model. */
  granted(
    queue: QueueName,
    ask: ClaimAsk,
    expected: readonly ModelTask[],
    granted: readonly ClaimedTask[],
  ): void {
    const model = this.world.queue(queue);
    same(
      granted.map(({ id }) => id),
      expected.map(({ id }) => id),
      "I6: the grant",
    );
    for (const [place, task] of expected.entries()) {
      const got = granted[place] as ClaimedTask;
      this.world.granted(queue, task, got, () => model.lease(task, ask, got.lease.token, got.lease.fence));
    }
  }

  async #tellAwaited(): Promise<void> {
    for (const awaited of [...this.#awaited]) {
      const { id, waiting } = awaited;
      const task = this.#find(id);
      if (!waiting.isOver && task !== undefined && !isFinished(task.state)) continue;
      await until(() => waiting.isOver, `the wait for the result of ${id} is over`);
      if (waiting.error !== undefined) assert.equal((waiting.error as DibsError).code, "task_not_found");
      else if (task !== undefined && isFinished(task.state)) same(waiting.value, viewOf(task), "the result");
      this.#awaited.splice(this.#awaited.indexOf(awaited), 1);
    }
  }

  #find(id: TaskId): ModelTask | undefined {
    for (const model of this.world.queues.values()) {
      const task = model.tasks.get(id);
      if (task !== undefined) return task;
    }
    return undefined;
  }

  async #assertOthersWait({ broker }: RealBroker): Promise<void> {
    for (const { waiting } of this.#parked)
      assert.equal(waiting.isOver, false, "a claim was served out of turn");
    for (const [name, model] of this.world.queues) {
      if (!model.exists) continue;
      const here = this.#parked.filter(({ queue }) => queue === name);
      await until(
        async () => (await broker.queue(name)).waiting === here.length,
        "waiting claims are counted",
      );
    }
  }
}

/** Resolves when the condition holds; looks after each turn of the event loop. */
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await condition())) {
    assert.ok(performance.now() < end, `Expected within ten seconds: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
