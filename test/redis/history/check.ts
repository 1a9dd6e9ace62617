import type { Snapshot } from "../../crash/snapshot.ts";
import { ABORTED, type Call, hadNoEffect } from "./call.ts";
import { claimsFit } from "./claims.ts";
import { endsFit, type Lost } from "./ends.ts";
import { leasesFit } from "./leases.ts";
import { orderFits } from "./order.ts";
import { type Redelivery, redeliveries } from "./redelivery.ts";
import { type Loss, type Stories, tellStories } from "./story.ts";

export interface Verdicts {
  /** A sentence for each contradiction; empty when the history is one that the invariants allow. */
  readonly faults: readonly string[];
  readonly lost: Lost;
  readonly redeliveries: readonly Redelivery[];
  readonly counted: Counted;
}

/** What the history holds, so that a test can see that there was something to check. */
export interface Counted {
  /** Tasks whose enqueue was answered. */
  readonly enqueued: number;
  readonly holds: number;
  readonly ended: number;
  /** Calls of which their callers do not know whether they took effect. */
  readonly open: number;
}

/**
 * Holds a recorded history, and what the store shows after it, against the invariants, task by task. It says only
 * what is surely wrong: a call takes effect at some moment between its beginning and its answer, or, when it was
 * not answered, at any later one or never.
 */
export function checkHistory(
  calls: readonly Call[],
  snapshot: Snapshot,
  losses: readonly Loss[] = [],
  disturbances: readonly Loss[] = [],
): Verdicts {
  const stories = tellStories(calls, losses, disturbances);
  const { faults, lost } = endsFit(stories, snapshot);
  return {
    faults: [...stories.faults, ...taskFaults(stories), ...orderFits(stories), ...faults],
    lost,
    redeliveries: redeliveries(stories),
    counted: counted(stories, calls),
  };
}

function taskFaults({ tasks, unheard }: Stories): string[] {
  return [...tasks.values()].flatMap((story) => {
    const { id, enqueues, holds } = story;
    const queue = holds[0]?.grant.queue ?? "";
    return [
      ...(enqueues.length === 0 && holds.length > 0 ? ["claimed, and never enqueued"] : []),
      ...claimsFit(story, unheard.get(queue) ?? []),
      ...leasesFit(story),
    ].map((fault) => `${id}: ${fault}`);
  });
}

function counted({ tasks }: Stories, calls: readonly Call[]): Counted {
  const all = [...tasks.values()];
  const holds = all.flatMap((story) => story.holds);
  const acknowledged = ({ verdict }: { readonly verdict: string }) => verdict === "acknowledged";
  return {
    enqueued: all.filter(({ enqueues }) => enqueues.some(({ id }) => id !== undefined)).length,
    holds: holds.length,
    ended: holds.filter(({ endings }) => endings.some(acknowledged)).length,
    open: calls.filter(
      ({ reply, error }) => reply === undefined && !hadNoEffect(error) && error?.code !== ABORTED,
    ).length,
  };
}
