import type { MessagePort } from "node:worker_threads";
import { errorFromCode } from "../task/errors.ts";
import { errorText } from "./error-text.ts";
import { AttemptAborted, Refuse, RetryLater } from "./errors.ts";
import { toJsonText } from "./json-text.ts";
import type { Handler, TaskContext } from "./task-handler.ts";
import type { FromThread, ThreadEnd, ThreadTask, ToThread } from "./thread-protocol.ts";

/**
 * Runs in each thread of a `ThreadPool`: loads the handler's module once, gives it the same context as a
 * handler in the main thread has, and says how it ended.
 */
export default async function runInThread({ module, task, port }: ThreadTask): Promise<ThreadEnd> {
  const controller = new AbortController();
  const beats = new Beats(port);
  port.on("message", (message: ToThread) => {
    if (message.kind === "abort") controller.abort(new AttemptAborted(message.code, message.message));
    else beats.answered(message);
  });
  const { fence } = task.lease;
  const { signal } = controller;
  const context = { task, signal, fence, attempt: task.attempt, heartbeat: (ms?: number) => beats.ask(ms) };
  try {
    const handle = await handlerIn(module);
    const returned: unknown = await handle(context as TaskContext);
    return { kind: "returned", resultJson: toJsonText(`The result of task ${task.id}`, returned) };
  } catch (error) {
    return endOf(error);
  } finally {
    port.close();
  }
}

/** Heartbeats that the handler asks for: the main thread makes them. */
class Beats {
  readonly #port: MessagePort;
  readonly #asked = new Map<number, { resolve(at: number): void; reject(error: Error): void }>();
  #count = 0;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  ask(leaseMs: number | undefined): Promise<number> {
    this.#count += 1;
    const number = this.#count;
    this.#port.postMessage({ kind: "beat", number, leaseMs } satisfies FromThread);
    return new Promise((resolve, reject) => this.#asked.set(number, { resolve, reject }));
  }

  answered(message: Exclude<ToThread, { kind: "abort" }>): void {
    const asked = this.#asked.get(message.number);
    this.#asked.delete(message.number);
    if (message.kind === "beaten") asked?.resolve(message.expiresAt);
    else asked?.reject(errorFromCode(message.code, message.message));
  }
}

const loaded = new Map<string, Promise<Handler>>();

function handlerIn(module: string): Promise<Handler> {
  let handler = loaded.get(module);
  if (handler === undefined) {
    handler = load(module);
    loaded.set(module, handler);
  }
  return handler;
}

async function load(module: string): Promise<Handler> {
  const { default: handler } = (await import(module)) as { default?: unknown };
  if (typeof handler === "function") return handler as Handler;
  throw new TypeError(`The default export of ${module} is not a function; it is the handler`);
}

function endOf(error: unknown): ThreadEnd {
  if (Refuse.is(error)) return { kind: "refused", message: error.message };
  if (RetryLater.is(error)) return { kind: "retry-later", delayMs: error.delayMs, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  return { kind: "threw", message, stack: errorText(error) };
}
