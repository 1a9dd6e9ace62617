import { cancelContract } from "./cancel.ts";
import { claimContract } from "./claim.ts";
import { closeContract } from "./close.ts";
import { configureContract } from "./configure.ts";
import { enqueueContract } from "./enqueue.ts";
import { forceReleaseContract } from "./force-release.ts";
import { getContract } from "./get.ts";
import { hazardsContract } from "./hazards.ts";
import { heartbeatContract } from "./heartbeat.ts";
import { invariantsContract } from "./invariants.ts";
import { listContract } from "./list.ts";
import { moveContract } from "./move.ts";
import { nextDueAtContract } from "./next-due-at.ts";
import { oneAtATimeContract } from "./one-at-a-time.ts";
import { promoteDueContract } from "./promote-due.ts";
import { pruneContract } from "./prune.ts";
import { purgeContract } from "./purge.ts";
import { reapExpiredContract } from "./reap-expired.ts";
import { requeueContract } from "./requeue.ts";
import { settleContract } from "./settle.ts";
import { snapshotContract } from "./snapshot.ts";
import type { Opened } from "./stage.ts";
import { subscribeContract } from "./subscribe.ts";
import { type ContractOptions, type Runner, Suite } from "./suite.ts";

/**
 * Defines the storage port: registers, with the caller's runner, every test that an engine must pass.
 *
 * `open` opens the engine over a fresh namespace, with a clock that moves by `clock.advance(ms)`; the suite
 * speaks only through the port, never sleeps, and closes what was opened.
 *
 * ```ts
 * import { describe, it } from "vitest";
 *
 * storageContract("mine", { describe, it }, async () => {
 *   const clock = new ManualClock();
 *   return { storage: await MyStorage.open({ clock }), clock };
 * });
 * ```
 */
export function storageContract(
  name: string,
  runner: Runner,
  open: () => Promise<Opened>,
  options: ContractOptions = {},
): void {
  const suite = new Suite(runner, open, options);
  runner.describe(`storage contract: ${name}`, () => {
    for (const [title, register] of CHAPTERS) suite.chapter(title, register);
  });
}

const CHAPTERS: readonly (readonly [string, (suite: Suite) => void])[] = [
  ["enqueue", enqueueContract],
  ["claim", claimContract],
  ["settle", settleContract],
  ["one task at a time", oneAtATimeContract],
  ["heartbeat", heartbeatContract],
  ["promoteDue", promoteDueContract],
  ["reapExpired", reapExpiredContract],
  ["prune", pruneContract],
  ["purge", purgeContract],
  ["cancel", cancelContract],
  ["requeue", requeueContract],
  ["forceRelease", forceReleaseContract],
  ["get", getContract],
  ["list", listContract],
  ["snapshot", snapshotContract],
  ["configure", configureContract],
  ["exportTasks and importTasks", moveContract],
  ["nextDueAt", nextDueAtContract],
  ["subscribe", subscribeContract],
  ["close", closeContract],
  ["invariants", invariantsContract],
  ["hazards", hazardsContract],
];

export type { ContractClock, Opened } from "./stage.ts";
export type { ContractOptions, Runner } from "./suite.ts";
