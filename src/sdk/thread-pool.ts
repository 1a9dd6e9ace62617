import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { Piscina } from "piscina";
import { DibsError, InvalidRequestError } from "../task/errors.ts";
import { type AttemptAborted, Refuse, RetryLater } from "./errors.ts";
import type { TaskContext } from "./task-handler.ts";
import type { FromThread, ThreadEnd, ThreadTask, ToThread } from "./thread-protocol.ts";

/** How long an aborted handler has before its thread is ended with it. */
const GRACE_MS = 1_000;
/** Threads without work are kept so long: starting one takes tens of milliseconds. */
const IDLE_MS = 60_000;

/**
 * The thread's side of a handler. Node 20 does not run TypeScript, so from the sources (the tests) the built
 * file is taken.
 */
const ENTRY = new URL(
  import.meta.url.endsWith(".ts") ? "../../dist/sdk/thread-entry.js" : "./thread-entry.js",
  import.meta.url,
);

/**
 * Runs one handler module in worker threads, one task in a thread at a time. The main thread stays free, so
 * leases are renewed while a handler computes. An abort is a message first, and the end of the thread for
 * a handler that does not react.
 */
export class ThreadPool {
  readonly #module: string;
  readonly #threadsMax: number;
  #piscina: Promise<Piscina> | undefined;

  /** @throws {InvalidRequestError} unless `module` is the `file:` URL of a file. */
  constructor(module: string, threadsMax: number) {
    if (!module.startsWith("file:") || !existsSync(fileURLToPath(module))) {
      throw new InvalidRequestError(
        `Expected the handler's module to be the file: URL of a file, got ${module}`,
      );
    }
    this.#module = module;
    this.#threadsMax = threadsMax;
  }

  /** Gives what the handler returned; throws what it threw. */
  async run(context: TaskContext): Promise<unknown> {
    this.#piscina ??= startPool(this.#threadsMax);
    const piscina = await this.#piscina;
    const { port1: near, port2: far } = new MessageChannel();
    const ending = new AbortController();
    let grace: NodeJS.Timeout | undefined;
    const abort = () => {
      const { code, message } = context.signal.reason as AttemptAborted;
      near.postMessage({ kind: "abort", code, message } satisfies ToThread);
      grace = setTimeout(() => ending.abort(), GRACE_MS);
    };
    if (context.signal.aborted) abort();
    else context.signal.addEventListener("abort", abort, { once: true });
    near.on("message", (message: FromThread) => void answerBeat(near, context, message));
    try {
      const task: ThreadTask = { module: this.#module, task: context.task, port: far };
      return valueOfEnd(await piscina.run(task, { transferList: [far], signal: ending.signal }));
    } finally {
      clearTimeout(grace);
      context.signal.removeEventListener("abort", abort);
      near.close();
    }
  }

  async close(): Promise<void> {
    await (await this.#piscina)?.destroy();
  }
}

async function startPool(maxThreads: number): Promise<Piscina> {
  // Only who runs handlers in threads loads the pool.
  const { Piscina } = await import("piscina");
  return new Piscina({
    filename: ENTRY.href,
    minThreads: 0,
    maxThreads,
    idleTimeout: IDLE_MS,
    recordTiming: false,
  });
}

async function answerBeat(near: MessagePort, context: TaskContext, message: FromThread): Promise<void> {
  const { number, leaseMs } = message;
  try {
    const expiresAt = await context.heartbeat(leaseMs);
    near.postMessage({ kind: "beaten", number, expiresAt } satisfies ToThread);
  } catch (error) {
    const code = error instanceof DibsError ? error.code : "internal_error";
    near.postMessage({ kind: "not-beaten", number, code, message: String(error) } satisfies ToThread);
  }
}

function valueOfEnd(end: ThreadEnd): unknown {
  switch (end.kind) {
    case "returned":
      return end.resultJson === undefined ? undefined : JSON.parse(end.resultJson);
    case "refused":
      throw new Refuse(end.message);
    case "retry-later":
      throw new RetryLater(end.delayMs, end.message);
    case "threw": {
      const error = new Error(end.message);
      error.stack = end.stack;
      throw error;
    }
  }
}
