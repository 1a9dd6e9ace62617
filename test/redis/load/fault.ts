import { expect } from "vitest";
import type { Verdicts } from "../history/check.ts";
import { moment } from "../history/moment.ts";
import { percentile } from "../history/redelivery.ts";
import { INJECTIONS, type Load, SEED, TASKS } from "./load.ts";

/** Enough for everybody to be in the middle of something. */
const BETWEEN = 300;

/** Does something bad so often, each time in the middle of the load, which goes on in between. */
export async function inject(load: Load, fault: (count: number) => Promise<void>): Promise<void> {
  for (let count = 0; count < INJECTIONS; count += 1) {
    await load.progress(BETWEEN);
    const from = moment();
    await fault(count);
    load.disturbed(from, moment());
  }
  await load.progress(BETWEEN);
}

/** The history is one that the invariants allow, and was long enough to tell. Prints what was measured. */
export function expectSound(what: string, load: Load, verdicts: Verdicts): void {
  const { faults, counted, redeliveries, lost } = verdicts;
  const [ready, claimed] = [
    redeliveries.map((each) => each.readyMs),
    redeliveries.map((each) => each.claimedMs),
  ];
  process.stdout.write(
    `${what}: seed ${SEED}, ${counted.enqueued} tasks, ${counted.holds} claims, ${counted.open} calls without an answer; ` +
      `lost ${lost.enqueues} enqueues, ${lost.endings} endings; ${redeliveries.length} leases ran out, ready again after ` +
      `P50 ${percentile(ready, 0.5)}, P99 ${percentile(ready, 0.99)}, claimed after P50 ${percentile(claimed, 0.5)}, ` +
      `P99 ${percentile(claimed, 0.99)} ms\n`,
  );
  expect(faults.slice(0, 20), `${faults.length} faults, seed ${SEED}`).toEqual([]);
  expect(load.strange, `seed ${SEED}`).toEqual([]);
  expect(counted.enqueued).toBeGreaterThanOrEqual(TASKS * 0.9);
}
