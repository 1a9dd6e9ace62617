import type { EventEmitter } from "node:events";
import { DibsError, errorFromCode, TimeoutError } from "../task/errors.ts";
import { errorText } from "./error-text.ts";
import type { AttemptAborted } from "./errors.ts";
import type { HeldTask } from "./held-task.ts";
import type { WorkerEvents } from "./worker-events.ts";

/**
 * Says what a worker goes through: as events and, where nobody listens and somebody should know, as warnings of
 * the process. Nothing that a listener does reaches the worker.
 */
export class WorkerReports {
  readonly #emitter: EventEmitter<WorkerEvents>;
  readonly #place: string;

  constructor(emitter: EventEmitter<WorkerEvents>, place: string) {
    this.#emitter = emitter;
    this.#place = place;
  }

  tell<Name extends keyof WorkerEvents>(name: Name, ...args: WorkerEvents[Name]): void {
    try {
      const emit = this.#emitter.emit as (name: string, ...args: unknown[]) => boolean;
      emit.call(this.#emitter, name, ...args);
    } catch (error) {
      warn(`A listener of the worker's event ${name} threw: ${errorText(error)}`);
    }
  }

  error(error: Error): void {
    if (this.#emitter.listenerCount("error") === 0) warn(error.message);
    else this.tell("error", error);
  }

  /** Claims fail; the worker goes on trying. */
  away(error: Error, failures: number, againInMs: number): void {
    const text = `No claim from ${this.#place}: ${error.message}; trying again in ${againInMs} ms (failure ${failures})`;
    const isOurs = error instanceof DibsError;
    const details = { ...(isOurs && error.details), failures, againInMs };
    this.error(errorFromCode(isOurs ? error.code : "internal_error", text, { cause: error, details }));
  }

  stuck(held: HeldTask, stuckMs: number): void {
    const { id, queue } = held.task;
    const { code } = held.aborted as AttemptAborted;
    const text = `The handler of task ${id} still runs ${stuckMs} ms after its signal aborted (${code}): its slot stays taken`;
    this.error(new TimeoutError(text, { details: { id, queue, reason: code } }));
  }

  /** How a task ended could not be stored, because its lease was over first. */
  notStored(held: HeldTask, why: string): void {
    const { id, queue } = held.task;
    this.error(new TimeoutError(`How task ${id} ended was not stored: ${why}`, { details: { id, queue } }));
  }

  blocked(queues: readonly string[], blockedMs: number): void {
    const names = queues.length === 1 ? `queue ${queues[0]}` : `one of the queues ${queues.join(", ")}`;
    const message =
      `A handler of ${names} blocked the event loop for ${blockedMs} ms, longer than a third of a lease: ` +
      "heartbeats are late. Give work() a module URL to run it in threads.";
    if (this.#emitter.listenerCount("blocked") === 0) warn(message);
    else this.tell("blocked", { queues, blockedMs, message });
  }
}

/** To the process, because the worker goes on and nobody listens. */
function warn(message: string): void {
  process.emitWarning(message, "DibsWarning");
}
