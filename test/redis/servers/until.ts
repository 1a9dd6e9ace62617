import { setTimeout as wait } from "node:timers/promises";

/** Looks every 10 ms until `isTrue`; after `timeoutMs` it rejects, saying what was waited for. */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`Waited ${timeoutMs} ms for this in vain: ${what}`);
    await wait(10);
  }
}
