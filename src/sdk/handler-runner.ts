import type { JsonText } from "../task/task.ts";
import { InvalidPayload, Refuse } from "./errors.ts";
import type { HeldTask } from "./held-task.ts";
import { toJsonText } from "./json-text.ts";
import type { Handler, TaskContext, TaskHandler } from "./task-handler.ts";
import type { ClaimedTaskView } from "./task-view.ts";
import { ThreadPool } from "./thread-pool.ts";

export interface HandlerRunnerActions {
  beat(held: HeldTask, leaseMs?: number): Promise<number>;
  /** A handler kept the event loop to itself before its first `await`, for longer than a third of its lease. */
  blocked(queue: string, blockedMs: number): void;
}

/** A block of the event loop is told when it is longer than this part of the lease. */
const BLOCKED_PART = 1 / 3;

/** Runs the handler of a task: in this thread, or in another one when it is a module. */
export class HandlerRunner {
  readonly #actions: HandlerRunnerActions;
  readonly #pools: ReadonlyMap<string, ThreadPool>;

  /** @throws {InvalidRequestError} for a module that does not exist. */
  constructor(handlers: readonly TaskHandler[], concurrency: number, actions: HandlerRunnerActions) {
    this.#actions = actions;
    const modules = handlers.flatMap(({ handle }) => (handle instanceof URL ? [handle.href] : []));
    this.#pools = new Map(modules.map((module) => [module, new ThreadPool(module, concurrency)]));
  }

  /** Gives the result as JSON text, undefined for none; throws what the handler threw. */
  async run(held: HeldTask): Promise<JsonText | undefined> {
    const { definition, handle } = held.handler;
    // Without a wait where none is needed: the handler then starts in the turn in which its task came.
    const read = payloadOf(held);
    const payload = read instanceof Promise ? await read : read;
    const task = payload === held.task.payload ? held.task : { ...held.task, payload };
    const context = new HeldTaskContext(task as ClaimedTaskView, held, this.#actions);
    const returned = await (handle instanceof URL
      ? this.#pools.get(handle.href)?.run(context)
      : this.#call(handle, context));
    const checked = definition.checkResult(returned);
    if (checked !== undefined) await checked;
    return toJsonText(`The result of task ${held.task.id}`, returned);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()));
  }

  #call(handle: Handler, context: HeldTaskContext): unknown {
    const startedAt = performance.now();
    try {
      return handle(context);
    } finally {
      const blockedMs = performance.now() - startedAt;
      const { queue, lease } = context.task;
      if (blockedMs > lease.ms * BLOCKED_PART) this.#actions.blocked(queue, Math.round(blockedMs));
    }
  }
}

function payloadOf(held: HeldTask): unknown {
  try {
    const read = held.handler.definition.readPayload(held.task.payload);
    return read instanceof Promise ? read.catch(refuseUnfit) : read;
  } catch (error) {
    return refuseUnfit(error);
  }
}

/** A stored payload that no longer fits will not fit at the next attempt either. */
function refuseUnfit(error: unknown): never {
  if (error instanceof InvalidPayload) throw new Refuse(error.message, { cause: error });
  throw error;
}

/** Getters, so that a handler pays only for what it looks at. */
class HeldTaskContext implements TaskContext {
  readonly task: ClaimedTaskView;
  readonly #held: HeldTask;
  readonly #actions: HandlerRunnerActions;

  constructor(task: ClaimedTaskView, held: HeldTask, actions: HandlerRunnerActions) {
    this.task = task;
    this.#held = held;
    this.#actions = actions;
  }

  get signal(): AbortSignal {
    return this.#held.signal;
  }

  get fence(): number {
    return this.task.lease.fence;
  }

  get attempt(): number {
    return this.task.attempt;
  }

  get heartbeat(): (leaseMs?: number) => Promise<number> {
    return (leaseMs) => this.#actions.beat(this.#held, leaseMs);
  }
}
