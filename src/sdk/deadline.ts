import { ConnectionLostError } from "../task/errors.ts";

export interface DeadlineOptions<Value> {
  readonly ms: number;
  /** For the message: "A claim". */
  readonly what: string;
  /** Aborts the call earlier. */
  readonly signal?: AbortSignal;
  /** Gets what a call that was given up brings after all. */
  readonly late: (value: Value) => void;
}

/**
 * Gives a call up when it does not come back in time, also one that does not react to its signal: a worker
 * must not wait for ever on one broken connection.
 *
 * Its timer keeps the process alive while the call waits, which nothing else does for an embedded engine.
 */
export function withDeadline<Value>(
  call: (signal: AbortSignal) => Promise<Value>,
  options: DeadlineOptions<Value>,
): Promise<Value> {
  const { ms, what, signal, late } = options;
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const abort = () => controller.abort(signal?.reason);
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      signal?.removeEventListener("abort", abort);
      const error = new ConnectionLostError(`${what} did not come back within ${ms} ms and was given up`);
      controller.abort(error);
      reject(error);
    }, ms);
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    call(controller.signal).then(
      (value) => {
        end();
        if (over) late(value);
        else resolve(value);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}
