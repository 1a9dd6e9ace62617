import { setTimeout as sleep } from "node:timers/promises";
import { DibsError } from "../../task/errors.ts";

/** A store that is away for longer is not coming back by itself. */
const PATIENCE_MS = 60_000;
const AGAIN_AFTER_MS = 100;

/** Makes a call again while what it fails of may pass, as any program that uses a queue should. */
export async function patiently<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!mayPass(error) || performance.now() > until) throw error;
    }
    await sleep(AGAIN_AFTER_MS, undefined, { signal });
  }
}

/** Whether the same call may succeed later without a change. */
export function mayPass(error: unknown): boolean {
  return error instanceof DibsError && error.retryable;
}
