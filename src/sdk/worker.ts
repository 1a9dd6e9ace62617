import { EventEmitter } from "node:events";
import type { ClaimBody, ClaimedTaskMessage, SettledAnswer } from "../protocol/messages.ts";
import { DibsError, errorFromCode, TimeoutError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import { cutToBytes } from "../task/text.ts";
import { Claimer } from "./claimer.ts";
import type { Connection } from "./connection.ts";
import { errorText } from "./error-text.ts";
import { type AbortCode, type AttemptAborted, Refuse, RetryLater } from "./errors.ts";
import { HandlerRunner } from "./handler-runner.ts";
import { HeldTask } from "./held-task.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { type Ending, Settler } from "./settler.ts";
import { Slots } from "./slots.ts";
import type { TaskHandler } from "./task-handler.ts";
import type { ClaimedTaskView } from "./task-view.ts";
import type { WorkerEvents } from "./worker-events.ts";
import {
  TIMINGS,
  type WorkerOptions,
  type WorkerSettings,
  type WorkerTimings,
  workerSettings,
} from "./worker-options.ts";

/** Other workers take tasks too, which is not told here. */
const LOOK_AGAIN_MS = 10;

/**
 * Claims tasks, runs their handlers, and settles them, until it is closed.
 *
 * This class puts the parts together and decides what an end means. The parts: `Slots` counts, `Claimer` keeps
 * one claim waiting, `HandlerRunner` runs a handler, `Settler` sends how it ended and brings the next tasks
 * with it, `LeaseKeeper` renews leases and watches the clock.
 */
export class Worker extends EventEmitter<WorkerEvents> {
  readonly #connection: Connection;
  readonly #settings: WorkerSettings;
  readonly #timings: WorkerTimings;
  readonly #handlers: ReadonlyMap<string, TaskHandler>;
  readonly #slots: Slots;
  readonly #runner: HandlerRunner;
  readonly #claimer: Claimer;
  readonly #settler: Settler;
  readonly #keeper: LeaseKeeper;
  /** Tasks that take a slot: their claim is not ended, or their handler still runs. */
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
    this.#timings = timings;
    this.#handlers = new Map(handlers.map((handler) => [handler.definition.queue, handler]));
    this.#slots = new Slots(this.#settings.concurrency);
    this.#runner = new HandlerRunner(handlers, this.#settings.concurrency, {
      beat: (held, leaseMs) => this.#keeper.beat(held, leaseMs),
      blocked: (queue, blockedMs) => this.#reportBlocked([queue], blockedMs),
    });
    const claim = this.#claimBody();
    this.#keeper = new LeaseKeeper(connection, timings, {
      lost: (held, code, message) => this.#lose(held, code, message),
      timedOut: (held) => this.#timeOut(held),
      graceIsOver: (held) => this.#settle(held, endingOfAborted(held)),
      stuck: (held) => this.#reportStuck(held),
      blocked: (blockedMs) => this.#reportBlocked(this.#runningQueues(), blockedMs),
      failed: (error) => this.#report(error),
    });
    this.#settler = new Settler(connection, claim, this.#slots, timings, {
      settled: (held, ending, answer) => this.#settled(held, ending, answer),
      lost: (held, error) => this.#lose(held, abortCodeOf(error), error.message),
      unsendable: (held, error) => this.#giveUp(held, error),
      failed: (error) => this.#report(error),
      claimed: (tasks, asked) => this.#receive(tasks, asked),
      late: (tasks) => this.#handBack(tasks),
    });
    this.#claimer = new Claimer(connection, claim, this.#slots, timings, {
      claimed: (tasks) => this.#receive(tasks, 1),
      late: (tasks) => this.#handBack(tasks),
      failed: (error, failures, againInMs) => this.#reportAway(error, failures, againInMs),
      recovered: (awayMs, failures) => this.#tell("reconnected", { awayMs, failures }),
    });
  }

  /** The queues that it serves, in the order in which it tries them. */
  get queues(): readonly string[] {
    return this.#settings.queues;
  }

  /** Tasks in hand now, at most `concurrency`. */
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
    this.#tell("closed");
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
    for (const task of tasks) this.#begin(task);
    if (this.#closed !== undefined) return;
    this.#claimer.pump();
    if (tasks.length === 0 && asked > 0) this.#tellIdle();
  }

  #begin(task: ClaimedTaskMessage): void {
    const handler = this.#handlers.get(task.queue);
    if (handler === undefined || this.#closed !== undefined) {
      this.#handBack([task]);
      return;
    }
    const held = new HeldTask(task, handler, performance.now(), this.#settings.timeoutMs);
    this.#hold(held);
    void this.#run(held);
  }

  #hold(held: HeldTask): void {
    this.#held.add(held);
    this.#slots.take();
    this.#keeper.add(held);
    this.#change();
  }

  /** Releases tasks that no handler will see. */
  #handBack(tasks: readonly ClaimedTaskMessage[]): void {
    for (const task of tasks) {
      const handler = this.#handlers.get(task.queue) as TaskHandler;
      const held = new HeldTask(task, handler, performance.now(), Number.POSITIVE_INFINITY);
      held.isRunning = false;
      this.#hold(held);
      this.#settle(held, { outcome: "release" });
    }
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
    held.ranMs = performance.now() - held.receivedAt;
    held.isRunning = false;
    if (held.stage === "open") this.#settle(held, ending);
    else this.#letGo(held);
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
        this.#tell("completed", { task, result, ranMs });
      }
    } else if (ending.outcome === "nack") {
      const state = answer.state as "ready" | "scheduled" | "dead";
      const runAt = answer.runAt === undefined ? {} : { runAt: answer.runAt };
      this.#tell("failed", { task, error: held.error ?? held.aborted, state, ...runAt, ranMs });
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
    this.#tell("lease-lost", { task: held.task as ClaimedTaskView, reason });
    if (wasSettling) {
      this.#report(new TimeoutError(`How task ${held.task.id} ended was not stored: ${message}`));
    }
    this.#letGo(held);
  }

  /** Its outcome can never be sent: the lease will run out. */
  #giveUp(held: HeldTask, error: DibsError): void {
    held.stage = "ended";
    this.#report(error);
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
    this.#tell("idle");
  }

  #reportAway(error: Error, failures: number, againInMs: number): void {
    const { message } = error;
    const text = `No claim from ${this.#connection.place}: ${message}; trying again in ${againInMs} ms (failure ${failures})`;
    const code = error instanceof DibsError ? error.code : "internal_error";
    const details = error instanceof DibsError ? error.details : {};
    this.#report(errorFromCode(code, text, { cause: error, details: { ...details, failures, againInMs } }));
  }

  #reportStuck(held: HeldTask): void {
    const { id, queue } = held.task;
    const { code } = held.aborted as AttemptAborted;
    const text = `The handler of task ${id} still runs ${this.#timings.stuckMs} ms after its signal aborted (${code}): its slot stays taken`;
    this.#report(new TimeoutError(text, { details: { id, queue, reason: code } }));
  }

  #reportBlocked(queues: readonly string[], blockedMs: number): void {
    const who =
      queues.length === 1
        ? `A handler of queue ${queues[0]}`
        : `A handler of one of the queues ${queues.join(", ")}`;
    const message = `${who} blocked the event loop for ${blockedMs} ms, longer than a third of a lease: heartbeats are late. Give dibs.work() a module URL to run it in threads.`;
    if (this.listenerCount("blocked") === 0) warn(message);
    else this.#tell("blocked", { queues, blockedMs, message });
  }

  #runningQueues(): string[] {
    const running = [...this.#held].filter(({ isRunning }) => isRunning);
    return [...new Set(running.map(({ task }) => task.queue))];
  }

  #report(error: Error): void {
    if (this.listenerCount("error") === 0) warn(error.message);
    else this.#tell("error", error);
  }

  #tell<Name extends keyof WorkerEvents>(name: Name, ...args: WorkerEvents[Name]): void {
    try {
      (this.emit as (name: string, ...args: unknown[]) => boolean).call(this, name, ...args);
    } catch (error) {
      // A listener's fault must not end a worker.
      warn(`A listener of the worker's event ${name} threw: ${errorText(error)}`);
    }
  }
}

function absentQueue(error: unknown): undefined {
  if (error instanceof DibsError && error.code === "queue_not_found") return undefined;
  throw error;
}

/** To the process, because the worker goes on and nobody listens. */
function warn(message: string): void {
  process.emitWarning(message, "DibsWarning");
}

function abortCodeOf(error: DibsError): AbortCode {
  const { state } = error.details as { state?: string };
  return state === "cancelled" ? "cancelled" : "lease-lost";
}

function endingOf(held: HeldTask, error: unknown): Ending {
  if (Refuse.is(error))
    return { outcome: "nack", retry: false, error: cutToBytes(error.message, LIMITS.errorBytesMax) };
  if (RetryLater.is(error)) {
    return {
      outcome: "nack",
      delayMs: error.delayMs,
      error: cutToBytes(error.message, LIMITS.errorBytesMax),
    };
  }
  if (held.aborted !== undefined) return endingOfAborted(held);
  return { outcome: "nack", error: errorText(error) };
}

/** After an abort by `shutdown` the task goes back, after `timeout` the attempt has failed. */
function endingOfAborted(held: HeldTask): Ending {
  const { code, message } = held.aborted as AttemptAborted;
  return code === "shutdown" ? { outcome: "release" } : { outcome: "nack", error: message };
}
