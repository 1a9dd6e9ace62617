import { LocalConnection } from "../../../local-connection.ts";
import { Dibs } from "../../../sdk/client.ts";
import type { Worker } from "../../../sdk/worker.ts";
import type { Rung, RungWorker } from "../rung.ts";
import { openProduct, PRODUCT_QUEUE } from "./product.ts";

/** The product as most use it: one worker of the SDK, whose handlers are the callers. */
export const productWorker: Rung = {
  name: "dibs-worker",
  what:
    "The same through the SDK's worker, with as many handlers at a time as callers: they take microseconds, so it claims " +
    "ahead; P50 is what a handler that is free waits for its next task. A stretch is 5,000 tasks or more",
  isSafe: true,
  isOrdered: true,
  batch: 1,
  over: "dibs",
  claimsAStretch: 5_000,
  async open(place) {
    const product = await openProduct(place);
    const dibs = new Dibs(new LocalConnection(product.broker, place.url));
    const handlers = new Handlers();
    let callers = 0;
    let worker: Worker | undefined;
    const start = () => {
      if (worker !== undefined) return;
      worker = dibs.work(PRODUCT_QUEUE, ({ task }) => handlers.run(task.id), { concurrency: callers });
      worker.on("completed", ({ task }) => handlers.completed(task.id));
      worker.on("idle", () => handlers.idle());
    };
    return {
      ...product,
      worker() {
        callers += 1;
        return callerOf(handlers, start);
      },
      async close() {
        const closed = dibs.close();
        handlers.endAll();
        await closed;
      },
    };
  },
};

const ON_ITS_WAY_MS = 100;

/** A handler that runs for a task, until its caller ends it. */
interface Run {
  readonly id: string;
  end(): void;
}

function callerOf(handlers: Handlers, start: () => void): RungWorker {
  let run: Run | undefined;
  const take = async () => {
    run?.end();
    run = await handlers.next();
    return run === undefined ? [] : [run.id];
  };
  return {
    async claim() {
      start();
      return take();
    },
    async next() {
      const claimed = await take();
      return { completed: handlers.ended(), claimed };
    },
    async complete([id]) {
      const done = handlers.completion(id as string);
      run?.end();
      run = undefined;
      await done;
      return handlers.ended();
    },
  };
}

/** Brings the handlers that the worker runs together with the callers that wait for one. */
class Handlers {
  readonly #runs: Run[] = [];
  readonly #callers: ((run: Run | undefined) => void)[] = [];
  readonly #completions = new Map<string, () => void>();
  #ended = 0;
  #isIdle = false;

  run(id: string): Promise<void> {
    this.#isIdle = false;
    return new Promise((end) => {
      const caller = this.#callers.shift();
      if (caller === undefined) this.#runs.push({ id, end });
      else caller({ id, end });
    });
  }

  /** The next run that no caller has; undefined when the queue is empty. */
  next(): Promise<Run | undefined> {
    return new Promise((resolve) => {
      const run = this.#runs.shift();
      if (run !== undefined) return resolve(run);
      this.#callers.push(resolve);
      // A task that was just added is on its way to the worker.
      if (this.#isIdle) setTimeout(() => this.#isIdle && this.idle(), ON_ITS_WAY_MS);
    });
  }

  /** Those that no caller will take. */
  endAll(): void {
    for (const run of this.#runs.splice(0)) run.end();
  }

  idle(): void {
    this.#isIdle = true;
    for (const caller of this.#callers.splice(0)) caller(undefined);
  }

  completed(id: string): void {
    this.#ended += 1;
    this.#completions.get(id)?.();
    this.#completions.delete(id);
  }

  completion(id: string): Promise<void> {
    return new Promise((resolve) => this.#completions.set(id, resolve));
  }

  /** How many were completed since this was asked last. */
  ended(): number {
    const ended = this.#ended;
    this.#ended = 0;
    return ended;
  }
}
