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
 * Its timer keeps the process alive while the call waits, which nothing else does for an embedded engine. The signal is
 * made when it is asked for: it costs as much as the rest of a call within the process.
 */
export function withDeadline<Value>(
  call: (signal: () => AbortSignal) => Promise<Value>,
  options: DeadlineOptions<Value>,
): Promise<Value> {
  const { ms, what, signal, late } = options;
  return new Promise((resolve, reject) => {
    let controller: AbortController | undefined;
    let error: ConnectionLostError | undefined;
    const abort = () => controller?.abort(signal?.reason);
    const ownSignal = () => {
      controller ??= new AbortController();
      if (error !== undefined) controller.abort(error);
      else if (signal?.aborted) abort();
      return controller.signal;
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      error = new ConnectionLostError(`${what} did not come back within ${ms} ms and was given up`);
      controller?.abort(error);
      reject(error);
    }, ms);
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    signal?.addEventListener("abort", abort, { once: true });
    call(ownSignal).then(
      (value) => {
        end();
        if (error !== undefined) late(value);
        else resolve(value);
      },
      (reason: unknown) => {
        end();
        reject(reason);
      },
    );
  });
}
