import { EventEmitter } from "node:events";
import type { ClaimBody, ClaimedTaskMessage, SettledAnswer } from "../protocol/messages.ts";
import { DibsError } from "../task/errors.ts";
import { Claimer } from "./claimer.ts";
import type { Connection } from "./connection.ts";
import { abortCodeOf, type Ending, endingOf, endingOfAborted } from "./endings.ts";
import type { AbortCode } from "./errors.ts";
import { HandlerRunner } from "./handler-runner.ts";
import { HeldTask } from "./held-task.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { Settler } from "./settler.ts";
import { Slots } from "./slots.ts";
import type { TaskHandler } from "./task-handler.ts";
import type { ClaimedTaskView } from "./task-view.ts";
import { Turns } from "./turns.ts";
import type { WorkerEvents } from "./worker-events.ts";
import {
  TIMINGS,
  type WorkerOptions,
  type WorkerSettings,
  type WorkerTimings,
  workerSettings,
} from "./worker-options.ts";
import { WorkerReports } from "./worker-reports.ts";

/** Other workers take tasks too, which is not told here. */
const LOOK_AGAIN_MS = 10;

/**
 * Claims tasks, runs their handlers, and settles them, until it is closed.
 *
 * This class puts the parts together and decides what an end means. The parts: `Slots` counts, `Claimer` keeps
 * one claim waiting, `Turns` says whose handler runs, `HandlerRunner` runs it, `Settler` sends how it ended and brings the
 * next tasks with it, `LeaseKeeper` renews leases and watches the clock.
 */
export class Worker extends EventEmitter<WorkerEvents> {
  readonly #connection: Connection;
  readonly #settings: WorkerSettings;
  readonly #handlers: ReadonlyMap<string, TaskHandler>;
  readonly #reports: WorkerReports;
  readonly #slots: Slots;
  readonly #turns: Turns;
  readonly #runner: HandlerRunner;
  readonly #claimer: Claimer;
  readonly #settler: Settler;
  readonly #keeper: LeaseKeeper;
  /** Tasks that take a slot: their claim is not ended, or their handler still runs, or waits for its turn. */
  readonly #held = new Set<HeldTask>();
  #isStarted = false;
  #isBusy = true;
  #isPumpPlanned = false;
  #closed: Promise<void> | undefined;
  readonly #onChange: (() => void)[] = [];

  /** Starts nothing; `Dibs.work` does. */
  constructor(
    connection: Connection,
    handlers: readonly TaskHandler[],
    options?: WorkerOptions,
    timings: WorkerTimings = TIMINGS,
  ) {
    super();
    this.#connection = connection;
    this.#settings = workerSettings(handlers, options);
    this.#handlers = new Map(handlers.map((handler) => [handler.definition.queue, handler]));
    this.#reports = new WorkerReports(this, connection.place);
    const { concurrency, aheadMs } = this.#settings;
    this.#slots = new Slots(concurrency);
    this.#turns = new Turns(concurrency, aheadMs, this.#slots, {
      start: (held) => this.#start(held),
      handBack: (waiting) => this.#handBack(waiting),
    });
    this.#runner = new HandlerRunner(handlers, concurrency, {
      beat: (held, leaseMs) => this.#keeper.beat(held, leaseMs),
      blocked: (queue, blockedMs) => {
        this.#keeper.blockWasTold();
        this.#reports.blocked([queue], blockedMs);
      },
    });
    const claim = this.#claimBody();
    this.#keeper = new LeaseKeeper(connection, timings, {
      lost: (held, code, message) => this.#lose(held, code, message),
      timedOut: (held) => this.#timeOut(held),
      graceIsOver: (held) => this.#settle(held, endingOfAborted(held)),
      stuck: (held) => this.#reports.stuck(held, timings.stuckMs),
      blocked: (queues, blockedMs) => this.#reports.blocked(queues, blockedMs),
      failed: (error) => this.#reports.error(error),
    });
    this.#settler = new Settler(connection, claim, this.#slots, timings, {
      settled: (held, ending, answer) => this.#settled(held, ending, answer),
      lost: (held, error) => this.#lose(held, abortCodeOf(error), error.message),
      unsendable: (held, error) => this.#giveUp(held, error),
      failed: (error) => this.#reports.error(error),
      claimed: (tasks, asked) => this.#receive(tasks, asked),
      late: (tasks) => this.#refuse(tasks),
    });
    this.#claimer = new Claimer(connection, claim, this.#slots, timings, {
      claimed: (tasks) => this.#receive(tasks, 1),
      late: (tasks) => this.#refuse(tasks),
      failed: (error, failures, againInMs) => this.#reports.away(error, failures, againInMs),
      recovered: (awayMs, failures) => this.#reports.tell("reconnected", { awayMs, failures }),
    });
  }

  /** The queues that it serves, in the order in which it tries them. */
  get queues(): readonly string[] {
    return this.#settings.queues;
  }

  /** Tasks in hand now: at most `concurrency`, and where handlers are short those claimed ahead (`aheadMs`). */
  get held(): number {
    return this.#held.size;
  }

  /** Begins to claim. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#claimer.pump();
  }

  /** Resolves when it has nothing in hand and its queues, except paused ones, have nothing ready. */
  async whenIdle(): Promise<void> {
    while (this.#closed === undefined) {
      await this.#until(() => this.#held.size === 0 || this.#closed !== undefined, Number.POSITIVE_INFINITY);
      if (!(await this.#hasMore()) && this.#held.size === 0) return;
      await this.#changed(LOOK_AGAIN_MS);
    }
  }

  /**
   * Stops claiming, waits up to `drainMs` for the handlers that run, then aborts them with `shutdown` and hands
   * their tasks back, their attempt uncounted. Resolves when every outcome is sent, or its lease has ended.
   * Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#settler.stopClaiming();
    this.#turns.stop();
    await this.#claimer.stop();
    await this.#until(() => this.#held.size === 0, this.#settings.drainMs);
    for (const held of this.#held) {
      if (held.stage === "open") held.abort("shutdown", "The worker closes", performance.now());
    }
    this.#keeper.stopBeatingSettling();
    this.#keeper.lookAgain();
    const allEnded = () => [...this.#held].every(({ stage }) => stage === "ended");
    await this.#until(allEnded, Number.POSITIVE_INFINITY);
    for (const held of this.#held) this.#keeper.remove(held);
    this.#settler.stop();
    await this.#runner.close();
    this.#reports.tell("closed");
  }

  /** Waits until the condition holds, at most so long. */
  async #until(condition: () => boolean, ms: number): Promise<void> {
    const endAt = performance.now() + ms;
    while (!condition() && performance.now() < endAt) await this.#changed(endAt - performance.now());
  }

  /** Resolves when a task was taken or let go, or after `ms`. */
  #changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = Number.isFinite(ms) ? setTimeout(resolve, Math.ceil(ms)) : undefined;
      this.#onChange.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #change(): void {
    if (this.#onChange.length === 0) return;
    for (const tell of this.#onChange.splice(0)) tell();
  }

  /** True while a queue has a task that this worker could claim, or that is on its way here. */
  async #hasMore(): Promise<boolean> {
    for (const name of this.queues) {
      const queue = await this.#connection.queue(name).catch(absentQueue);
      if (queue === undefined) continue;
      if (!queue.paused && queue.counts.ready > 0) return true;
      if (queue.counts.leased > 0 && (await this.#hasLeased(name))) return true;
    }
    return false;
  }

  async #hasLeased(name: string): Promise<boolean> {
    const { tasks } = await this.#connection.list(name, { state: "leased" });
    return tasks.some(({ lease }) => lease?.worker === this.#settings.worker);
  }

  #claimBody(): ClaimBody {
    const { queues, leaseMs, worker } = this.#settings;
    return { queues, worker, ...(leaseMs !== undefined && { leaseMs }) };
  }

  /** Takes the tasks of a claim in hand, when `asked` were asked for. */
  #receive(tasks: readonly ClaimedTaskMessage[], asked: number): void {
    if (tasks.length > 0) this.#isBusy = true;
    // One instant for all: the handler of the first may keep the event loop while the leases of the others run.
    const receivedAt = performance.now();
    for (const task of tasks) this.#begin(task, receivedAt);
    if (this.#closed !== undefined) return;
    this.#claimer.pump();
    if (tasks.length === 0 && asked > 0) this.#tellIdle();
  }

  #begin(task: ClaimedTaskMessage, receivedAt: number): void {
    const handler = this.#handlers.get(task.queue);
    if (handler === undefined || this.#closed !== undefined) this.#refuse([task]);
    else this.#turns.add(this.#hold(task, handler, receivedAt));
  }

  #hold(task: ClaimedTaskMessage, handler: TaskHandler, receivedAt = performance.now()): HeldTask {
    const held = new HeldTask(task, handler, receivedAt);
    this.#held.add(held);
    this.#slots.take();
    this.#keeper.add(held);
    this.#change();
    return held;
  }

  /** Takes tasks that no handler will see only to hand them back. */
  #refuse(tasks: readonly ClaimedTaskMessage[]): void {
    this.#handBack(tasks.map((task) => this.#hold(task, this.#handlers.get(task.queue) as TaskHandler)));
  }

  #handBack(tasks: readonly HeldTask[]): void {
    for (const held of tasks) this.#settle(held, { outcome: "release" });
  }

  #start(held: HeldTask): void {
    const { timeoutMs } = this.#settings;
    held.start(performance.now(), timeoutMs);
    if (Number.isFinite(timeoutMs)) this.#keeper.lookBy(held.timeoutAt);
    void this.#run(held);
  }

  async #run(held: HeldTask): Promise<void> {
    let ending: Ending;
    try {
      const resultJson = await this.#runner.run(held);
      ending = resultJson === undefined ? { outcome: "complete" } : { outcome: "complete", resultJson };
      // An attempt that was too slow has failed, also when its handler came to an end within its grace.
      if (held.aborted?.code === "timeout") ending = endingOfAborted(held);
    } catch (error) {
      held.error = error;
      ending = endingOf(held, error);
    }
    held.end(performance.now());
    if (held.stage === "open") this.#settle(held, ending);
    else this.#letGo(held);
    this.#turns.ended(held.ranMs);
  }

  #settle(held: HeldTask, ending: Ending): void {
    this.#settler.add(held, ending);
  }

  #settled(held: HeldTask, ending: Ending, answer: SettledAnswer): void {
    held.stage = "ended";
    const task = held.task as ClaimedTaskView;
    const ranMs = Math.round(held.ranMs * 1_000) / 1_000;
    if (ending.outcome === "complete") {
      if (this.listenerCount("completed") > 0) {
        const result = ending.resultJson === undefined ? undefined : JSON.parse(ending.resultJson);
        this.#reports.tell("completed", { task, result, ranMs });
      }
    } else if (ending.outcome === "nack") {
      const state = answer.state as "ready" | "scheduled" | "dead";
      const runAt = answer.runAt === undefined ? {} : { runAt: answer.runAt };
      this.#reports.tell("failed", { task, error: held.error ?? held.aborted, state, ...runAt, ranMs });
    }
    this.#letGo(held);
  }

  #timeOut(held: HeldTask): void {
    const { timeoutMs } = this.#settings;
    held.abort("timeout", `The attempt took longer than timeoutMs ${timeoutMs}`, performance.now());
  }

  #lose(held: HeldTask, code: AbortCode, message: string): void {
    const wasSettling = held.stage === "settling";
    held.stage = "ended";
    const reason = held.abort(code, message, performance.now());
    this.#reports.tell("lease-lost", { task: held.task as ClaimedTaskView, reason });
    if (wasSettling && held.hasBegun) this.#reports.notStored(held, message);
    this.#letGo(held);
  }

  /** Its outcome can never be sent: the lease will run out. */
  #giveUp(held: HeldTask, error: DibsError): void {
    held.stage = "ended";
    this.#reports.error(error);
    this.#letGo(held);
  }

  /** Frees the slot, once both the claim and the handler have ended. */
  #letGo(held: HeldTask): void {
    if (held.stage === "ended" && !held.isRunning && this.#held.delete(held)) {
      this.#keeper.remove(held);
      this.#slots.free();
      this.#pumpSoon();
    }
    this.#change();
  }

  /** After the tasks that came with the present answer have taken their slots. */
  #pumpSoon(): void {
    if (this.#isPumpPlanned || this.#closed !== undefined) return;
    this.#isPumpPlanned = true;
    queueMicrotask(() => {
      this.#isPumpPlanned = false;
      this.#claimer.pump();
    });
  }

  #tellIdle(): void {
    if (this.#held.size > 0 || !this.#isBusy) return;
    this.#isBusy = false;
    this.#reports.tell("idle");
  }
}

function absentQueue(error: unknown): undefined {
  if (error instanceof DibsError && error.code === "queue_not_found") return undefined;
  throw error;
}
