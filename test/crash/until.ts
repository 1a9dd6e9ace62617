import { setTimeout as sleep } from "node:timers/promises";

/** Waits for a condition, looking every few milliseconds. The test's own time limit ends it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(2);
}
