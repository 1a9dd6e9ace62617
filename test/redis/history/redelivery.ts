import type { Hold, Stories } from "./story.ts";

/** A task whose holder let it lie: how long after the end of its lease, milliseconds of the store's clock. */
export interface Redelivery {
  readonly queue: string;
  /** Until it was ready again. */
  readonly readyMs: number;
  /** Until somebody had it, which also depends on what else was ready. */
  readonly claimedMs: number;
}

/** Each lease that ended by time alone and was followed by another. */
export function redeliveries({ tasks }: Stories): Redelivery[] {
  return [...tasks.values()].flatMap(({ holds, moves }) => {
    if (moves.length > 0) return [];
    return holds.slice(1).flatMap((next, at) => {
      const hold = holds[at] as Hold;
      const isPlain = !hold.isLost && next.grant.attempt === hold.grant.attempt + 1;
      const isEnded = hold.endings.some(({ verdict }) => verdict !== "refused");
      if (!isPlain || isEnded) return [];
      const end = Math.max(hold.grant.expiresAt, ...hold.beats.map(({ expiresAt }) => expiresAt ?? 0));
      const { queue } = next.grant;
      return [{ queue, readyMs: next.grant.runAt - end, claimedMs: next.grant.claimedAt - end }];
    });
  });
}

/** The value that a share of them does not exceed; 0 when there is none. */
export function percentile(values: readonly number[], share: number): number {
  const ascending = [...values].sort((a, b) => a - b);
  return ascending[Math.max(0, Math.ceil(ascending.length * share) - 1)] ?? 0;
}
